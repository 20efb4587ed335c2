// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tables are what an Index keeps, by keys alone: two indexes with equal tables answer alike and hold nothing else.
type tables struct {
	Machines, Profiles    []Key
	MACs                  map[MAC][]Key // in the order of claims
	UUIDs, Serials, Paths map[string][]Key
	Artifacts             map[ID][]Key
}

func tablesOf(x *Index) tables {
	return tables{
		Machines:  slices.Sorted(maps.Keys(x.machines)),
		Profiles:  slices.Sorted(maps.Keys(x.profiles)),
		MACs:      keysOf(x.byMAC, func(m *Machine) Key { return m.Key }),
		UUIDs:     keysOf(x.byUUID, func(m *Machine) Key { return m.Key }),
		Serials:   keysOf(x.bySerial, func(m *Machine) Key { return m.Key }),
		Artifacts: sorted(keysOf(x.artifacts, func(h *holding) Key { return h.profile.Key })),
		Paths:     sorted(keysOf(x.paths, func(p *Profile) Key { return p.Key })),
	}
}

func keysOf[K comparable, V any](table map[K][]V, key func(V) Key) map[K][]Key {
	keys := map[K][]Key{}
	for k, values := range table {
		keys[k] = []Key{} // an empty list that was left behind shows
		for _, v := range values {
			keys[k] = append(keys[k], key(v))
		}
	}
	return keys
}

func sorted[K comparable](table map[K][]Key) map[K][]Key {
	for _, keys := range table {
		slices.Sort(keys)
	}
	return table
}

// A model is the index as one would write it without any table.
type model struct {
	machines map[Key]*Machine
	profiles map[Key]*Profile
}

// tables computes what an index of the model's objects must hold.
func (m model) tables() tables {
	want := tables{
		Machines: slices.Sorted(maps.Keys(m.machines)), Profiles: slices.Sorted(maps.Keys(m.profiles)),
		MACs: map[MAC][]Key{}, UUIDs: map[string][]Key{}, Serials: map[string][]Key{}, Paths: map[string][]Key{},
		Artifacts: map[ID][]Key{},
	}
	for _, o := range slices.SortedFunc(maps.Values(m.machines), func(a, b *Machine) int {
		if a.Discovered != b.Discovered {
			if b.Discovered {
				return -1
			}
			return 1
		}
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(string(a.Key), string(b.Key))
	}) {
		for _, mac := range o.MACs {
			want.MACs[mac] = append(want.MACs[mac], o.Key)
		}
		if o.SystemUUID != "" {
			want.UUIDs[o.SystemUUID] = append(want.UUIDs[o.SystemUUID], o.Key)
		}
		if o.SerialNumber != "" {
			want.Serials[o.SerialNumber] = append(want.Serials[o.SerialNumber], o.Key)
		}
	}
	for _, key := range want.Profiles {
		for _, f := range m.profiles[key].Files {
			want.Paths[f.Path] = append(want.Paths[f.Path], key)
			want.Artifacts[f.Artifact.ID()] = append(want.Artifacts[f.Artifact.ID()], key)
		}
	}
	return want
}

// Whatever was put and deleted before, an index holds what its objects say and nothing of those that are gone.
func TestTablesHoldNothingOfWhatIsGone(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, seed))
			x, m := New(), model{map[Key]*Machine{}, map[Key]*Profile{}}
			for range 200 {
				switch key := Key(fmt.Sprint("lab/", dice.IntN(8))); dice.IntN(6) {
				case 0:
					x.Delete(key)
					delete(m.machines, key)
				case 1:
					x.DeleteProfile(key)
					delete(m.profiles, key)
				case 2:
					p := randomProfile(dice, key)
					x.PutProfile(p)
					m.profiles[key] = p
				default:
					o := randomMachine(dice, key)
					x.Put(o)
					m.machines[key] = o
				}
				if diff := cmp.Diff(m.tables(), tablesOf(x)); diff != "" {
					t.Fatalf("tables (-want +got):\n%s", diff)
				}
			}
			for key := range m.machines {
				x.Delete(key)
			}
			for key := range m.profiles {
				x.DeleteProfile(key)
			}
			if diff := cmp.Diff(tablesOf(New()), tablesOf(x)); diff != "" {
				t.Errorf("tables after all was deleted (-want +got):\n%s", diff)
			}
		})
	}
}

// randomMachine returns a machine with identities from a small set, so that conflicts are frequent.
func randomMachine(dice *rand.Rand, key Key) *Machine {
	m := &Machine{Key: key, Created: time.Unix(int64(dice.IntN(4)), 0), Discovered: dice.IntN(4) == 0}
	for _, last := range dice.Perm(5)[:1+dice.IntN(3)] {
		m.MACs = append(m.MACs, MAC{5: byte(last + 1)})
	}
	if dice.IntN(2) == 0 {
		m.SystemUUID = fmt.Sprint("uuid-", dice.IntN(3))
	}
	if dice.IntN(2) == 0 {
		m.SerialNumber = fmt.Sprint("serial-", dice.IntN(3))
	}
	return m
}

func randomProfile(dice *rand.Rand, key Key) *Profile {
	p := &Profile{Key: key}
	for _, n := range dice.Perm(4)[:dice.IntN(4)] {
		p.Files = append(p.Files, File{
			Path:     fmt.Sprint("file-", n),
			Artifact: Artifact{URLs: []string{"http://mirror/file"}, SHA256: strings.Repeat(strconv.Itoa(dice.IntN(3)), 64)},
		})
	}
	return p
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package index_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	uuidA        = "a1b2c3d4-e5f6-4788-99aa-bbccddeeff00"
	uuidASwapped = "d4c3b2a1-f6e5-8847-99aa-bbccddeeff00" // as PXELINUX prints it
)

// mac returns an address that ends in n.
func mac(n int) index.MAC {
	return index.MAC{0x52, 0x54, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// machine returns the machine lab/NAME, created so many seconds after the first.
func machine(name string, seconds int, macs ...index.MAC) *index.Machine {
	return &index.Machine{Key: index.Key("lab/" + name), Created: time.Unix(int64(seconds), 0), MACs: macs}
}

func withUUID(m *index.Machine, uuid string) *index.Machine {
	m.SystemUUID = uuid
	return m
}

func withSerial(m *index.Machine, serial string) *index.Machine {
	m.SerialNumber = serial
	return m
}

// keyOf returns a machine's key, or "" when there is none.
func keyOf(m *index.Machine) index.Key {
	if m == nil {
		return ""
	}
	return m.Key
}

func TestLookup(t *testing.T) {
	x := index.New()
	x.Put(machine("by-mac", 0, mac(1), mac(11)))
	x.Put(withUUID(machine("by-uuid", 0, mac(2)), uuidA))
	x.Put(withSerial(machine("by-serial", 0, mac(3)), "SN-3"))

	for name, tc := range map[string]struct {
		ask  index.Identity
		want index.Key
	}{
		"by the MAC address":            {ask: index.Identity{MAC: mac(1)}, want: "lab/by-mac"},
		"by a further MAC address":      {ask: index.Identity{MAC: mac(11)}, want: "lab/by-mac"},
		"by the UUID":                   {ask: index.Identity{UUID: uuidA}, want: "lab/by-uuid"},
		"by the UUID in upper case":     {ask: index.Identity{UUID: strings.ToUpper(uuidA)}, want: "lab/by-uuid"},
		"by the UUID in SMBIOS's order": {ask: index.Identity{UUID: uuidASwapped}, want: "lab/by-uuid"},
		"by the UUID, both": {
			ask: index.Identity{UUID: strings.ToUpper(uuidASwapped)}, want: "lab/by-uuid",
		},
		"by the serial number": {ask: index.Identity{Serial: "SN-3"}, want: "lab/by-serial"},
		"the MAC address beats the UUID": {
			ask: index.Identity{MAC: mac(1), UUID: uuidA, Serial: "SN-3"}, want: "lab/by-mac",
		},
		"the UUID beats the serial": {ask: index.Identity{UUID: uuidA, Serial: "SN-3"}, want: "lab/by-uuid"},
		"an unknown MAC address leaves it to the UUID": {
			ask: index.Identity{MAC: mac(99), UUID: uuidA}, want: "lab/by-uuid",
		},
		"an unknown UUID leaves it to the serial number": {
			ask: index.Identity{UUID: strings.Repeat("f", 8) + uuidA[8:], Serial: "SN-3"}, want: "lab/by-serial",
		},

		"serial numbers differ in case": {ask: index.Identity{Serial: "sn-3"}},
		"unknown in all": {
			ask: index.Identity{MAC: mac(99), UUID: uuidASwapped[1:] + "0", Serial: "x"},
		},
		"a UUID that is none":                {ask: index.Identity{UUID: "not-a-uuid"}},
		"a UUID with hyphens somewhere else": {ask: index.Identity{UUID: strings.Repeat("-", 36)}},
		"no identity":                        {},
	} {
		t.Run(name, func(t *testing.T) {
			if got := keyOf(x.Lookup(tc.ask)); got != tc.want {
				t.Errorf("Lookup(%+v) = %q, want %q", tc.ask, got, tc.want)
			}
		})
	}
}

func TestConflicts(t *testing.T) {
	put := func(m *index.Machine) func(*index.Index) { return func(x *index.Index) { x.Put(m) } }
	drop := func(key index.Key) func(*index.Index) { return func(x *index.Index) { x.Delete(key) } }

	for name, tc := range map[string]struct {
		steps []func(*index.Index)
		want  index.Key // who has mac(1)
	}{
		"the oldest wins": {
			steps: []func(*index.Index){put(machine("a", 2, mac(1))), put(machine("b", 1, mac(1))),
				put(machine("c", 3, mac(1)))},
			want: "lab/b",
		},
		"with equal times, the key decides": {
			steps: []func(*index.Index){put(machine("b", 1, mac(1))), put(machine("a", 1, mac(1))),
				put(machine("c", 1, mac(1)))},
			want: "lab/a",
		},
		"when the owner is deleted, the next has it at once": {
			steps: []func(*index.Index){
				put(machine("c", 3, mac(1))), put(machine("a", 1, mac(1))), put(machine("b", 2, mac(1))), drop("lab/a"),
			},
			want: "lab/b",
		},
		"when another is deleted, the owner stays": {
			steps: []func(*index.Index){put(machine("a", 1, mac(1))), put(machine("b", 2, mac(1))), drop("lab/b")},
			want:  "lab/a",
		},
		"when the owner gives it up, the next has it": {
			steps: []func(*index.Index){
				put(machine("a", 1, mac(1))), put(machine("b", 2, mac(1))), put(machine("a", 1, mac(2))),
			},
			want: "lab/b",
		},
		"when the owner is made anew, it is the youngest": {
			steps: []func(*index.Index){
				put(machine("a", 1, mac(1))), put(machine("b", 2, mac(1))), put(machine("a", 3, mac(1))),
			},
			want: "lab/b",
		},
		"when all have gone, nobody has it": {
			steps: []func(*index.Index){
				put(machine("a", 1, mac(1))), put(machine("b", 2, mac(1))), drop("lab/a"), drop("lab/b"), drop("lab/b"),
			},
		},
		"the time zone does not matter": {
			steps: []func(*index.Index){
				put(machine("b", 1, mac(1))),
				put(&index.Machine{Key: "lab/a", Created: time.Unix(1, 0).In(time.FixedZone("", 3600)),
					MACs: []index.MAC{mac(1)}}),
			},
			want: "lab/a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := index.New()
			for _, step := range tc.steps {
				step(x)
			}
			if got := keyOf(x.Lookup(index.Identity{MAC: mac(1)})); got != tc.want {
				t.Errorf("%v belongs to %q, want %q", mac(1), got, tc.want)
			}
		})
	}
}

func TestPutReplaces(t *testing.T) {
	x := index.New()
	x.Put(withSerial(withUUID(machine("a", 1, mac(1), mac(2)), uuidA), "old"))
	renewed := withSerial(machine("a", 1, mac(2), mac(3)), "new")
	x.Put(renewed)

	for name, tc := range map[string]struct {
		ask  index.Identity
		want *index.Machine
	}{
		"the MAC address that stays":        {ask: index.Identity{MAC: mac(2)}, want: renewed},
		"the new MAC address":               {ask: index.Identity{MAC: mac(3)}, want: renewed},
		"the new serial number":             {ask: index.Identity{Serial: "new"}, want: renewed},
		"the old MAC address is released":   {ask: index.Identity{MAC: mac(1)}},
		"the old UUID is released":          {ask: index.Identity{UUID: uuidA}},
		"the old serial number is released": {ask: index.Identity{Serial: "old"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := x.Lookup(tc.ask); got != tc.want {
				t.Errorf("Lookup(%+v) = %q, want %q", tc.ask, keyOf(got), keyOf(tc.want))
			}
		})
	}
	if got := x.Machine("lab/a"); got != renewed {
		t.Errorf("Machine() = %v, want the renewed one", got)
	}
	x.Delete("lab/a")
	if got := x.Machine("lab/a"); got != nil {
		t.Errorf("Machine() after Delete = %v, want none", got)
	}
}

// artifact returns an artifact whose digest is one repeated digit.
func artifact(url, digit string) index.Artifact {
	return index.Artifact{URLs: []string{url}, SHA256: strings.Repeat(digit, 64)}
}

func id(digit string) index.ID { return index.ID("sha256/" + strings.Repeat(digit, 64)) }

// profile returns the profile lab/NAME with these files, given as PATH, DIGIT, PATH, DIGIT...
func profile(name string, files ...string) *index.Profile {
	p := &index.Profile{Key: index.Key("lab/" + name), Name: name, Namespace: "lab"}
	for i := 0; i < len(files); i += 2 {
		p.Files = append(p.Files, index.File{Path: files[i], Artifact: artifact("http://mirror/"+files[i], files[i+1])})
	}
	return p
}

func TestArtifactsOfProfiles(t *testing.T) {
	full := profile("full", "overlays/vc4.dtbo", "6")
	full.Platforms = []index.Platform{
		{
			Architecture: "amd64", Kernel: new(artifact("http://mirror/linux", "1")),
			Initrds: []index.Artifact{artifact("http://mirror/initrd", "2"), artifact("http://mirror/firmware", "3")},
		},
		{Architecture: "arm64", UKI: new(artifact("http://mirror/uki.efi", "4")),
			DeviceTree: new(artifact("http://mirror/dtb", "5"))},
	}
	second := profile("a-second", "same-initrd", "2", "same-again", "2")

	type answer struct {
		URLs string // of the artifacts; empty: none
		Keys []index.Key
	}
	for name, tc := range map[string]struct {
		change func(*index.Index)
		want   map[string]answer // by digit
	}{
		"everything that a profile names": {
			change: func(*index.Index) {},
			want: map[string]answer{
				"1": {"http://mirror/linux", []index.Key{"lab/full"}},
				"2": {"http://mirror/initrd http://mirror/same-initrd http://mirror/same-again", []index.Key{"lab/a-second", "lab/full"}},
				"3": {"http://mirror/firmware", []index.Key{"lab/full"}},
				"4": {"http://mirror/uki.efi", []index.Key{"lab/full"}},
				"5": {"http://mirror/dtb", []index.Key{"lab/full"}},
				"6": {"http://mirror/overlays/vc4.dtbo", []index.Key{"lab/full"}},
				"7": {},
			},
		},
		"replaced: only what is new": {
			change: func(x *index.Index) { x.PutProfile(profile("full", "new", "7")) },
			want: map[string]answer{
				"1": {}, "3": {}, "4": {}, "5": {}, "6": {},
				"2": {"http://mirror/same-initrd http://mirror/same-again", []index.Key{"lab/a-second"}},
				"7": {"http://mirror/new", []index.Key{"lab/full"}},
			},
		},
		"deleted: what another profile names stays": {
			change: func(x *index.Index) { x.DeleteProfile("lab/a-second"); x.DeleteProfile("lab/never-there") },
			want: map[string]answer{
				"1": {"http://mirror/linux", []index.Key{"lab/full"}},
				"2": {"http://mirror/initrd", []index.Key{"lab/full"}},
			},
		},
		"all deleted": {
			change: func(x *index.Index) { x.DeleteProfile("lab/a-second"); x.DeleteProfile("lab/full") },
			want:   map[string]answer{"1": {}, "2": {}, "6": {}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := index.New()
			x.PutProfile(full)
			x.PutProfile(second)
			tc.change(x)
			got := map[string]answer{}
			for digit := range tc.want {
				artifacts, keys := x.Artifacts(id(digit))
				var urls []string
				for _, a := range artifacts {
					urls = append(urls, a.URLs...)
				}
				got[digit] = answer{strings.Join(urls, " "), keys}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Artifacts() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFileByPath(t *testing.T) {
	for name, tc := range map[string]struct {
		profiles []*index.Profile
		deleted  index.Key
		want     index.ID // of the file "boot/a.efi"; empty: none
	}{
		"the only profile that has it": {
			profiles: []*index.Profile{profile("p", "boot/a.efi", "1"), profile("q", "a.efi", "2")}, want: id("1"),
		},
		"two profiles with the same content": {
			profiles: []*index.Profile{profile("p", "boot/a.efi", "1"), profile("q", "boot/a.efi", "1")}, want: id("1"),
		},
		"ambiguous: two profiles with other contents": {
			profiles: []*index.Profile{profile("p", "boot/a.efi", "1"), profile("q", "boot/a.efi", "2")},
		},
		"ambiguous until one is deleted": {
			profiles: []*index.Profile{profile("p", "boot/a.efi", "1"), profile("q", "boot/a.efi", "2")},
			deleted:  "lab/p", want: id("2"),
		},
		"ambiguous until one is replaced": {
			profiles: []*index.Profile{
				profile("p", "boot/a.efi", "1"), profile("q", "boot/a.efi", "2"), profile("q", "other", "2"),
			},
			want: id("1"),
		},
		"replaced by another content": {
			profiles: []*index.Profile{profile("p", "boot/a.efi", "1"), profile("p", "boot/a.efi", "2")}, want: id("2"),
		},
		"deleted": {
			profiles: []*index.Profile{profile("p", "boot/a.efi", "1")}, deleted: "lab/p",
		},
		"the path must be the whole": {
			profiles: []*index.Profile{profile("p", "a.efi", "1", "x/boot/a.efi", "2")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := index.New()
			for _, p := range tc.profiles {
				x.PutProfile(p)
			}
			x.DeleteProfile(tc.deleted)
			var got index.ID
			if a := x.FileByPath("boot/a.efi"); a != nil {
				got = a.ID()
			}
			if got != tc.want {
				t.Errorf("FileByPath() = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestProfileIsFoundByItsKey(t *testing.T) {
	x := index.New()
	p := profile("p", "a", "1")
	x.PutProfile(p)
	if got := x.Profile("lab/p"); got != p {
		t.Errorf("Profile() = %v, want what was put", got)
	}
	if got := x.Profile("lab/q"); got != nil {
		t.Errorf("Profile() of an unknown key = %v, want none", got)
	}
	if got := p.File("a"); got != &p.Files[0].Artifact {
		t.Errorf("File() = %v, want the profile's own", got)
	}
	if got := p.File("b"); got != nil {
		t.Errorf("File() of an unknown path = %v, want none", got)
	}
}

// Readers see each machine as it was put, old or new, while others put and delete. The race detector watches.
func TestReadersDuringPuts(t *testing.T) {
	const machines, puts, readers = 100, 10_000, 2
	x := index.New()
	done := make(chan struct{})
	var reading, writing sync.WaitGroup
	for range readers {
		reading.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				n := i % machines
				m := x.Lookup(index.Identity{MAC: mac(n)})
				if m == nil {
					continue
				}
				if m.MACs[0] != mac(n) || m.SerialNumber != fmt.Sprint("SN", n) {
					t.Errorf("Lookup(%v) = %v with serial number %q", mac(n), m.MACs, m.SerialNumber)
					return
				}
				x.FileByPath("a")
				x.Artifacts(id("1"))
			}
		})
	}
	for w := range 2 {
		writing.Go(func() {
			for i := w; i < puts; i += 2 {
				n := i % machines
				x.Put(withSerial(machine(fmt.Sprint("n", n), i, mac(n)), fmt.Sprint("SN", n)))
				if i%7 == 0 {
					x.Delete(index.Key(fmt.Sprint("lab/n", (n+machines/2)%machines)))
				}
				if i%50 == 0 {
					x.PutProfile(profile(fmt.Sprint("p", n), "a", "1"))
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
}

// crowd returns an index of n machines, each with all identities, and what the last of them asks with.
func crowd(n int) (x *index.Index, asks map[string]index.Identity) {
	x = index.New()
	uuid := func(i int) string { return fmt.Sprintf("%08x%s", i, uuidA[8:]) }
	for i := range n {
		x.Put(withSerial(withUUID(machine(fmt.Sprint("n", i), i, mac(i)), uuid(i)), fmt.Sprint("SN", i)))
	}
	last := n - 1
	return x, map[string]index.Identity{
		"MAC":    {MAC: mac(last), UUID: uuid(last)},
		"UUID":   {UUID: uuid(last)},
		"serial": {Serial: fmt.Sprint("SN", last)},
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	x, asks := crowd(1000)
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			if allocations := testing.AllocsPerRun(100, func() {
				if x.Lookup(ask) == nil {
					t.Fatal("not found")
				}
			}); allocations != 0 {
				t.Errorf("Lookup allocates %v times, want 0", allocations)
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	x, asks := crowd(10_000)
	for name, ask := range asks {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.Lookup(ask)
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	x, _ := crowd(10_000)
	m := machine("n5", 5, mac(5), mac(6))
	b.ReportAllocs()
	for b.Loop() {
		x.Put(m)
	}
}

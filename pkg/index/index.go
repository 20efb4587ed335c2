// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// Index holds machines and profiles. The zero value is not usable; call New. All methods may be called from many
// goroutines at once.
type Index struct {
	mu sync.RWMutex

	machines map[Key]*Machine
	byMAC    map[MAC][]*Machine
	byUUID   map[string][]*Machine
	bySerial map[string][]*Machine

	profiles  map[Key]*Profile
	artifacts map[ID][]*holding
	paths     map[string][]*Profile // file path -> profiles that have it
}

// A holding is an artifact that a profile names.
type holding struct {
	profile  *Profile
	artifact *Artifact
}

// New returns an empty index.
func New() *Index {
	return &Index{
		machines:  map[Key]*Machine{},
		byMAC:     map[MAC][]*Machine{},
		byUUID:    map[string][]*Machine{},
		bySerial:  map[string][]*Machine{},
		profiles:  map[Key]*Profile{},
		artifacts: map[ID][]*holding{},
		paths:     map[string][]*Profile{},
	}
}

// Precedes says whether m keeps an identity that other claims too: one that someone made or enrolled beats one that was discovered;
// then the one created first, then the one whose Key sorts
// first.
func (m *Machine) Precedes(other *Machine) bool {
	if m.Discovered != other.Discovered {
		return other.Discovered
	}
	if !m.Created.Equal(other.Created) {
		return m.Created.Before(other.Created)
	}
	return m.Key < other.Key
}

// Put adds a machine, or replaces the one with the same Key.
func (x *Index) Put(m *Machine) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(m.Key)
	x.machines[m.Key] = m
	for _, mac := range m.MACs {
		x.byMAC[mac] = claim(x.byMAC[mac], m)
	}
	if m.SystemUUID != "" {
		x.byUUID[m.SystemUUID] = claim(x.byUUID[m.SystemUUID], m)
	}
	if m.SerialNumber != "" {
		x.bySerial[m.SerialNumber] = claim(x.bySerial[m.SerialNumber], m)
	}
}

// Delete removes a machine, if it is there.
func (x *Index) Delete(key Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(key)
}

func (x *Index) remove(key Key) {
	m := x.machines[key]
	if m == nil {
		return
	}
	delete(x.machines, key)
	for _, mac := range m.MACs {
		release(x.byMAC, mac, m)
	}
	release(x.byUUID, m.SystemUUID, m)
	release(x.bySerial, m.SerialNumber, m)
}

// claim returns claims with m at its place: the owner first.
func claim(claims []*Machine, m *Machine) []*Machine {
	at, _ := slices.BinarySearchFunc(claims, m, func(a, b *Machine) int {
		if a.Precedes(b) {
			return -1
		}
		return 1
	})
	return slices.Insert(claims, at, m)
}

func release[K comparable](table map[K][]*Machine, identity K, m *Machine) {
	claims := slices.DeleteFunc(table[identity], func(c *Machine) bool { return c == m })
	if len(claims) == 0 {
		delete(table, identity)
		return
	}
	table[identity] = claims
}

// An Identity is what a request tells about who asks. Empty fields are not known.
type Identity struct {
	MAC    MAC
	UUID   string // in any case, in either byte order
	Serial string
}

// Lookup returns the machine that asks, or nil. The MAC address beats the UUID, and that the serial number: a field that
// is known to the index ends the search.
func (x *Index) Lookup(id Identity) *Machine {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if !id.MAC.IsZero() {
		if m := owner(x.byMAC[id.MAC]); m != nil {
			return m
		}
	}
	if id.UUID != "" {
		uuid := strings.ToLower(id.UUID)
		if m := owner(x.byUUID[uuid]); m != nil {
			return m
		}
		if m := owner(x.byUUID[swapUUID(uuid)]); m != nil {
			return m
		}
	}
	if id.Serial != "" {
		return owner(x.bySerial[id.Serial])
	}
	return nil
}

func owner(claims []*Machine) *Machine {
	if len(claims) == 0 {
		return nil
	}
	return claims[0]
}

// swapUUID reverses the bytes of the first three fields of a UUID: SMBIOS stores these little-endian, and PXELINUX
// prints them as stored. Anything that is not a UUID is returned as it is.
func swapUUID(s string) string {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return s
	}
	order := [...]int{6, 7, 4, 5, 2, 3, 0, 1, 8, 11, 12, 9, 10, 13, 16, 17, 14, 15}
	var b [36]byte
	for i, from := range order {
		b[i] = s[from]
	}
	copy(b[len(order):], s[len(order):])
	return string(b[:])
}

// Machine returns the machine with the given key, or nil.
func (x *Index) Machine(key Key) *Machine {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.machines[key]
}

// Keys returns the keys of all machines and of all profiles, sorted.
func (x *Index) Keys() (machines, profiles []Key) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Sorted(maps.Keys(x.machines)), slices.Sorted(maps.Keys(x.profiles))
}

// Size returns how many machines and profiles there are.
func (x *Index) Size() (machines, profiles int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.machines), len(x.profiles)
}

// PutProfile adds a profile, or replaces the one with the same Key.
func (x *Index) PutProfile(p *Profile) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.removeProfile(p.Key)
	x.profiles[p.Key] = p
	for _, a := range p.Artifacts() {
		x.artifacts[a.ID()] = append(x.artifacts[a.ID()], &holding{p, a})
	}
	for _, f := range p.Files {
		x.paths[f.Path] = append(x.paths[f.Path], p)
	}
}

// DeleteProfile removes a profile, if it is there.
func (x *Index) DeleteProfile(key Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.removeProfile(key)
}

func (x *Index) removeProfile(key Key) {
	p := x.profiles[key]
	if p == nil {
		return
	}
	delete(x.profiles, key)
	for _, a := range p.Artifacts() {
		left := slices.DeleteFunc(x.artifacts[a.ID()], func(h *holding) bool { return h.profile == p })
		if len(left) == 0 {
			delete(x.artifacts, a.ID())
		} else {
			x.artifacts[a.ID()] = left
		}
	}
	for _, f := range p.Files {
		left := slices.DeleteFunc(x.paths[f.Path], func(q *Profile) bool { return q == p })
		if len(left) == 0 {
			delete(x.paths, f.Path)
		} else {
			x.paths[f.Path] = left
		}
	}
}

// Profile returns the profile with the given key, or nil.
func (x *Index) Profile(key Key) *Profile {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.profiles[key]
}

// Artifacts returns what profiles say about the artifact with the given id, each set of URLs and credentials once, and the
// keys of these profiles, sorted. Both are empty when no profile names it.
func (x *Index) Artifacts(id ID) ([]*Artifact, []Key) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var artifacts []*Artifact
	var keys []Key
	for _, h := range x.artifacts[id] {
		keys = append(keys, h.profile.Key)
		if !slices.ContainsFunc(artifacts, func(a *Artifact) bool {
			return slices.Equal(a.URLs, h.artifact.URLs) && a.Credentials.Equal(h.artifact.Credentials)
		}) {
			artifacts = append(artifacts, h.artifact)
		}
	}
	slices.Sort(keys)
	return artifacts, slices.Compact(keys)
}

// FileByPath returns the artifact that is served at path at the top of the tree: the file of that path of the only
// profile that has one. It returns nil when no profile, or more than one with different contents, has it.
func (x *Index) FileByPath(path string) *Artifact {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var found *Artifact
	for _, p := range x.paths[path] {
		a := p.File(path)
		if found != nil && found.ID() != a.ID() {
			return nil
		}
		found = a
	}
	return found
}

// File returns the profile's file with the given path, or nil.
func (p *Profile) File(path string) *Artifact {
	for i := range p.Files {
		if p.Files[i].Path == path {
			return &p.Files[i].Artifact
		}
	}
	return nil
}

// Artifacts returns all artifacts that the profile names.
func (p *Profile) Artifacts() []*Artifact {
	var all []*Artifact
	for i := range p.Platforms {
		platform := &p.Platforms[i]
		for _, a := range []*Artifact{platform.Kernel, platform.UKI, platform.DeviceTree} {
			if a != nil {
				all = append(all, a)
			}
		}
		for j := range platform.Initrds {
			all = append(all, &platform.Initrds[j])
		}
	}
	for i := range p.Files {
		all = append(all, &p.Files[i].Artifact)
	}
	return all
}

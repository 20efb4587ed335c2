// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/netboot-operator/netboot-operator/api/manifest"
	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// Standalone keeps the boot index equal to a folder of manifests, and writes the status of each object to a file. It is
// the indexers and the reporters in one, without an API server.
type Standalone struct {
	Dir       string // the manifests
	StatusDir string // where status goes; empty: nowhere
	Validator *manifest.Validator
	Index     *index.Index
	Artifacts ArtifactStore   // nil: none is fetched, nothing is told of them
	Changed   *ArtifactEvents // nil: artifacts don't change
	Boots     *BootReporter   // nil: nobody boots
	Log       logr.Logger

	mu       sync.Mutex
	machines map[index.Key]*v1alpha1.Machine
	profiles map[index.Key]*v1alpha1.BootProfile
	referable
	files map[string]string // of the objects above: "Machine lab/n7" -> file
	told  map[string]bool   // problems that were logged
	pulls *pulls
}

// Run follows the folder until ctx ends. filled is called once, when the index holds what was there at the start.
func (s *Standalone) Run(ctx context.Context, filled func()) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.Changed != nil {
		beside.Go(func() { s.followArtifacts(ctx) })
	}
	once := sync.OnceFunc(func() {
		if s.Boots != nil {
			beside.Go(func() { s.reportBoots(ctx) })
		}
		filled()
	})
	return s.Validator.Follow(ctx, s.Dir, func(set manifest.Set, problems []manifest.Problem) {
		s.apply(set, problems)
		once()
	})
}

// Load reads the folder once, and returns its problems.
func (s *Standalone) Load(ctx context.Context) ([]manifest.Problem, error) {
	set, problems, err := s.Validator.Load(ctx, s.Dir)
	if err != nil {
		return nil, err
	}
	s.apply(set, nil)
	return problems, nil
}

// followArtifacts reports when a fetch starts or ends, and now and then how far those are that run.
func (s *Standalone) followArtifacts(ctx context.Context) {
	timing := defaultTiming()
	progress := time.NewTicker(timing.progress)
	defer progress.Stop()
	for {
		changed := false
		select {
		case <-ctx.Done():
			return
		case <-progress.C:
		case <-s.Changed.changed:
			changed = true
			if !wait(ctx, timing.coalesce) {
				return
			}
		}
		s.mu.Lock()
		if changed || s.incomplete() {
			s.report()
		}
		s.mu.Unlock()
	}
}

// incomplete says whether something is still to be told of artifacts.
func (s *Standalone) incomplete() bool {
	for _, p := range s.profiles {
		if !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionArtifactsReady) {
			return true
		}
	}
	return false
}

// holdings is what the one pod that there is has of artifacts; nil when none is fetched.
func (s *Standalone) holdings() map[string]holdings {
	if s.Artifacts == nil {
		return nil
	}
	return map[string]holdings{"this": s.pulls.holdings()}
}

// wake has the artifacts looked at again.
func (s *Standalone) wake() {
	if s.Changed != nil {
		s.Changed.wake()
	}
}

// apply makes set, and the last good version of what has problems now, the content of the index.
func (s *Standalone) apply(set manifest.Set, problems []manifest.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(problems)
	if s.pulls == nil {
		s.pulls = newPulls(s.Artifacts, s.wake)
	}

	machines, profiles := map[index.Key]*v1alpha1.Machine{}, map[index.Key]*v1alpha1.BootProfile{}
	files := set.Files
	for i := range set.Machines {
		machines[keyOf(&set.Machines[i])] = &set.Machines[i]
	}
	for i := range set.BootProfiles {
		profiles[keyOf(&set.BootProfiles[i])] = &set.BootProfiles[i]
	}
	keepLastGood(kindMachine, machines, s.machines, files, s.files, problems)
	keepLastGood(kindBootProfile, profiles, s.profiles, files, s.files, problems)
	for key, m := range machines {
		before := s.machines[key]
		if before == nil {
			s.recall(m)
		} else if before != m {
			m.Generation, m.Status = before.Generation, before.Status
			if !equality.Semantic.DeepEqual(before.Spec, m.Spec) {
				m.Generation++
			}
		}
	}
	for key, p := range profiles {
		if before := s.profiles[key]; before != nil && before != p {
			p.Generation, p.Status = before.Generation, before.Status
			if !equality.Semantic.DeepEqual(before.Spec, p.Spec) {
				p.Generation++
			}
		}
	}
	gone := s.gone(machines, profiles)
	s.referable = newReferable(set, s.referable, files, s.files, problems)
	s.machines, s.profiles, s.files = machines, profiles, files

	for key, p := range profiles {
		indexProfile(s.Index, s.pulls, key, p, s.read(p.Namespace, referencesOfArtifacts(p)))
	}
	for key, m := range machines {
		profile := s.profileFor(m)
		if entry, _ := resolve(m, profile, s.read(m.Namespace, referencesOf(m, profile))); entry == nil {
			s.Index.Delete(key)
		} else {
			s.Index.Put(entry)
		}
	}
	for _, file := range gone {
		_ = os.Remove(filepath.Join(s.StatusDir, file)) // a status of nothing: at worst it stays
	}
	s.report()
	s.Log.Info("Manifests applied", "machines", len(machines), "bootProfiles", len(profiles), "problems", len(problems))
}

// keepLastGood adds to now what was there before and is missing only because its file, or the object itself, has a
// problem: an edit that went wrong must not take away what serves.
func keepLastGood[T any](kind string, now, before map[index.Key]*T, files, oldFiles map[string]string, problems []manifest.Problem) {
	for key, object := range before {
		if now[key] != nil {
			continue
		}
		id := kind + " " + string(key)
		file := oldFiles[id]
		concerns := func(p manifest.Problem) bool { // the object, its file, or a folder that it is in
			return p.Object == id || p.File == file || p.File == "." || strings.HasPrefix(file, p.File+"/")
		}
		if slices.ContainsFunc(problems, concerns) {
			now[key] = object
			files[id] = file
		}
	}
}

// gone takes out of the index what is no more, and returns the names of its status files.
func (s *Standalone) gone(machines map[index.Key]*v1alpha1.Machine, profiles map[index.Key]*v1alpha1.BootProfile) []string {
	var files []string
	for key := range s.machines {
		if machines[key] == nil {
			s.Index.Delete(key)
			if s.Boots != nil {
				s.Boots.forget(key)
			}
			files = append(files, statusFile(kindMachine, key))
		}
	}
	for key := range s.profiles {
		if profiles[key] == nil {
			indexProfile(s.Index, s.pulls, key, nil, nil)
			files = append(files, statusFile(kindBootProfile, key))
		}
	}
	return files
}

// tell logs each problem once, and again when it comes back after it was mended.
func (s *Standalone) tell(problems []manifest.Problem) {
	told := map[string]bool{}
	for _, p := range problems {
		text := p.String()
		if !s.told[text] {
			s.Log.Info("Manifest refused; the last good version keeps serving", "problem", text)
		}
		told[text] = true
	}
	s.told = told
}

func (s *Standalone) profileFor(m *v1alpha1.Machine) *v1alpha1.BootProfile {
	if m.Spec.ProfileRef == nil {
		return nil
	}
	return s.profiles[index.Key(m.Namespace+"/"+m.Spec.ProfileRef.Name)]
}

// report brings every status up to date, and the files of those that changed.
func (s *Standalone) report() {
	all := make([]v1alpha1.Machine, 0, len(s.machines))
	users := map[*v1alpha1.BootProfile]*v1alpha1.MachineCounts{}
	claims := map[string][]int{} // identity -> positions in all
	for _, key := range slices.Sorted(maps.Keys(s.machines)) {
		m := s.machines[key]
		for _, identity := range identities(m) {
			claims[identity] = append(claims[identity], len(all))
		}
		all = append(all, *m)
		if p := s.profileFor(m); p != nil {
			if users[p] == nil {
				users[p] = &v1alpha1.MachineCounts{}
			}
			count(users[p], m)
		}
	}
	pods := s.holdings()
	for key, p := range s.profiles {
		before := p.DeepCopy()
		var counts v1alpha1.MachineCounts
		if n := users[p]; n != nil {
			counts = *n
		}
		reportProfile(p, counts, pods)
		s.write(kindBootProfile, key, p, !equality.Semantic.DeepEqual(before.Status, p.Status))
	}
	for key, m := range s.machines {
		var rivals []v1alpha1.Machine
		for _, identity := range identities(m) {
			for _, i := range claims[identity] {
				rivals = append(rivals, all[i])
			}
		}
		before, profile := m.DeepCopy(), s.profileFor(m)
		reportMachine(m, profile, s.read(m.Namespace, referencesOf(m, profile)), rivals)
		s.write(kindMachine, key, m, !equality.Semantic.DeepEqual(before.Status, m.Status))
	}
}

// statusFile returns a name that no two objects share: the parts of a key hold no "_".
func statusFile(kind string, key index.Key) string {
	return strings.ToLower(kind) + "_" + strings.ReplaceAll(string(key), "/", "_") + ".yaml"
}

// write puts an object with its status into its file.
func (s *Standalone) write(kind string, key index.Key, o any, changed bool) {
	if s.StatusDir == "" || !changed {
		return
	}
	if err := writeYAML(filepath.Join(s.StatusDir, statusFile(kind, key)), o, false); err != nil {
		s.Log.Error(err, "Status is not written", kind, key)
	}
}

// writeYAML replaces a file as a whole. A durable one outlives a loss of power.
func writeYAML(path string, o any, durable bool) error {
	text, err := yaml.Marshal(o)
	if err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // another process may write the same
	if err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	_, err = f.Write(text)
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Chmod(0o640), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write status: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// Summary counts the objects that are good, and says for each one that is not ready why.
func (s *Standalone) Summary() (machines, profiles int, notReady []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	warn := func(kind string, key index.Key, conditions []metav1.Condition) {
		if ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); ready != nil && ready.Status != metav1.ConditionTrue {
			notReady = append(notReady, fmt.Sprintf("%s %s: %s: %s", kind, key, ready.Reason, ready.Message))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.profiles)) {
		warn(kindBootProfile, key, s.profiles[key].Status.Conditions)
	}
	for _, key := range slices.Sorted(maps.Keys(s.machines)) {
		warn(kindMachine, key, s.machines[key].Status.Conditions)
	}
	return len(s.machines), len(s.profiles), notReady
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// fileBoots is the bootSink of Standalone.
type fileBoots struct{ *Standalone }

// reportBoots writes what became of boots into the status files until ctx ends. The manifests have been read.
func (s *Standalone) reportBoots(ctx context.Context) {
	if l := s.Boots.learner; l != nil { // what an earlier process has served may go on
		s.mu.Lock()
		for _, key := range slices.Sorted(maps.Keys(s.machines)) {
			if b := s.machines[key].Status.LastBoot; b != nil {
				l.Learn(attemptOf(key, b))
			}
		}
		s.mu.Unlock()
	}
	_ = s.Boots.report(ctx, fileBoots{s}) // it ends when ctx does
}

// write implements bootSink.
func (s fileBoots) write(_ context.Context, b queuedBoot) (bootResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.machines[b.machine]
	if m == nil {
		s.Boots.forget(b.machine)
		return bootUnchanged, nil
	}
	news, memory, before := s.Boots.news(b, m.Spec.BootID), s.Boots.memory(b.machine), m.DeepCopy()
	applyBoot(m, news, &memory)
	if equality.Semantic.DeepEqual(before.Status, m.Status) {
		s.Boots.wrote(memory, news, before, m)
		return bootUnchanged, nil
	}
	if s.StatusDir != "" {
		if err := writeYAML(filepath.Join(s.StatusDir, statusFile(kindMachine, b.machine)), m, true); err != nil {
			m.Status = before.Status // it is not known to any later process
			return bootRetried, err
		}
	}
	profile := s.profileFor(m)
	if entry, _ := resolve(m, profile, s.read(m.Namespace, referencesOf(m, profile))); entry != nil {
		s.Index.Put(entry) // what it boots next may have changed
	}
	// Only now: what the ledger knew stands in the index, too.
	s.Boots.wrote(memory, news, before, m)
	if profile != nil && countedAs(before) != countedAs(m) {
		s.reportCounts(profile)
	}
	for _, e := range bootEvents(m, before) {
		s.Log.Info(e.Note, "event", e.Reason, kindMachine, b.machine)
	}
	return bootWritten, nil
}

// reportCounts brings the count of machines in a profile's status up to date.
func (s *Standalone) reportCounts(profile *v1alpha1.BootProfile) {
	var counts v1alpha1.MachineCounts
	for _, m := range s.machines {
		if s.profileFor(m) == profile {
			count(&counts, m)
		}
	}
	profile.Status.Machines = &counts
	s.write(kindBootProfile, keyOf(profile), profile, true)
}

// recall gives Machines that this process sees for the first time the status that an earlier one wrote: whether they are done
// must outlive it.
func (s *Standalone) recall(m *v1alpha1.Machine) {
	if s.StatusDir == "" || s.Boots == nil {
		return
	}
	status, err := readStatus(filepath.Join(s.StatusDir, statusFile(kindMachine, keyOf(m))), keyOf(m))
	if err != nil {
		s.Log.Error(err, "What became of earlier boots is not known", kindMachine, keyOf(m))
		return
	}
	m.Status = status
}

// readStatus reads the status that was written of a Machine; the zero value if none was.
func readStatus(path string, key index.Key) (v1alpha1.MachineStatus, error) {
	text, err := os.ReadFile(path) //nolint:gosec // a name that statusFile made
	if errors.Is(err, fs.ErrNotExist) {
		return v1alpha1.MachineStatus{}, nil
	} else if err != nil {
		return v1alpha1.MachineStatus{}, fmt.Errorf("read status: %w", err)
	}
	var m v1alpha1.Machine
	if err := yaml.Unmarshal(text, &m); err != nil {
		return v1alpha1.MachineStatus{}, fmt.Errorf("read status: %s: %w", filepath.Base(path), err)
	}
	if keyOf(&m) != key {
		return v1alpha1.MachineStatus{}, fmt.Errorf("read status: %s is of Machine %s", filepath.Base(path), keyOf(&m))
	}
	return m.Status, nil
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// Timing: what changes within snapshotPause is written at once; what took long to write is written more rarely still. When
// nothing changes, the file is written anew each snapshotRefresh while the API server is in touch: its time says how old what
// would be served is.
const (
	snapshotPause    = 2 * time.Second
	maxSnapshotPause = time.Minute
	snapshotRefresh  = 10 * time.Minute
)

// touch tells that what is to be saved may have changed. A nil Snapshot saves nothing.
func (s *Snapshot) touch() {
	if s == nil {
		return
	}
	select {
	case s.changed <- struct{}{}:
	default: // it is known
	}
}

// saw notes what a reference leads to.
func (s *Snapshot) saw(key referentKey, r referent) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.referents[key] = r
}

// useKeys notes the keys of tokens, the one that signs first.
func (s *Snapshot) useKeys(keys ...token.Key) {
	if s == nil {
		return
	}
	texts := make([]string, 0, len(keys))
	for _, k := range keys {
		if !k.IsZero() {
			texts = append(texts, string(k.Text()))
		}
	}
	s.mu.Lock()
	same := slices.Equal(s.keys, texts)
	s.keys = texts
	s.mu.Unlock()
	if !same {
		s.touch()
	}
}

// contact tells that the API server has just answered.
func (s *Snapshot) contact() {
	if s == nil {
		return
	}
	now := time.Now()
	setTime(s.metrics.contact, now)
	s.mu.Lock()
	s.inTouch = now
	due := now.Sub(s.written[objectsFile].at) > snapshotRefresh
	s.mu.Unlock()
	if due {
		s.touch()
	}
}

// run writes what changes until ctx ends. reader is a cache that is full, and what refers to something has been looked at.
func (s *Snapshot) run(ctx context.Context, reader client.Reader) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		}
		start := time.Now()
		err := s.write(ctx, reader)
		if ctx.Err() != nil {
			return nil
		}
		pause := min(max(snapshotPause, 50*time.Since(start)), maxSnapshotPause)
		if err != nil {
			s.touch() // again, after the pause
			pause = maxSnapshotPause / 4
		}
		if !wait(ctx, pause) {
			return nil
		}
	}
}

// write writes both files, each only if its content is new or it is time to.
func (s *Snapshot) write(ctx context.Context, reader client.Reader) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	objects, secrets, err := s.collect(ctx, reader)
	if err == nil && s.options.RuntimeDir != "" {
		err = s.save(s.options.RuntimeDir, secretsFile, maxSecretsFile, secrets)
		s.tell(secretsFile, err)
	}
	errObjects := err
	if objects != nil {
		errObjects = s.save(s.options.Dir, objectsFile, maxObjectsFile, objects)
	}
	s.tell(objectsFile, errObjects)
	if err == nil {
		err = errObjects
	}
	return err
}

// tell counts a failure, and logs the first of a row and its end.
func (s *Snapshot) tell(file string, err error) {
	s.mu.Lock()
	was := s.failing[file]
	s.failing[file] = err != nil
	s.mu.Unlock()
	switch {
	case err != nil:
		s.metrics.writeErrors.Inc()
		if !was {
			s.options.Log.Error(err, "Snapshot is not written; the one before stays, and it is tried again", "file", file)
		}
	case was:
		s.options.Log.Info("Snapshot is written again", "file", file)
	}
}

// save writes one file.
func (s *Snapshot) save(dir, name string, maxBytes int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	now := time.Now()
	next := snapshotWritten{at: now, sum: hex.EncodeToString(sumOf(text))}
	s.mu.Lock()
	before := s.written[name]
	s.mu.Unlock()
	if before.sum == next.sum && now.Sub(before.at) <= snapshotRefresh {
		return nil
	}
	content, err := encodeSnapshot(snapshotHead{Time: now.UTC(), Server: s.options.Server, Namespace: s.options.Namespace}, text)
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if len(content) > maxBytes {
		return fmt.Errorf("write snapshot: it has %d bytes, more than the %d that are allowed", len(content), maxBytes)
	}
	if err := writeSnapshot(dir, name, content); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	s.mu.Lock()
	s.written[name] = next
	s.mu.Unlock()
	if name == objectsFile {
		setTime(s.metrics.timestamp, now)
	}
	return nil
}

// collect returns what is to be saved, in the order of names. It forgets what nobody refers to any more.
func (s *Snapshot) collect(ctx context.Context, reader client.Reader) (*savedObjects, *savedSecrets, error) {
	var machines v1alpha1.MachineList
	var profiles v1alpha1.BootProfileList
	for _, list := range []client.ObjectList{&machines, &profiles} {
		if err := reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil { // what is taken of them is copied or only read
			return nil, nil, fmt.Errorf("write snapshot: %w", err)
		}
	}
	objects, secrets := &savedObjects{}, &savedSecrets{}
	needed := map[referentKey]bool{}
	for i := range machines.Items {
		m := &machines.Items[i]
		saved := v1alpha1.Machine{ObjectMeta: savedMeta(m), Spec: m.Spec}
		saved.Status.BootID = m.Status.BootID
		if b := m.Status.LastBoot; b != nil && m.Status.BootsSinceCompletion > 0 { // else it would change with each boot
			saved.Status.BootsSinceCompletion = m.Status.BootsSinceCompletion
			saved.Status.LastBoot = &v1alpha1.LastBoot{BootID: b.BootID}
		}
		objects.Machines = append(objects.Machines, saved)
		for _, to := range referencesOf(m, nil) {
			needed[referentKey{m.Namespace, to}] = true
		}
	}
	for i := range profiles.Items {
		p := &profiles.Items[i]
		objects.BootProfiles = append(objects.BootProfiles, v1alpha1.BootProfile{ObjectMeta: savedMeta(p), Spec: p.Spec})
		for _, to := range referencesOf(nil, p) {
			needed[referentKey{p.Namespace, to}] = true
		}
	}
	slices.SortFunc(objects.Machines, func(a, b v1alpha1.Machine) int { return strings.Compare(string(keyOf(&a)), string(keyOf(&b))) })
	slices.SortFunc(objects.BootProfiles, func(a, b v1alpha1.BootProfile) int {
		return strings.Compare(string(keyOf(&a)), string(keyOf(&b)))
	})
	s.collectReferents(needed, objects, secrets)
	return objects, secrets, nil
}

func (s *Snapshot) collectReferents(needed map[referentKey]bool, objects *savedObjects, secrets *savedSecrets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secrets.TokenKeys = s.keys
	for key, r := range s.referents {
		if !needed[key] {
			delete(s.referents, key)
			continue
		}
		saved := savedReferent{Kind: key.kind, Namespace: key.namespace, Name: key.name, Data: r.data}
		switch {
		case r.fault != nil:
			saved.Reason, saved.Message = r.fault.Reason, r.fault.Message
		case key.kind == kindSecret:
			secrets.References = append(secrets.References, saved)
			saved.Data = nil
		}
		objects.References = append(objects.References, saved)
	}
	for _, list := range [][]savedReferent{objects.References, secrets.References} {
		slices.SortFunc(list, func(a, b savedReferent) int {
			return strings.Compare(a.Namespace+"/"+a.Kind+"/"+a.Name, b.Namespace+"/"+b.Kind+"/"+b.Name)
		})
	}
}

// savedMeta returns what resolve needs of an object's metadata. Annotations may hold anything.
func savedMeta(o client.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), Generation: o.GetGeneration(), CreationTimestamp: o.GetCreationTimestamp(),
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// SnapshotOptions say where a snapshot is, and of what.
type SnapshotOptions struct {
	Dir string // of the objects
	// RuntimeDir is a folder in memory, for what was read of Secrets and for the keys of tokens. Empty: those are not kept.
	RuntimeDir string
	// Server and Namespace are what this process follows; an empty namespace is all. A snapshot of others is not used.
	Server, Namespace string
	Log               logr.Logger
	Registerer        prometheus.Registerer // nil: metrics are not registered
}

// A Snapshot keeps on disk what the index is made of, so that a process that starts while the API server is away can serve.
// What it keeps are objects, not index entries: the very same resolve makes entries of them.
type Snapshot struct {
	options SnapshotOptions
	metrics *snapshotMetrics
	writing sync.Mutex    // is held by the one who writes the files
	changed chan struct{} // something may have to be written

	mu        sync.Mutex
	at        time.Time // of what was restored; zero: nothing was
	objects   int
	missing   int                        // Secrets whose contents were not kept
	serving   bool                       // from it
	current   bool                       // the index is what the API server says
	referents map[referentKey]referent   // the last that was known of each
	keys      []string                   // of tokens
	written   map[string]snapshotWritten // by file
	inTouch   time.Time                  // with the API server
	failing   map[string]bool            // files whose last write failed
}

// A snapshotWritten is what is in a file.
type snapshotWritten struct {
	at  time.Time
	sum string // of the body
}

// savedObjects is the body of objectsFile.
type savedObjects struct {
	Machines     []v1alpha1.Machine     `json:"machines"`
	BootProfiles []v1alpha1.BootProfile `json:"bootProfiles"`
	References   []savedReferent        `json:"references"`
}

// savedSecrets is the body of secretsFile.
type savedSecrets struct {
	References []savedReferent `json:"references"`
	TokenKeys  []string        `json:"tokenKeys"` // in base64; the first signs
}

// A savedReferent is what a reference leads to: data, or why there is none. Data of Secrets is in secretsFile only.
type savedReferent struct {
	Kind      string            `json:"kind"`
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Data      map[string][]byte `json:"data,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Message   string            `json:"message,omitempty"`
}

func (s savedReferent) key() referentKey {
	return referentKey{s.Namespace, reference{s.Kind, s.Name}}
}

// NewSnapshot returns a Snapshot that has not yet looked at the disk.
func NewSnapshot(o SnapshotOptions) (*Snapshot, error) {
	metrics, err := newSnapshotMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Snapshot{
		options: o, metrics: metrics, changed: make(chan struct{}, 1),
		referents: map[referentKey]referent{}, written: map[string]snapshotWritten{}, failing: map[string]bool{},
	}, nil
}

// Restore puts what is on disk into the index, gives its artifacts to be kept, and the keys to tokens. It returns whether there
// was something that can be served. It is called before anybody else writes to the index: an indexer that handles an object
// later replaces what came from here.
func (s *Snapshot) Restore(x *index.Index, artifacts ArtifactStore, tokens *token.Keyring) bool {
	want := snapshotHead{Server: s.options.Server, Namespace: s.options.Namespace}
	removeAbandoned(s.options.Dir)
	var objects savedObjects
	head, err := readSnapshot(s.options.Dir, objectsFile, maxObjectsFile, want, &objects)
	if err != nil {
		s.notUsed(objectsFile, err)
		return false
	}
	from := map[referentKey]referent{}
	for _, r := range objects.References {
		switch {
		case r.Reason != "":
			from[r.key()] = faulty(r.Reason, "%s", r.Message)
		case r.Kind == kindSecret:
			from[r.key()] = notKept(r.key().reference, s.options.RuntimeDir)
		default:
			from[r.key()] = referent{data: r.Data}
		}
	}
	s.restoreSecrets(want, from, tokens)

	s.mu.Lock()
	s.at, s.objects = head.Time, len(objects.Machines)+len(objects.BootProfiles)
	for key, r := range from {
		if r.fault == nil {
			s.referents[key] = r
		} else if key.kind == kindSecret && r.fault.Reason == v1alpha1.ReasonSourceUnreadable {
			s.missing++
		}
	}
	s.mu.Unlock()
	setTime(s.metrics.timestamp, head.Time)
	restoreIndex(x, artifacts, objects, from)
	return true
}

// restoreSecrets adds what is known of Secrets to from.
func (s *Snapshot) restoreSecrets(want snapshotHead, from map[referentKey]referent, tokens *token.Keyring) {
	if s.options.RuntimeDir == "" {
		return
	}
	removeAbandoned(s.options.RuntimeDir)
	var secrets savedSecrets
	if _, err := readSnapshot(s.options.RuntimeDir, secretsFile, maxSecretsFile, want, &secrets); err != nil {
		s.notUsed(secretsFile, err)
		return
	}
	for _, r := range secrets.References {
		if was, named := from[r.key()]; named && (was.fault == nil || was.fault.Reason == v1alpha1.ReasonSourceUnreadable) {
			from[r.key()] = referent{data: r.Data}
		}
	}
	keys := make([]token.Key, 0, len(secrets.TokenKeys))
	for _, text := range secrets.TokenKeys {
		key, err := token.ParseKey([]byte(text))
		if err != nil {
			s.notUsed(secretsFile, fmt.Errorf("damaged: a key of tokens: %w", err))
			continue
		}
		keys = append(keys, key)
	}
	if tokens != nil && len(keys) > 0 {
		tokens.Use(keys...)
	}
	s.mu.Lock()
	s.keys = secrets.TokenKeys
	s.mu.Unlock()
}

// notUsed logs why a file is of no use.
func (s *Snapshot) notUsed(file string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		s.options.Log.Info("There is no snapshot yet: what it would hold comes from the API server only", "file", file)
		return
	}
	s.options.Log.Info("Snapshot is not used", "file", file, "reason", err.Error())
}

// notKept is the referent of a Secret whose contents did not outlive the process.
func notKept(to reference, runtimeDir string) referent {
	why := "they were not in the runtime folder"
	if runtimeDir == "" {
		why = "without --runtime-dir they are not kept"
	}
	return faulty(v1alpha1.ReasonSourceUnreadable, "%s: its contents did not outlive the restart: %s; it is read when the API server is back", to, why)
}

// restoreIndex does what the indexers do, with what was saved.
func restoreIndex(x *index.Index, artifacts ArtifactStore, objects savedObjects, from map[referentKey]referent) {
	read := func(namespace string, refs []reference) referents {
		found := referents{}
		for _, to := range refs {
			if r, ok := from[referentKey{namespace, to}]; ok {
				found[to] = r
			}
		}
		return found
	}
	profiles := map[index.Key]*v1alpha1.BootProfile{}
	keeper := newPulls(artifacts, func() {})
	for i := range objects.BootProfiles {
		p := &objects.BootProfiles[i]
		profiles[keyOf(p)] = p
		indexProfile(x, keeper, keyOf(p), p, read(p.Namespace, referencesOfArtifacts(p)))
	}
	for i := range objects.Machines {
		m := &objects.Machines[i]
		var profile *v1alpha1.BootProfile
		if m.Spec.ProfileRef != nil {
			profile = profiles[index.Key(m.Namespace+"/"+m.Spec.ProfileRef.Name)]
		}
		if entry, _ := resolve(m, profile, read(m.Namespace, referencesOf(m, profile))); entry != nil {
			x.Put(entry)
		}
	}
}

// Begin says that what was restored is served from now on, and why.
func (s *Snapshot) Begin(reason string) {
	s.mu.Lock()
	at, objects, missing := s.at, s.objects, s.missing
	s.serving = !s.current // it may have come in the last moment
	begins := s.serving
	s.mu.Unlock()
	if !begins {
		return
	}
	s.metrics.serving.Set(1)
	s.options.Log.Info("Serving from the snapshot; API server unreachable", "snapshot", at.Format(time.RFC3339),
		"age", max(time.Since(at), 0).Round(time.Second).String(), "objects", objects, "secretsNotKept", missing, "reason", reason)
}

// end says that the index is what the API server says.
func (s *Snapshot) end() {
	s.mu.Lock()
	was := s.serving
	s.serving, s.current = false, true
	s.mu.Unlock()
	if was {
		s.metrics.serving.Set(0)
		s.options.Log.Info("Serving what the API server says again")
	}
}

// Served returns of when what is served is, and whether it comes from the snapshot at all. Of a nil Snapshot nothing does.
func (s *Snapshot) Served() (at time.Time, served bool) {
	if s == nil {
		return time.Time{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at, s.serving
}

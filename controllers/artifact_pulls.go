// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// An ArtifactKeeper fetches what an owner needs before anybody asks for it, and keeps it. Nil: the owner needs nothing any
// more. Keep does not wait.
type ArtifactKeeper interface {
	Keep(owner index.Key, artifacts []*index.Artifact)
}

// An ArtifactStore is an ArtifactKeeper that tells how far it is, without asking anybody.
type ArtifactStore interface {
	ArtifactKeeper
	State(id index.ID) artifact.State
}

// pulls is what this pod needs, and how far it is with it. It stands between the indexers and the store.
type pulls struct {
	store   ArtifactStore // nil: nothing is fetched
	changed func()        // is called when something else is needed; must not block

	mu     sync.Mutex
	needed map[index.Key][]*index.Artifact // by BootProfile
}

func newPulls(store ArtifactStore, changed func()) *pulls {
	return &pulls{store: store, changed: changed, needed: map[index.Key][]*index.Artifact{}}
}

// Keep implements ArtifactKeeper.
func (p *pulls) Keep(owner index.Key, artifacts []*index.Artifact) {
	if p.store == nil {
		return
	}
	p.mu.Lock()
	if len(artifacts) == 0 {
		delete(p.needed, owner)
	} else {
		p.needed[owner] = artifacts
	}
	p.mu.Unlock()
	p.store.Keep(owner, artifacts)
	p.changed()
}

// naming returns the BootProfiles that need one of the given artifacts; all when changed is nil.
func (p *pulls) naming(changed map[shortID]bool) []index.Key {
	p.mu.Lock()
	defer p.mu.Unlock()
	var keys []index.Key
	for key, artifacts := range p.needed {
		if changed == nil || slices.ContainsFunc(artifacts, func(a *index.Artifact) bool { return changed[shortIDOf(a)] }) {
			keys = append(keys, key)
		}
	}
	return keys
}

// profileNamed returns a BootProfile with nothing but its name, to enqueue it.
func profileNamed(key index.Key) *v1alpha1.BootProfile {
	namespace, name, _ := strings.Cut(string(key), "/")
	return &v1alpha1.BootProfile{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

// holdings says of each artifact that this pod needs how far it is. Those that it has not begun with are left out.
func (p *pulls) holdings() holdings {
	p.mu.Lock()
	ids := map[index.ID]shortID{}
	for _, artifacts := range p.needed {
		for _, a := range artifacts {
			ids[a.ID()] = shortIDOf(a)
		}
	}
	p.mu.Unlock()

	found := make(holdings, len(ids))
	for id, short := range ids {
		if h := holdingOf(p.store.State(id)); h != (holding{}) {
			found[short] = h
		}
	}
	return found
}

// A shortID stands for an artifact's id where many of them are told: its first 80 bits. An "u" before them says that the
// artifact has no digest.
type shortID string

func shortIDOf(a *index.Artifact) shortID {
	kind, digits, _ := strings.Cut(string(a.ID()), "/")
	if kind == "unverified" {
		return shortID("u" + digits[:20])
	}
	return shortID(digits[:20])
}

// holdings is what a pod has of artifacts.
type holdings map[shortID]holding

// A holding says how far one pod is with one artifact. Exactly one of Cached, Fetching and Reason is set.
type holding struct {
	Cached   bool `json:"cached,omitempty"`
	Fetching bool `json:"fetching,omitempty"`
	// Received of Bytes have come while Fetching; else Bytes is the size of what is cached. 0: not known.
	Received int64 `json:"received,omitempty"`
	Bytes    int64 `json:"bytes,omitempty"`
	// Reason and Message say why it can't be had.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// maxFault bounds what a pod tells of one failure, in bytes: a URL may have 2048, and there may be five.
const maxFault = 2048

// holdingOf turns what a store knows into what is told. A failure is told until the artifact is there, also while it is
// tried again: else the conditions would change with each try.
func holdingOf(s artifact.State) holding {
	switch {
	case s.Cached:
		return holding{Cached: true, Bytes: s.Bytes}
	case s.Err != nil:
		reason, message := v1alpha1.ReasonStorageFailed, s.Err.Error()
		if fault, ok := errors.AsType[*artifact.Error](s.Err); ok {
			reason = string(fault.Reason)
			// Without the field: another profile may need the same artifact.
			message = fmt.Sprintf("from %s: %v", fault.URL, fault.Err)
		}
		return holding{Reason: reason, Message: cut(message, maxFault)}
	case s.Fetching:
		return holding{Fetching: true, Received: max(s.Received, 0), Bytes: max(s.Total, 0)}
	}
	return holding{}
}

// cut shortens a text to a number of bytes.
func cut(text string, maxBytes int) string {
	if len(text) <= maxBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxBytes-3], "") + "..." // the cut may go through a character
}

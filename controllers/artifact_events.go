// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"github.com/go-logr/logr"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// ArtifactEvents wakes those who report when a fetch of this pod starts or ends, and logs it. It implements
// artifact.Observer. Of any number of changes that nobody has looked at yet it holds one: who is woken looks at all.
type ArtifactEvents struct {
	log     logr.Logger
	changed chan struct{}
}

// NewArtifactEvents returns ArtifactEvents that nobody waits for yet.
func NewArtifactEvents(log logr.Logger) *ArtifactEvents {
	return &ArtifactEvents{log: log.WithName("artifacts"), changed: make(chan struct{}, 1)}
}

// ArtifactStarted implements artifact.Observer.
func (e *ArtifactEvents) ArtifactStarted(a *index.Artifact) {
	e.log.V(1).Info("Artifact is being fetched", "artifact", a.Field)
	e.wake()
}

// ArtifactFetched implements artifact.Observer.
func (e *ArtifactEvents) ArtifactFetched(a *index.Artifact, bytes int64, took time.Duration) {
	e.log.Info("Artifact is here", "artifact", a.Field, "bytes", bytes, "took", took)
	e.wake()
}

// ArtifactFailed implements artifact.Observer.
func (e *ArtifactEvents) ArtifactFailed(a *index.Artifact, err error) {
	e.log.Info("Artifact was not fetched", "artifact", a.Field, "reason", err.Error())
	e.wake()
}

func (e *ArtifactEvents) wake() {
	select {
	case e.changed <- struct{}{}:
	default: // somebody is being woken already
	}
}

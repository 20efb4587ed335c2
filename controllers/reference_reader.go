// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// +kubebuilder:rbac:groups="",resources=configmaps;secrets,verbs=get;list;watch

// rememberFor is how long contents are kept for the next who asks: when a Secret changes that the profile of a thousand
// Machines refers to, all of them look at it at once.
const rememberFor = time.Second

// A referenceReader reads ConfigMaps and Secrets from the API server, past the cache: that would hold those of the whole
// cluster. It is safe for concurrent use.
type referenceReader struct {
	api      client.Reader // without a cache
	snapshot *Snapshot     // is told what was read; nil: nobody is

	mu      sync.Mutex
	changes int // that forget was told of
	recent  map[referentKey]remembered
}

type referentKey struct {
	namespace string
	reference
}

type remembered struct {
	referent
	at time.Time
}

func newReferenceReader(api client.Reader) *referenceReader {
	return &referenceReader{api: api, recent: map[referentKey]remembered{}}
}

// read returns what the references of one namespace lead to. What does not exist, or may not be read, is a referent that says
// so. The error is for what may be better the next time; the referents are complete all the same.
func (r *referenceReader) read(ctx context.Context, namespace string, refs []reference) (referents, error) {
	found := make(referents, len(refs))
	var errs []error
	for _, to := range refs {
		from, err := r.referent(ctx, referentKey{namespace, to})
		if err != nil {
			errs = append(errs, err)
		}
		found[to] = from
	}
	return found, errors.Join(errs...)
}

func (r *referenceReader) referent(ctx context.Context, key referentKey) (referent, error) {
	r.mu.Lock()
	before, known := r.recent[key]
	changes := r.changes
	r.mu.Unlock()
	if known && time.Since(before.at) < rememberFor {
		return before.referent, nil
	}
	from, err := r.fetch(ctx, key)
	if err != nil {
		return from, err
	}
	r.snapshot.saw(key, from)
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, old := range r.recent {
		if time.Since(old.at) >= rememberFor {
			delete(r.recent, key)
		}
	}
	if changes == r.changes { // else it may have changed while it was read
		r.recent[key] = remembered{from, time.Now()}
	}
	return from, nil
}

// forget makes the next read of an object a fresh one. It is called before anybody is told that the object changed.
func (r *referenceReader) forget(kind string, object client.ObjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	delete(r.recent, referentKey{object.Namespace, reference{kind, object.Name}})
}

func (r *referenceReader) fetch(ctx context.Context, key referentKey) (from referent, err error) {
	if key.reference == (reference{kindSecret, TokenSecret}) { // it opens the configs of all namespaces
		return faulty(v1alpha1.ReasonSourceForbidden, "%s holds the operator's own keys; name another", key.reference), nil
	}
	at := client.ObjectKey{Namespace: key.namespace, Name: key.name}
	if key.kind == kindSecret {
		o := &corev1.Secret{}
		err = r.api.Get(ctx, at, o)
		from = fromSecret(o)
	} else {
		o := &corev1.ConfigMap{}
		err = r.api.Get(ctx, at, o)
		from = fromConfigMap(o)
	}
	switch {
	case err == nil:
		return from, nil
	case apierrors.IsNotFound(err):
		return missing(key.namespace, key.reference), nil
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return faulty(v1alpha1.ReasonSourceForbidden, "%s: the operator may not read %ss in namespace %q; "+
			"allow its service account to get, list and watch them", key.reference, key.kind, key.namespace), nil
	}
	why := apierrors.ReasonForError(err)
	if why == "" {
		why = "Unreachable"
	}
	return faulty(v1alpha1.ReasonSourceUnreadable, "%s can't be read now (%s): it is tried again", key.reference, why),
		fmt.Errorf("get %s %s: %w", key.kind, at, err)
}

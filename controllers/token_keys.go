// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// TokenSecret is the name of the Secret that holds the keys of tokens: `current` signs and checks, `previous`, if it is
// there, only checks. Each is 32 random bytes in base64.
const TokenSecret = "netboot-operator-tokens"

const (
	keyCurrent  = "current"
	keyPrevious = "previous"
)

// Timing: how often the Secret is looked at, so that a rotation is seen, and how soon again when it could not be had. The
// first look has firstLook before the servers start without it.
const (
	tokenKeysPeriod = 30 * time.Second
	tokenKeysRetry  = 5 * time.Second
	firstLook       = 5 * time.Second
)

// tokenKeys gives the keys in the Secret of all pods to this pod's Keyring. The pod that finds no Secret makes one. Without a
// key all is served that needs none.
type tokenKeys struct {
	Reader    client.Reader // without a cache
	Writer    client.Writer
	Namespace string
	Keyring   *token.Keyring
	Log       logr.Logger
	Snapshot  *Snapshot               // is told the keys; nil: nobody is
	Owners    []metav1.OwnerReference // of the Secret; nil: it stays when the operator goes

	looked chan struct{} // closed after the first look
	told   string        // the last fault that was logged; empty: none
}

func newTokenKeys(mgr ctrl.Manager, namespace string, keyring *token.Keyring) *tokenKeys {
	return &tokenKeys{
		Reader: mgr.GetAPIReader(), Writer: mgr.GetClient(), Namespace: namespace, Keyring: keyring,
		Log: mgr.GetLogger().WithName("tokens"), looked: make(chan struct{}),
	}
}

// +kubebuilder:rbac:groups="",resources=secrets,verbs=create,namespace=system
// +kubebuilder:rbac:groups="",resources=secrets,resourceNames=netboot-operator-tokens,verbs=get,namespace=system

// Start looks at the Secret again and again until ctx ends.
func (k *tokenKeys) Start(ctx context.Context) error {
	once := sync.OnceFunc(func() { close(k.looked) })
	defer once()
	for ctx.Err() == nil {
		pause := tokenKeysPeriod
		if err := k.load(ctx); err != nil {
			pause = tokenKeysRetry
			k.tell(err)
		} else {
			k.told = ""
		}
		once()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*tokenKeys) NeedLeaderElection() bool { return false }

// waitForFirst returns after the first look, or soon: without a key all else is served.
func (k *tokenKeys) waitForFirst(ctx context.Context) {
	select {
	case <-k.looked:
	case <-time.After(firstLook):
	case <-ctx.Done():
	}
}

// tell logs a fault once, as long as it stays the same.
func (k *tokenKeys) tell(err error) {
	if err.Error() == k.told {
		return
	}
	k.told = err.Error()
	if k.Keyring.Ready() {
		k.Log.Error(err, "The key of tokens can't be looked at; the last one goes on")
		return
	}
	k.Log.Error(err, "There is no key of tokens; configs with access Token can't be served")
}

// load brings the Keyring up to date with the Secret, and makes the Secret if there is none.
func (k *tokenKeys) load(ctx context.Context) error {
	secret, err := k.fetch(ctx)
	if apierrors.IsNotFound(err) {
		if secret, err = k.create(ctx); apierrors.IsAlreadyExists(err) {
			secret, err = k.fetch(ctx) // another pod was first: its key is the one
		}
	}
	if err != nil {
		return fmt.Errorf("key of tokens in Secret %s/%s: %w", k.Namespace, TokenSecret, err)
	}
	current, err := token.ParseKey(secret.Data[keyCurrent])
	if err != nil {
		return fmt.Errorf("key %q of Secret %s/%s: %w", keyCurrent, k.Namespace, TokenSecret, err)
	}
	text, ok := secret.Data[keyPrevious]
	if !ok || len(text) == 0 {
		k.Keyring.Use(current)
		k.Snapshot.useKeys(current)
		return nil
	}
	previous, err := token.ParseKey(text)
	k.Keyring.Use(current, previous)
	k.Snapshot.useKeys(current, previous)
	if err != nil {
		return fmt.Errorf("key %q of Secret %s/%s: %w", keyPrevious, k.Namespace, TokenSecret, err)
	}
	return nil
}

func (k *tokenKeys) fetch(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := k.Reader.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: TokenSecret}, secret)
	return secret, err
}

func (k *tokenKeys) create(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: k.Namespace, Name: TokenSecret, OwnerReferences: k.Owners,
			Labels: map[string]string{"app.kubernetes.io/name": "netboot-operator", "app.kubernetes.io/component": "tokens"},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{keyCurrent: token.NewKey().Text()},
	}
	err := k.Writer.Create(ctx, secret)
	return secret, err
}

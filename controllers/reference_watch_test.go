// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

// TestWatchHoldsNamesOnly looks at what a pod keeps in memory of Secrets: in the namespace that it follows, and in others.
func TestWatchHoldsNamesOnly(t *testing.T) {
	config := server.Config(t)
	c := controlplane.Client(t, config)
	followed, other := controlplane.Namespace(t, c), controlplane.Namespace(t, c)
	for _, namespace := range []string{followed, other} {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: "keys", Labels: map[string]string{"a": "b"},
				Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": `{"stringData":{"k":"hunter2"}}`},
			},
			StringData: map[string]string{"k": "hunter2"},
		}
		if err := c.Create(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		watched   string
		wantOther bool
	}{
		"one namespace": {followed, false},
		"all":           {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			mgr, err := ctrl.NewManager(config, ctrl.Options{Scheme: controlplane.Scheme(t), Metrics: metricsserver.Options{BindAddress: "0"}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			watch, err := newReferenceWatch(ctx, mgr, tc.watched, newReferenceReader(mgr.GetAPIReader()))
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- watch.Start(ctx) }()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			if !watch.cache.WaitForCacheSync(ctx) {
				t.Fatal("the watch does not start")
			}
			held := func(namespace string) (*metav1.PartialObjectMetadata, error) {
				o := &metav1.PartialObjectMetadata{}
				o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kindSecret))
				return o, watch.cache.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "keys"}, o)
			}
			o, err := held(followed)
			if err != nil {
				t.Fatal(err)
			}
			want := metav1.ObjectMeta{Namespace: followed, Name: "keys", UID: o.UID, ResourceVersion: o.ResourceVersion}
			if diff := cmp.Diff(want, o.ObjectMeta); diff != "" || o.ResourceVersion == "" {
				t.Errorf("of a Secret is held: want (-), got (+):\n%s", diff)
			}
			if _, err := held(other); tc.wantOther && err != nil || !tc.wantOther && err == nil {
				t.Errorf("the Secret of another namespace: %v (NotFound: %v), want it: %v", err, apierrors.IsNotFound(err), tc.wantOther)
			}
		})
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

var server controlplane.Server //nolint:gochecknoglobals // TestMain must stop it

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

func TestServerStoresMachines(t *testing.T) {
	c := controlplane.Client(t, server.Config(t))
	machine := &v1alpha1.Machine{
		ObjectMeta: metav1.ObjectMeta{Namespace: controlplane.Namespace(t, c), Name: "n7"},
		Spec:       v1alpha1.MachineSpec{MACAddresses: []v1alpha1.MACAddress{"52:54:00:aa:bb:07"}},
	}
	if err := c.Create(t.Context(), machine); err != nil {
		t.Fatal(err)
	}
	var got v1alpha1.Machine
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(machine), &got); err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.MachineSpec{
		MACAddresses: []v1alpha1.MACAddress{"52:54:00:aa:bb:07"},
		BootPolicy:   v1alpha1.BootPolicyOnce,
		BootID:       "1",
	}
	if diff := cmp.Diff(want, got.Spec); diff != "" {
		t.Errorf("stored spec (-want +got):\n%s", diff)
	}
}

func TestNamespacesAreUnique(t *testing.T) {
	c := controlplane.Client(t, server.Config(t))
	if one, two := controlplane.Namespace(t, c), controlplane.Namespace(t, c); one == two {
		t.Errorf("Namespace() gave %q twice", one)
	}
}

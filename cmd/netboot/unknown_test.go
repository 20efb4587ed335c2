// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// Machines that are not known become Machines, as many as may be, once the operator has the right to make them.
func TestUnknownMachinesRegister(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.create(profileOf(c.namespace, upstream(t, contents("a kernel")), digest("a kernel")), machineOf(c.namespace, "node-01", mac1))
	s := start(t, append(c.flags(), "--unknown-machines=Register", "--max-discovered=2")...)
	ask := func(n int) {
		t.Helper()
		name := fmt.Sprintf("pxelinux.cfg/01-52-54-00-dd-ee-%02x", n)
		if config, err := s.getTFTP(name); err == nil && !strings.Contains(config, "LOCALBOOT") { // it may be a Machine by now
			t.Errorf("%s is %q, want a refusal, or its own disk", name, config)
		}
	}
	ask(1)
	eventually(t, func() string { // the rights of config/rbac are not enough
		if s.metric(`netboot_discovered_machines_refused_total{reason="api"}`) != 1 {
			return "no refusal by the API server is counted"
		}
		return ""
	})
	user := "operator-of-" + c.namespace
	c.kubectl("create", "role", "register", "--verb=create", "--resource=machines.netboot.dev")
	c.kubectl("create", "rolebinding", "register", "--role=register", "--user="+user)
	var made v1alpha1.MachineList
	for n := range 2 {
		eventually(t, func() string {
			ask(n)
			if err := c.client.List(t.Context(), &made, client.InNamespace(c.namespace), client.MatchingLabels{"netboot.dev/discovered": "true"}); err != nil {
				return err.Error()
			}
			if len(made.Items) != n+1 {
				return fmt.Sprintf("%d Machines were made, want %d", len(made.Items), n+1)
			}
			return ""
		})
	}
	ask(2)
	ask(2) // waits, or was refused
	eventually(t, func() string {
		if s.metric(`netboot_discovered_machines_refused_total{reason="limit"}`) < 1 {
			return "a third one was not refused"
		}
		return ""
	})
	want := v1alpha1.MachineSpec{
		MACAddresses: []v1alpha1.MACAddress{"52:54:00:dd:ee:00"}, BootPolicy: v1alpha1.BootPolicyDisabled, BootID: "1",
	}
	first := made.Items[0]
	if diff := cmp.Diff(want, first.Spec); diff != "" || first.Name != "mac-52-54-00-dd-ee-00" {
		t.Errorf("%s (-want +got):\n%s", first.Name, diff)
	}
	c.event(&first, "Discovered")

	// Somebody enrols it, and so makes room for another.
	c.kubectl("patch", "machine", first.Name, "--type=merge", "-p", `{"spec":{"profileRef":{"name":"linux"},"bootPolicy":"Continuous"}}`)
	eventually(t, func() string { return s.boots("pxelinux.cfg/01-52-54-00-dd-ee-00", "APPEND quiet") })
	eventually(t, func() string {
		ask(2)
		if err := c.client.Get(t.Context(), client.ObjectKey{Namespace: c.namespace, Name: "mac-52-54-00-dd-ee-02"}, &v1alpha1.Machine{}); err != nil {
			return err.Error()
		}
		return ""
	})

	// Somebody enrols another by a Machine of his own, which is younger.
	c.create(machineOf(c.namespace, "node-02", "52:54:00:dd:ee:02"))
	eventually(t, func() string { return s.boots("pxelinux.cfg/01-52-54-00-dd-ee-02", "machine "+c.namespace+"/node-02,") })
	c.condition(&v1alpha1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "mac-52-54-00-dd-ee-02"}},
		v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonIdentityConflict)
}

// TestUnknownMachinesThatAPolicyRefuses: one that admission refuses, whatever its reason, does not keep others waiting.
func TestUnknownMachinesThatAPolicyRefuses(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	text := strings.ReplaceAll(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAMESPACE}
spec:
  matchConstraints:
    resourceRules: [{operations: [CREATE], apiGroups: [netboot.dev], apiVersions: ["*"], resources: [machines]}]
  validations:
  - {expression: "object.metadata.name != 'mac-52-54-00-dd-ee-10'", message: not this one, reason: RequestEntityTooLarge}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAMESPACE}
spec:
  policyName: NAMESPACE
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}}
`, "NAMESPACE", c.namespace)
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c.kubectl("create", "-f", policy)
	eventually(t, func() string { // the API server needs a moment
		m := machineOf(c.namespace, "mac-52-54-00-dd-ee-10", "52:54:00:dd:ee:11")
		if err := c.client.Create(t.Context(), m); err == nil {
			_ = c.client.Delete(t.Context(), m)
			return "it is not refused yet"
		}
		return ""
	})
	c.kubectl("create", "role", "register", "--verb=create", "--resource=machines.netboot.dev")
	c.kubectl("create", "rolebinding", "register", "--role=register", "--user=operator-of-"+c.namespace)
	s := start(t, append(c.flags(), "--unknown-machines=Register")...)
	_, _ = s.getTFTP("pxelinux.cfg/01-52-54-00-dd-ee-10")
	eventually(t, func() string {
		if s.metric(`netboot_discovered_machines_refused_total{reason="api"}`) != 1 {
			return "no refusal by the API server is counted"
		}
		return ""
	})
	_, _ = s.getTFTP("pxelinux.cfg/01-52-54-00-dd-ee-12")
	eventually(t, func() string {
		if err := c.client.Get(t.Context(), client.ObjectKey{Namespace: c.namespace, Name: "mac-52-54-00-dd-ee-12"}, &v1alpha1.Machine{}); err != nil {
			return err.Error()
		}
		return ""
	})
}

// Machines that are not known boot a profile.
func TestUnknownMachinesBootAProfile(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.create(profileOf(c.namespace, upstream(t, contents("a kernel")), digest("a kernel")))
	s := start(t, append(c.flags(), "--unknown-machines=DefaultProfile="+c.namespace+"/linux")...)
	for range 2 {
		if problem := s.boots(name1, "APPEND quiet"); problem != "" {
			t.Error(problem)
		}
	}
}

func TestUnknownMachinesFlags(t *testing.T) {
	for name, tc := range map[string]struct {
		flags []string
		want  string
	}{
		"no policy":                {[]string{"--unknown-machines=Panic"}, "--unknown-machines=Panic: must be Ignore, Register or DefaultProfile=NAMESPACE/NAME"},
		"no profile":               {[]string{"--unknown-machines=DefaultProfile"}, "must be DefaultProfile=NAMESPACE/NAME"},
		"another namespace":        {[]string{"--unknown-machines=DefaultProfile=a/b", "--namespace=c"}, "only --namespace=c is watched"},
		"register in a folder":     {[]string{"--unknown-machines=Register", "--manifests=."}, "needs an API server"},
		"a namespace for nothing":  {[]string{"--register-namespace=a"}, "is for --unknown-machines=Register"},
		"no namespace":             {[]string{"--unknown-machines=Register", "--register-namespace=A"}, "must be the name of a namespace"},
		"not watched":              {[]string{"--unknown-machines=Register", "--register-namespace=a", "--namespace=b"}, "only --namespace=b is watched"},
		"none at all":              {[]string{"--max-discovered=0"}, "--max-discovered=0: outside 1-100000"},
		"too quiet":                {[]string{"--boot-quiet=2h"}, "--boot-quiet=2h0m0s: outside 1s-1h0m0s"},
		"too many status writes":   {[]string{"--status-writes-per-second=9999"}, "--status-writes-per-second=9999: outside 1-1000"},
		"installs longer than one": {[]string{"--install-quiet=48h"}, "--install-quiet=48h0m0s: outside 1s-24h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := netboot(t, append([]string{"serve"}, tc.flags...)...)
			if code != exitUsage || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit code %d, %q; want %d, and %q in it", code, stderr, exitUsage, tc.want)
			}
		})
	}
}

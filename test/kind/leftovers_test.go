// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build kind

package kind

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// inventory lists all objects in the cluster, by kind, namespace and name.
func (c *cluster) inventory(t *testing.T) map[string]bool {
	t.Helper()
	kinds := strings.Fields(run(t, "kubectl", "api-resources", "--verbs=list", "-o", "name"))
	kinds = slices.DeleteFunc(kinds, func(kind string) bool {
		// Events tell what happened; the API server forgets them. The others are views of what others hold.
		return kind == "events" || kind == "events.events.k8s.io" || strings.HasSuffix(kind, ".metrics.k8s.io") || kind == "componentstatuses"
	})
	const columns = `{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\n"}{end}`
	all := map[string]bool{}
	for line := range strings.Lines(run(t, "kubectl", "get", strings.Join(kinds, ","), "--all-namespaces", "-o", "jsonpath="+columns)) {
		all[strings.TrimSpace(line)] = true
	}
	return all
}

// stays is what `helm uninstall` leaves: what machines and profiles are, and the namespace that --create-namespace made, with
// what every namespace has.
func stays() map[string]bool {
	return map[string]bool{
		"CustomResourceDefinition /bootprofiles.netboot.dev": true,
		"CustomResourceDefinition /machines.netboot.dev":     true,
		"APIService /v1alpha1.netboot.dev":                   true, // comes and goes with them
		"Namespace /" + namespace:                            true,
		"ServiceAccount " + namespace + "/default":           true,
		"ConfigMap " + namespace + "/kube-root-ca.crt":       true,
	}
}

// uninstall removes the operator, and then all of it, as documented.
func (c *cluster) uninstall(t *testing.T, before map[string]bool) {
	t.Helper()
	for _, kind := range []string{"machines", "bootprofiles"} { // all at once; kubectl would take them one by one
		run(t, "kubectl", "delete", "--raw", "/apis/netboot.dev/v1alpha1/namespaces/default/"+kind)
	}
	c.enter(t, "Remove")
	left := func(allowed map[string]bool) (all []string) {
		for object := range c.inventory(t) {
			// Nodes renew theirs, and restarted control planes get new names.
			if !before[object] && !allowed[object] && !strings.HasPrefix(object, "Lease kube-") {
				all = append(all, object)
			}
		}
		slices.Sort(all)
		return all
	}
	took := eventually(t, "all but the CRDs to go", patience, func() error {
		if rest := left(stays()); len(rest) > 0 {
			return fmt.Errorf("left: %v", rest)
		}
		return nil
	})
	t.Logf("helm uninstall left, %v later: %v", took, left(nil))
	c.enter(t, "Remove what is left")
	eventually(t, "all to go", patience, func() error {
		if rest := left(nil); len(rest) > 0 {
			return fmt.Errorf("left: %v", rest)
		}
		return nil
	})
}

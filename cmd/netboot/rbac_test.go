// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// A permission is one verb of config/rbac/role.yaml for one resource.
type permission struct {
	role     string // its kind: ClusterRole or Role
	group    string
	resource string // with the only name that the rule allows, if it names one: resource NAME
	verb     string
}

func (p permission) String() string {
	return strings.TrimSpace(strings.Join([]string{p.role, p.group, p.resource, p.verb}, " "))
}

// denied is what the API server answers without p, as the log has it.
func (p permission) denied() string {
	resource, _, _ := strings.Cut(p.resource, " ")
	return fmt.Sprintf(`cannot %s resource "%s" in API group "%s"`, p.verb, resource, p.group)
}

// A need is why the operator has a permission.
type need struct {
	breaks  string // what no longer works without it, for docs/rbac.md
	listing bool   // it is needed where lists don't come by watch; those are switched off
	silent  bool   // not the log tells that it is missing, but a condition
	check   func(*rbacLab)
}

// The texts that several permissions share.
const (
	byList = "Nothing at all where the API server streams lists to those who watch. Where it does not, or that failed: "
	late   = "They are seen when they are listed again, up to half a minute later. "
)

// needs has each permission of config/rbac/role.yaml.
func needs() map[permission]need {
	forbidden := func(condition string) func(*rbacLab) {
		return func(l *rbacLab) {
			l.condition(machineOf(l.namespace, "node-01", mac1), condition, metav1.ConditionFalse, v1alpha1.ReasonSourceForbidden)
		}
	}
	neverServes := func(l *rbacLab) {
		if strings.Contains(l.service.logged(), "Serving TFTP") {
			l.t.Error("it serves without having seen all objects")
		}
	}
	serves := func(l *rbacLab) { l.service.waitUntilItServes() }
	noKey := func(l *rbacLab) {
		l.service.logs("There is no key of tokens")
		if l.find(l.home, "netboot-operator-tokens", &corev1.Secret{}) {
			l.t.Error("there is a Secret with keys")
		}
	}
	noLeader := func(l *rbacLab) {
		if l.leader() != nil {
			l.t.Error("there is a leader")
		}
		l.noStatus("Machine")
	}
	return map[permission]need{
		{"ClusterRole", "", "configmaps", "get"}: {
			breaks: "Machines and BootProfiles that refer to a ConfigMap have `Rendered` False with `SourceForbidden`.",
			silent: true, check: forbidden(v1alpha1.ConditionRendered),
		},
		{"ClusterRole", "", "configmaps", "list"}: {
			breaks: byList + "edits of ConfigMaps are not noticed.", listing: true, check: serves,
		},
		{"ClusterRole", "", "configmaps", "watch"}: {breaks: "Edits of ConfigMaps are not noticed at once. " + late, check: serves},
		{"ClusterRole", "", "secrets", "get"}: {
			breaks: "Machines and BootProfiles that refer to a Secret have `Rendered` False with `SourceForbidden`.",
			silent: true, check: forbidden(v1alpha1.ConditionRendered),
		},
		{"ClusterRole", "", "secrets", "list"}: {
			breaks: byList + "edits of Secrets are not noticed.", listing: true, check: serves,
		},
		{"ClusterRole", "", "secrets", "watch"}: {breaks: "Edits of Secrets are not noticed at once. " + late, check: serves},
		{"ClusterRole", "events.k8s.io", "events", "create"}: {
			breaks: "`kubectl describe` and `kubectl events` show no Events of Machines and BootProfiles.",
			check: func(l *rbacLab) {
				if n := len(l.events("")); n > 0 {
					l.t.Errorf("there are %d Events", n)
				}
			},
		},
		{"ClusterRole", "events.k8s.io", "events", "patch"}: {
			breaks: "An Event that occurs again within six minutes is lost, instead of counted.",
			check: func(l *rbacLab) {
				for _, e := range l.events("") {
					if e.Series != nil {
						l.t.Errorf("the Event %s %s has a series", e.Regarding.Name, e.Reason)
					}
				}
			},
		},
		{"ClusterRole", "netboot.dev", "bootprofiles", "list"}: {
			breaks: byList + "the pod does not become ready, and serves nothing.", listing: true, check: neverServes,
		},
		{"ClusterRole", "netboot.dev", "bootprofiles", "watch"}: {breaks: "Edits of BootProfiles are not noticed at once. " + late, check: serves},
		{"ClusterRole", "netboot.dev", "machines", "list"}: {
			breaks: byList + "the pod does not become ready, and serves nothing.", listing: true, check: neverServes,
		},
		{"ClusterRole", "netboot.dev", "machines", "watch"}: {breaks: "Edits of Machines are not noticed at once. " + late, check: serves},
		{"ClusterRole", "netboot.dev", "bootprofiles/status", "patch"}: {
			breaks: "BootProfiles have no conditions.", check: func(l *rbacLab) { l.noStatus("BootProfile") },
		},
		{"ClusterRole", "netboot.dev", "machines/status", "patch"}: {
			breaks: "Machines have no conditions, and their status tells of no boot.", check: func(l *rbacLab) { l.noStatus("Machine") },
		},
		{"Role", "", "secrets", "create"}: {
			breaks: "No pod makes the key of tokens: configs with access `Token` are refused until somebody makes the Secret.", check: noKey,
		},
		{"Role", "", "secrets netboot-operator-tokens", "get"}: {
			breaks: "No pod has the key of tokens: configs with access `Token` are refused. " +
				"(Only where one namespace is watched; else the ClusterRole allows it.)", check: noKey,
		},
		{"Role", "coordination.k8s.io", "leases", "create"}: {
			breaks: "No pod leads, so there are no conditions and no Events; and no pod tells which artifacts it has.",
			check:  func(l *rbacLab) { noLeader(l); l.noPresence() },
		},
		{"Role", "coordination.k8s.io", "leases", "list"}: {
			breaks:  byList + "the leader does not know which artifacts the pods have, and BootProfiles do not become Ready.",
			listing: true, check: (*rbacLab).noneFetched,
		},
		{"Role", "coordination.k8s.io", "leases", "watch"}: {
			breaks: "The leader does not learn at once which artifacts the pods have. " + late, check: serves,
		},
		{"Role", "coordination.k8s.io", "leases", "patch"}: {
			breaks: "No pod tells which artifacts it has, and BootProfiles do not become Ready.",
			check: func(l *rbacLab) {
				l.service.logs("Lease of this pod is not renewed")
				l.noPresence()
				l.noneFetched()
			},
		},
		{"Role", "coordination.k8s.io", "leases", "delete"}: {
			breaks: "A pod that has ended counts, and BootProfiles wait for it, until its Lease expires; the Leases stay.",
			check: func(l *rbacLab) {
				l.service.logs("Lease of this pod is not deleted")
				if l.presence() == nil {
					l.t.Error("the Lease of the pod is gone all the same")
				}
			},
		},
		{"Role", "coordination.k8s.io", "leases netboot-operator", "get"}: {
			breaks: "No pod leads: there are no conditions and no Events.", check: noLeader,
		},
		{"Role", "coordination.k8s.io", "leases netboot-operator", "update"}: {
			breaks: "The leader stops after ten seconds, and another begins when its Lease has expired; none gives way when it ends.",
			check:  func(l *rbacLab) { l.service.logs("This pod no longer reports") },
		},
	}
}

// TestRBACSuffices has an operator that may do what config/rbac/role.yaml says, and nothing else, do all that it can.
func TestRBACSuffices(t *testing.T) {
	t.Parallel()
	l := newRBACLab(t, readRoles(t))
	l.leaveStaleLease()
	l.launch()
	l.doEverything()
	l.checkOwners()
	t.Logf("kubectl auth can-i --list, of %s in its own namespace:\n%s", l.account(), l.canI(l.home))
	t.Logf("kubectl auth can-i --list, of %s in the namespace that it watches:\n%s", l.account(), l.canI(l.namespace))
	l.end()
	if lease := l.presence(); lease != nil {
		t.Errorf("the pod that ended has the Lease %v", lease)
	}
	if lease := l.leader(); lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != "" {
		t.Errorf("the leader that ended keeps the Lease %v", lease.Spec)
	}
	if found := regexp.MustCompile(`.*(forbidden|cannot \w+ resource).*`).FindAllString(l.service.logged(), -1); found != nil {
		t.Errorf("the log has denials:\n%s", strings.Join(found, "\n"))
	}
}

// TestRBACIsNeeded takes away one permission after the other, and looks at what no longer works.
func TestRBACIsNeeded(t *testing.T) {
	t.Parallel()
	roles := readRoles(t)
	slots := make(chan struct{}, 4) // as many processes at once
	for p, n := range needs() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			t.Cleanup(func() { <-slots })
			l := newRBACLab(t, roles.without(t, p))
			l.launch(map[bool][]string{true: {"KUBE_FEATURE_WatchListClient=false"}}[n.listing]...)
			switch {
			case p.verb == "delete":
				l.service.waitUntilItServes()
				eventually(t, func() string {
					if l.presence() == nil {
						return "the pod has no Lease"
					}
					return ""
				})
				l.end()
			case p.group == "events.k8s.io" && p.verb == "patch":
				l.repeatEvent()
			}
			if !n.silent {
				l.service.logs(p.denied())
			}
			n.check(l)
		})
	}
}

// TestRBACIsExplained compares the permissions that are given, those that are tried, and those that are documented.
func TestRBACIsExplained(t *testing.T) {
	t.Parallel()
	byName := func(a, b permission) int { return strings.Compare(a.String(), b.String()) }
	given, tried := slices.SortedFunc(maps.Keys(readRoles(t).permissions(t)), byName), slices.SortedFunc(maps.Keys(needs()), byName)
	if diff := cmp.Diff(tried, given, cmp.AllowUnexported(permission{})); diff != "" {
		t.Errorf("config/rbac/role.yaml differs from what is tried here (-tried +given):\n%s", diff)
	}
	var table strings.Builder
	table.WriteString("| role | API group | resource | verb | what breaks without it |\n|---|---|---|---|---|\n")
	all := needs()
	for _, p := range tried {
		resource, name, named := strings.Cut(p.resource, " ")
		resource = "`" + resource + "`"
		if named {
			resource += ", only `" + name + "`"
		}
		group := "core"
		if p.group != "" {
			group = "`" + p.group + "`"
		}
		fmt.Fprintf(&table, "| %s | %s | %s | `%s` | %s |\n", p.role, group, resource, p.verb, strings.TrimSpace(all[p].breaks))
	}
	const page, begin, end = "../../docs/rbac.md", "<!-- begin of the table -->\n", "<!-- end of the table -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	documented, after, okToo := strings.Cut(rest, end)
	if !ok || !okToo {
		t.Fatalf("docs/rbac.md has no %q and %q", begin, end)
	}
	if documented == table.String() {
		return
	}
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("docs/rbac.md differs; UPDATE_DOCS=1 go test ./cmd/netboot -run TestRBACIsExplained writes it (-documented +tried):\n%s",
		cmp.Diff(documented, table.String()))
}

// end ends the operator as Kubernetes does.
func (l *rbacLab) end() {
	l.t.Helper()
	if err := l.service.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	<-l.service.read
}

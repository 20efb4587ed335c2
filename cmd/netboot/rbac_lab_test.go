// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

// roles are the rules of config/rbac/role.yaml by the kind of the role.
type roles map[string][]rbacv1.PolicyRule

func readRoles(t *testing.T) roles {
	t.Helper()
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := roles{}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var role rbacv1.ClusterRole // a Role has the same fields that matter here
		if err := yaml.UnmarshalStrict(document, &role); err != nil {
			t.Fatal(err)
		}
		all[role.Kind] = role.Rules
	}
	if len(all) != 2 || len(all["ClusterRole"]) == 0 || len(all["Role"]) == 0 {
		t.Fatalf("config/rbac/role.yaml has %v, want the rules of a ClusterRole and a Role", all)
	}
	return all
}

// permissions takes the rules apart: each comes back with a rule of its own.
func (r roles) permissions(t *testing.T) map[permission]rbacv1.PolicyRule {
	t.Helper()
	all := map[permission]rbacv1.PolicyRule{}
	for role, rules := range r {
		for _, rule := range rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						p := permission{role, group, strings.TrimSpace(resource + " " + strings.Join(rule.ResourceNames, " ")), verb}
						if _, twice := all[p]; twice || strings.Contains(p.String(), "*") {
							t.Errorf("config/rbac/role.yaml gives %s twice, or everything", p)
						}
						all[p] = rbacv1.PolicyRule{
							APIGroups: []string{group}, Resources: []string{resource}, ResourceNames: rule.ResourceNames, Verbs: []string{verb},
						}
					}
				}
			}
		}
	}
	return all
}

// without returns the rules but for one permission.
func (r roles) without(t *testing.T, p permission) roles {
	t.Helper()
	all := r.permissions(t)
	if _, ok := all[p]; !ok {
		t.Fatalf("config/rbac/role.yaml does not give %s", p)
	}
	delete(all, p)
	left := roles{}
	for kept, rule := range all {
		left[kept.role] = append(left[kept.role], rule)
	}
	return left
}

// A rbacLab is an operator as the chart installs it with watchNamespace: its own namespace is home, and the rules of the
// ClusterRole are given in the namespace that it watches. So no rule of one role covers for one of the other.
type rbacLab struct {
	*cluster

	home    string
	pod     string
	service *service
}

func newRBACLab(t *testing.T, rules roles) *rbacLab {
	t.Helper()
	config := server.Config(t)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := client.New(config, client.Options{Scheme: scheme, FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatal(err)
	}
	l := &rbacLab{cluster: &cluster{t: t, client: admin, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}, pod: "netboot-operator-x7k2p"}
	l.home, l.namespace = controlplane.Namespace(t, admin), controlplane.Namespace(t, admin)
	l.operator = l.kubeconfig + ".operator"
	l.writeKubeconfig(l.kubeconfig, config, "")

	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: l.home, Name: "netboot-operator"}}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.home, Name: l.pod},
		Spec:       corev1.PodSpec{ServiceAccountName: account.Name, Containers: []corev1.Container{{Name: "netboot", Image: "netboot"}}},
	}
	l.create(account, pod)
	for kind, namespace := range map[string]string{"ClusterRole": l.namespace, "Role": l.home} {
		named := metav1.ObjectMeta{Namespace: namespace, Name: "netboot-operator"}
		l.create(&rbacv1.Role{ObjectMeta: named, Rules: rules[kind]}, &rbacv1.RoleBinding{
			ObjectMeta: named,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: named.Name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: l.home, Name: account.Name}},
		})
	}
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if err := admin.SubResource("token").Create(t.Context(), account, token); err != nil {
		t.Fatal(err)
	}
	tokenFile := l.kubeconfig + ".token"
	writeFile(t, tokenFile, token.Status.Token)
	if err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"test": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"test": {TokenFile: tokenFile}},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test", Namespace: l.home}},
		CurrentContext: "test",
	}, l.operator); err != nil {
		t.Fatal(err)
	}
	l.create(secretObjects(l.namespace, upstream(t, contents("a kernel")))...)
	l.waitUntilAllowed(account)
	return l
}

// waitUntilAllowed waits until the API server knows the bindings: what it denies before would be mistaken for a rule that is
// missing. Roles and bindings reach its authorizer by a watch, in the order in which they were made.
func (l *rbacLab) waitUntilAllowed(account *corev1.ServiceAccount) {
	l.t.Helper()
	last := metav1.ObjectMeta{Namespace: l.home, Name: "last"}
	l.create(
		&rbacv1.Role{ObjectMeta: last, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"test"}, Resources: []string{"last"}, Verbs: []string{"get"}}}},
		&rbacv1.RoleBinding{
			ObjectMeta: last, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: last.Name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
		},
	)
	eventually(l.t, func() string {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: l.account(), ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: l.home, Group: "test", Resource: "last", Verb: "get"},
		}}
		if err := l.client.Create(l.t.Context(), review); err != nil || !review.Status.Allowed {
			return fmt.Sprintf("the operator's rights are not known: %v, %+v", err, review.Status)
		}
		return ""
	})
}

func (l *rbacLab) account() string { return "system:serviceaccount:" + l.home + ":netboot-operator" }

// canI returns what the operator may do in a namespace, by its own account.
func (l *rbacLab) canI(namespace string) string {
	l.t.Helper()
	return l.kubectl("auth", "can-i", "--list", "--kubeconfig="+l.operator, "--namespace="+namespace)
}

// launch starts the operator, with more in its environment.
func (l *rbacLab) launch(env ...string) {
	l.t.Helper()
	l.service = launchAs(l.t, func(cmd *exec.Cmd) { cmd.Env = append(append(cmd.Env, "POD_NAME="+l.pod), env...) }, l.flags()...)
}

// logs waits until the log has a text.
func (s *service) logs(text string) {
	s.t.Helper()
	eventually(s.t, func() string {
		if strings.Contains(strings.ReplaceAll(s.logged(), `\`, ""), text) { // it quotes quotes
			return ""
		}
		return fmt.Sprintf("the log does not have %q", text)
	})
}

// find says whether there is an object, and reads it.
func (l *rbacLab) find(namespace, name string, o client.Object) bool {
	l.t.Helper()
	err := l.client.Get(l.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o)
	if err != nil && !apierrors.IsNotFound(err) {
		l.t.Fatal(err)
	}
	return err == nil
}

func (l *rbacLab) findLease(name string) *coordinationv1.Lease {
	l.t.Helper()
	if lease := (&coordinationv1.Lease{}); l.find(l.home, name, lease) {
		return lease
	}
	return nil
}

// leader returns the Lease of the election.
func (l *rbacLab) leader() *coordinationv1.Lease { return l.findLease("netboot-operator") }

// presence returns the Lease of the pod.
func (l *rbacLab) presence() *coordinationv1.Lease { return l.findLease("netboot-operator-" + l.pod) }

func (l *rbacLab) noPresence() {
	l.t.Helper()
	if l.presence() != nil {
		l.t.Error("the pod has a Lease")
	}
}

func (l *rbacLab) noStatus(kind string) {
	l.t.Helper()
	machine, profile := machineOf(l.namespace, "node-01", mac1), profileOf(l.namespace, "", "")
	found := l.find(l.namespace, machine.Name, machine) && l.find(l.namespace, profile.Name, profile)
	conditions := map[string][]metav1.Condition{"Machine": machine.Status.Conditions, "BootProfile": profile.Status.Conditions}[kind]
	if !found || len(conditions) > 0 {
		l.t.Errorf("the %s has the conditions %v", kind, conditions)
	}
}

// noneFetched checks that the profile, whose artifact the pod has, is not told to have it.
func (l *rbacLab) noneFetched() {
	l.t.Helper()
	l.service.waitUntilItServes()
	if status, body := l.service.getHTTP(l.service.http, "/artifacts/sha256/"+digest("a kernel")+"/vmlinuz"); status != http.StatusOK {
		l.t.Errorf("the artifact is served as %d %q", status, body)
	}
	profile := profileOf(l.namespace, "", "")
	if !l.find(l.namespace, profile.Name, profile) || meta.IsStatusConditionTrue(profile.Status.Conditions, v1alpha1.ConditionArtifactsReady) {
		l.t.Errorf("the BootProfile has the conditions %v", profile.Status.Conditions)
	}
}

// events returns the Events of a reason; of all, if it is empty.
func (l *rbacLab) events(reason string) []eventsv1.Event {
	l.t.Helper()
	var list eventsv1.EventList
	if err := l.client.List(l.t.Context(), &list, client.InNamespace(l.namespace)); err != nil {
		l.t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(e eventsv1.Event) bool { return reason != "" && e.Reason != reason })
}

// repeatEvent makes an error in a Machine, mends it, and makes it again.
func (l *rbacLab) repeatEvent() {
	l.t.Helper()
	machine := machineOf(l.namespace, "node-01", mac1)
	for _, step := range []struct {
		args, reason string
		status       metav1.ConditionStatus
	}{
		{`["x={{ .Nothing }}"]`, v1alpha1.ReasonTemplateError, metav1.ConditionFalse},
		{`[]`, v1alpha1.ReasonReady, metav1.ConditionTrue},
		{`["x={{ .Nothing }}"]`, v1alpha1.ReasonTemplateError, metav1.ConditionFalse},
	} {
		l.patch(machine, `{"spec":{"kernelArgs":`+step.args+`}}`)
		l.condition(machine, v1alpha1.ConditionReady, step.status, step.reason)
	}
}

// patch changes an object as the administrator.
func (l *rbacLab) patch(o client.Object, text string) {
	l.t.Helper()
	if err := l.client.Patch(l.t.Context(), o, client.RawPatch(types.MergePatchType, []byte(text))); err != nil {
		l.t.Fatal(err)
	}
}

// staleLease is the name of the Lease of a pod that is gone.
const staleLease = "netboot-operator-gone"

// leaveStaleLease makes the Lease of a pod that will never renew it.
func (l *rbacLab) leaveStaleLease() {
	l.t.Helper()
	l.create(&coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.home, Name: staleLease, Labels: map[string]string{"netboot.dev/pod": "true"}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: new(staleLease), RenewTime: new(metav1.NowMicro()), LeaseDurationSeconds: new(int32(40))},
	})
}

// doEverything has the operator use all that it may do, but for what it does when it ends.
func (l *rbacLab) doEverything() {
	l.t.Helper()
	s := l.service
	s.waitUntilItServes()
	machine, profile := machineOf(l.namespace, "node-01", mac1), profileOf(l.namespace, "", "")
	vendor := "/m/" + l.namespace + "/node-01/vendor-data"
	serves := func(path, want string) {
		l.t.Helper()
		eventually(l.t, func() string {
			if status, body := s.getHTTP(s.http, path); status != http.StatusOK || !strings.Contains(body, want) {
				return fmt.Sprintf("%s is %d %q, want %q", path, status, body, want)
			}
			return ""
		})
	}
	// Reads, and the key of tokens.
	ks, _ := s.urls(name1)
	serves(ks, "rootpw --plaintext "+secretPassword)
	serves(vendor, "from: linux")
	serves("/artifacts/sha256/"+digest("a kernel")+"/vmlinuz", "a kernel")
	// Status of both kinds, the Leases of pods, and Events. A pod that is stale counts until its Lease has expired.
	l.condition(machine, v1alpha1.ConditionRendered, metav1.ConditionTrue, v1alpha1.ReasonRendered)
	l.event(profile, "ArtifactFetching")
	eventually(l.t, func() string {
		if lease := l.presence(); lease == nil || lease.Annotations["artifacts.netboot.dev/pod"] == "{}" {
			return fmt.Sprintf("the Lease of the pod is %v", lease)
		}
		return ""
	})
	// Watches.
	l.patch(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: "vendor"}}, `{"data":{"data":"edited"}}`)
	serves(vendor, "edited")
	l.patch(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: "installer"}}, `{"stringData":{"ks.cfg":"text"}}`)
	serves(ks, "text")
	machineServes := func(want string) {
		l.t.Helper()
		eventually(l.t, func() string {
			if config, err := s.getTFTP(name1); err != nil || !strings.Contains(config, want) {
				return fmt.Sprintf("the machine gets %q, %v", config, err)
			}
			return ""
		})
	}
	l.patch(profile, `{"spec":{"kernelArgs":["edited"]}}`)
	machineServes("APPEND edited ")
	l.patch(machine, `{"spec":{"kernelArgs":["more"]}}`)
	machineServes(" more ")
	// What takes its time: renewals, and the end of a Lease.
	eventually(l.t, func() string {
		if lease := l.leader(); lease == nil || !lease.Spec.RenewTime.After(lease.Spec.AcquireTime.Time) {
			return fmt.Sprintf("the Lease of the leader is %v", lease)
		}
		return ""
	})
	eventually(l.t, func() string {
		if l.findLease(staleLease) != nil {
			return "the Lease of a pod that is gone is there"
		}
		return ""
	})
	l.condition(profile, v1alpha1.ConditionArtifactsReady, metav1.ConditionTrue, v1alpha1.ReasonFetched)
	l.repeatEvent()
	eventually(l.t, func() string {
		if all := l.events(v1alpha1.ReasonTemplateError); len(all) != 1 || all[0].Series == nil {
			return fmt.Sprintf("the Events are %v, want one with a series", all)
		}
		return ""
	})
}

// checkOwners checks that Kubernetes will remove what the operator leaves behind.
func (l *rbacLab) checkOwners() {
	l.t.Helper()
	secret := &corev1.Secret{}
	if !l.find(l.home, "netboot-operator-tokens", secret) {
		l.t.Fatal("there is no Secret with keys")
	}
	for want, o := range map[string]client.Object{
		"ServiceAccount/netboot-operator of the Secret":           secret,
		"ServiceAccount/netboot-operator of the election's Lease": l.leader(),
		"Pod/" + l.pod + " of the pod's Lease":                    l.presence(),
	} {
		kind, _, _ := strings.Cut(want, " ")
		if owners := o.GetOwnerReferences(); len(owners) != 1 || owners[0].Kind+"/"+owners[0].Name != kind {
			l.t.Errorf("the owners are %v, want %s", owners, want)
		}
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

// A cluster is a namespace of a real API server, and a way to use it by kubectl.
type cluster struct {
	t          *testing.T
	client     client.Client
	namespace  string
	kubeconfig string // of the administrator
	operator   string // the kubeconfig of a user who may do what config/rbac allows, and nothing else
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	config := server.Config(t)
	c := &cluster{t: t, client: controlplane.Client(t, config), kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	c.namespace = controlplane.Namespace(t, c.client)
	c.operator = c.kubeconfig + ".operator"
	c.writeKubeconfig(c.kubeconfig, config, "")
	c.writeKubeconfig(c.operator, config, "operator-of-"+c.namespace)
	c.grant("operator-of-" + c.namespace)
	return c
}

// writeKubeconfig writes a file for the administrator, who may act as somebody else.
func (c *cluster) writeKubeconfig(path string, config *rest.Config, as string) {
	c.t.Helper()
	if err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"test": {
			Server: config.Host, CertificateAuthorityData: config.CAData,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"test": {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Impersonate: as,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test", Namespace: c.namespace}},
		CurrentContext: "test",
	}, path); err != nil {
		c.t.Fatal(err)
	}
}

// grant gives a user the rules of config/rbac.
func (c *cluster) grant(user string) {
	c.t.Helper()
	role, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		c.t.Fatal(err)
	}
	file := c.kubeconfig + ".role.yaml"
	writeFile(c.t, file, strings.Replace(string(role), "namespace: system", "namespace: "+c.namespace, 1))
	server.granting.Lock()
	defer server.granting.Unlock()
	c.kubectl("apply", "-f", file)
	c.kubectl("create", "clusterrolebinding", user, "--clusterrole=netboot-operator", "--user="+user)
	c.kubectl("create", "rolebinding", user, "--role=netboot-operator", "--user="+user)
}

// serve starts netboot serve for the namespace.
func (c *cluster) serve() *service {
	c.t.Helper()
	return start(c.t, c.flags()...)
}

func (c *cluster) flags() []string {
	return []string{"--kubeconfig=" + c.operator, "--namespace=" + c.namespace}
}

// kubectl runs kubectl and returns what it printed.
func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	folder := os.Getenv("KUBEBUILDER_ASSETS")
	if folder == "" {
		found, err := exec.CommandContext(c.t.Context(), "../../hack/controlplane.sh").Output()
		if err != nil {
			c.t.Fatal(err)
		}
		folder = strings.TrimSpace(string(found))
	}
	cmd := exec.CommandContext(c.t.Context(), filepath.Join(folder, "kubectl"), append([]string{"--kubeconfig", c.kubeconfig}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (c *cluster) create(objects ...client.Object) {
	c.t.Helper()
	for _, o := range objects {
		if err := c.client.Create(c.t.Context(), o); err != nil {
			c.t.Fatal(err)
		}
	}
}

// condition waits until an object has a condition with the given reason, and returns its message.
func (c *cluster) condition(o client.Object, conditionType string, status metav1.ConditionStatus, reason string) string {
	c.t.Helper()
	var message string
	eventually(c.t, func() string {
		if err := c.client.Get(c.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err.Error()
		}
		var conditions []metav1.Condition
		switch o := o.(type) {
		case *v1alpha1.Machine:
			conditions = o.Status.Conditions
		case *v1alpha1.BootProfile:
			conditions = o.Status.Conditions
		}
		is := meta.FindStatusCondition(conditions, conditionType)
		if is == nil || is.Status != status || is.Reason != reason {
			return fmt.Sprintf("%s %s: condition %s is %v, want %s %s", o.GetObjectKind().GroupVersionKind().Kind, o.GetName(), conditionType, is, status, reason)
		}
		message = is.Message
		return ""
	})
	return message
}

// event waits for an Event about an object, and returns its note.
func (c *cluster) event(o client.Object, reason string) string {
	c.t.Helper()
	var note string
	eventually(c.t, func() string {
		var list eventsv1.EventList
		if err := c.client.List(c.t.Context(), &list, client.InNamespace(c.namespace)); err != nil {
			return err.Error()
		}
		for _, e := range list.Items {
			if e.Regarding.Name == o.GetName() && e.Reason == reason {
				note = e.Note
				return ""
			}
		}
		return fmt.Sprintf("no Event %s about %s in %d", reason, o.GetName(), len(list.Items))
	})
	return note
}

// upstream serves one file.
func upstream(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL + "/vmlinuz"
}

func contents(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func profileOf(namespace, url, sha256 string) *v1alpha1.BootProfile {
	return &v1alpha1.BootProfile{
		ObjectMeta: metav1.ObjectMeta{Name: "linux", Namespace: namespace},
		Spec: v1alpha1.BootProfileSpec{
			Platforms:  []v1alpha1.Platform{{Architecture: "amd64", Kernel: &v1alpha1.Artifact{URL: url, SHA256: sha256}}},
			KernelArgs: []v1alpha1.KernelArgument{"quiet"},
		},
	}
}

func machineOf(namespace, name, mac string) *v1alpha1.Machine {
	return &v1alpha1.Machine{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.MachineSpec{
			MACAddresses: []v1alpha1.MACAddress{v1alpha1.MACAddress(mac)},
			ProfileRef:   &v1alpha1.ProfileReference{Name: "linux"},
			BootPolicy:   v1alpha1.BootPolicyContinuous, // so that it may boot again and again
		},
	}
}

const (
	mac1  = "52:54:00:aa:bb:01"
	name1 = "pxelinux.cfg/01-52-54-00-aa-bb-01"
	name2 = "pxelinux.cfg/01-52-54-00-aa-bb-02"
)

func TestWhatIsAppliedIsServed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	kernel := "a kernel"
	c.create(profileOf(c.namespace, upstream(t, contents(kernel)), digest(kernel)), machineOf(c.namespace, "node-01", mac1))
	s := c.serve() // after the objects: it must not serve before it knows them

	config, err := s.getTFTP(name1)
	if err != nil || !strings.Contains(config, "quiet BOOTIF=01-52-54-00-aa-bb-01") {
		t.Fatalf("the first request got %q, %v", config, err)
	}
	path := "artifacts/sha256/" + digest(kernel) + "/vmlinuz"
	if got, err := s.getTFTP("/" + path); got != kernel || err != nil {
		t.Errorf("kernel by TFTP = %q, %v", got, err)
	}
	if status, got := s.getHTTP(s.http, "/"+path); got != kernel || status != http.StatusOK {
		t.Errorf("kernel by HTTP = %d %q", status, got)
	}
	profile := profileOf(c.namespace, "", "")
	c.condition(profile, v1alpha1.ConditionArtifactsReady, metav1.ConditionTrue, v1alpha1.ReasonFetched)

	machine := machineOf(c.namespace, "node-01", mac1)
	for _, conditionType := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProfileResolved, v1alpha1.ConditionRendered, v1alpha1.ConditionReady} {
		c.condition(machine, conditionType, metav1.ConditionTrue, map[string]string{v1alpha1.ConditionReady: v1alpha1.ReasonReady}[conditionType]+strings.TrimSuffix(conditionType, v1alpha1.ConditionReady))
	}
	if machine.Status.ObservedGeneration != machine.Generation {
		t.Errorf("observedGeneration = %d, want %d", machine.Status.ObservedGeneration, machine.Generation)
	}

	// Once, it boots its own disk as soon as the boot of its bootID is completed.
	c.kubectl("patch", "machine", "node-01", "--type=merge", "-p", `{"spec":{"bootPolicy":"Once"}}`)
	if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(machine), machine); err != nil {
		t.Fatal(err)
	}
	before := machine.DeepCopy()
	machine.Status.BootID = machine.Spec.BootID // what a completed boot leaves behind
	if err := c.client.Status().Patch(t.Context(), machine, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if config, err := s.getTFTP(name1); err != nil || !strings.Contains(config, "LOCALBOOT") {
			return fmt.Sprintf("a machine that is done gets %q, %v", config, err)
		}
		return ""
	})
	if err := c.client.Delete(t.Context(), machine); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if config, err := s.getTFTP(name1); err == nil {
			return fmt.Sprintf("a deleted machine gets %q", config)
		}
		return ""
	})
}

// TestApplyToServed edits a BootProfile by kubectl, and prints how long it takes until TFTP serves the edit.
func TestApplyToServed(t *testing.T) {
	c := newCluster(t)
	c.create(profileOf(c.namespace, upstream(t, contents("a kernel")), digest("a kernel")), machineOf(c.namespace, "node-01", mac1))
	s := c.serve()

	const edits = 50
	fromStart, fromEnd := make([]time.Duration, 0, edits), make([]time.Duration, 0, edits)
	for i := range edits {
		want := fmt.Sprintf("edit=%d", i)
		started := time.Now()
		c.kubectl("patch", "bootprofile", "linux", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"kernelArgs":["%s"]}}`, want))
		ended := time.Now()
		eventually(t, func() string {
			if config, err := s.getTFTP(name1); err != nil || !strings.Contains(config, "APPEND "+want+" ") {
				return fmt.Sprintf("TFTP serves %q, %v, want %s", config, err, want)
			}
			return ""
		})
		fromStart, fromEnd = append(fromStart, time.Since(started)), append(fromEnd, time.Since(ended))
	}
	eventually(t, func() string { // what is served by TFTP may come before what counts it
		if n := s.metric(`netboot_index_delay_seconds_count{kind="BootProfile"}`); n < edits/2 || n > edits+1 {
			return fmt.Sprintf("%d edits are told as %v", edits, n)
		}
		return ""
	})
	slices.Sort(fromStart)
	slices.Sort(fromEnd)
	t.Logf("apply to served, %d edits: from the start of kubectl: median %v, worst %v; from its end: median %v, worst %v",
		edits, fromStart[edits/2], fromStart[edits-1], fromEnd[edits/2], fromEnd[edits-1])
}

// TestConflictEndsWithTheOlderMachine has two Machines with one MAC address: the older is served, and when it goes, the
// other is, and says so.
func TestConflictEndsWithTheOlderMachine(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	older, younger := machineOf(c.namespace, "node-02", mac1), machineOf(c.namespace, "node-01", mac1)
	c.create(profileOf(c.namespace, upstream(t, contents("a kernel")), digest("a kernel")), older)
	waitASecond(t, older)
	c.create(younger)
	s := c.serve()
	serves := func(name string) {
		t.Helper()
		eventually(t, func() string {
			if config, err := s.getTFTP(name1); err != nil || !strings.Contains(config, "/"+name+",") {
				return fmt.Sprintf("%s is served %q, %v", name1, config, err)
			}
			return ""
		})
	}
	c.condition(younger, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonIdentityConflict)
	serves("node-02")

	c.kubectl("delete", "machine", "node-02")
	c.condition(younger, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	serves("node-01")
	t.Log(c.kubectl("get", "machines", "-o", "wide"))
	t.Log(c.kubectl("describe", "machine", "node-01"))
}

// waitASecond waits until a new object would be younger than o by its creationTimestamp, which has whole seconds.
func waitASecond(t *testing.T, o client.Object) {
	t.Helper()
	ctx, cancel := context.WithDeadline(t.Context(), o.GetCreationTimestamp().Add(time.Second+10*time.Millisecond))
	defer cancel()
	<-ctx.Done()
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// TestBadInput has a row for each thing that can be wrong with objects that the API server accepts. Beside each stands a
// good machine, which must not notice.
func TestBadInput(t *testing.T) {
	t.Parallel()
	kernel := "a kernel"
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.6.1:0") // where no other test listens
	if err != nil {
		t.Fatal(err)
	}
	refusing := "http://" + closed.Addr().String() + "/vmlinuz"
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}

	for name, tc := range map[string]struct {
		breakIt func(*v1alpha1.BootProfile, *v1alpha1.Machine)
		kernel  http.HandlerFunc // nil: delivers what the digest says

		wantCondition string // of the Machine; empty: of the profile, by its artifact
		wantReason    string
		wantMessage   []string // what the condition must name
		wantWire      string   // what the refusal must say
	}{
		"missing profile": {
			breakIt:       func(_ *v1alpha1.BootProfile, m *v1alpha1.Machine) { m.Spec.ProfileRef.Name = "linus" },
			wantCondition: v1alpha1.ConditionProfileResolved,
			wantReason:    v1alpha1.ReasonProfileNotFound,
			wantMessage:   []string{`BootProfile "linus" does not exist`, "spec.profileRef"},
			wantWire:      `BootProfile "linus" does not exist`,
		},
		"architecture that the profile lacks": {
			breakIt:       func(_ *v1alpha1.BootProfile, m *v1alpha1.Machine) { m.Spec.Architecture = "arm64" },
			wantCondition: v1alpha1.ConditionProfileResolved,
			wantReason:    v1alpha1.ReasonArchitectureNotInProfile,
			wantMessage:   []string{`BootProfile "linux"`, `spec.architecture "arm64"`, "only for amd64"},
			wantWire:      "no platform",
		},
		"template that names an unknown variable": {
			breakIt: func(_ *v1alpha1.BootProfile, m *v1alpha1.Machine) {
				m.Spec.KernelArgs = []v1alpha1.KernelArgument{"rack={{ .Machine.Variables.rack }}"}
			},
			wantCondition: v1alpha1.ConditionRendered,
			wantReason:    v1alpha1.ReasonTemplateError,
			wantMessage:   []string{"node-02", "rack={{ .Machine.Variables.rack }}", `"rack"`},
			wantWire:      "does not render",
		},
		"template that does not parse": {
			breakIt: func(p *v1alpha1.BootProfile, m *v1alpha1.Machine) {
				q := p.DeepCopy()
				*p = *q
				m.Spec.KernelArgs = []v1alpha1.KernelArgument{"x={{ .Machine"}
			},
			wantCondition: v1alpha1.ConditionRendered,
			wantReason:    v1alpha1.ReasonTemplateError,
			wantMessage:   []string{"node-02", "x={{ .Machine"},
			wantWire:      "does not render",
		},
		"argument that would be two": {
			breakIt: func(_ *v1alpha1.BootProfile, m *v1alpha1.Machine) {
				m.Spec.Variables = map[string]v1alpha1.VariableValue{"x": "a init=/bin/sh"}
				m.Spec.KernelArgs = []v1alpha1.KernelArgument{"x={{ .Machine.Variables.x }}"}
			},
			wantCondition: v1alpha1.ConditionRendered,
			wantReason:    v1alpha1.ReasonTemplateError,
			wantMessage:   []string{"node-02", "double quotes"},
			wantWire:      "does not render",
		},
		"MAC address that an older machine has": {
			breakIt: func(_ *v1alpha1.BootProfile, m *v1alpha1.Machine) {
				m.Spec.MACAddresses = append(m.Spec.MACAddresses, mac1)
			},
			wantCondition: v1alpha1.ConditionAccepted,
			wantReason:    v1alpha1.ReasonIdentityConflict,
			wantMessage:   []string{"spec.macAddresses", mac1, "/node-01"},
		},
		"digest that does not match": {
			kernel:      contents("another kernel"),
			wantReason:  v1alpha1.ReasonDigestMismatch,
			wantMessage: []string{"spec.platforms[0].kernel", "http://", digest("another kernel"), digest(kernel)},
			wantWire:    "DigestMismatch",
		},
		"upstream that answers HTML": {
			kernel: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(w, "<html>log in to the network</html>")
			},
			wantReason:  v1alpha1.ReasonUnexpectedContent,
			wantMessage: []string{"spec.platforms[0].kernel", "http://", "HTML"},
			wantWire:    "UnexpectedContent",
		},
		"upstream that fails": {
			kernel:      func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
			wantReason:  v1alpha1.ReasonUpstreamUnavailable,
			wantMessage: []string{"spec.platforms[0].kernel", "http://", "500"},
			wantWire:    "UpstreamUnavailable",
		},
		"upstream that is down": {
			breakIt: func(p *v1alpha1.BootProfile, _ *v1alpha1.Machine) {
				p.Spec.Platforms[0].Kernel.URL = refusing
			},
			wantReason:  v1alpha1.ReasonUpstreamUnavailable,
			wantMessage: []string{"spec.platforms[0].kernel", refusing, "refused"},
			wantWire:    "UpstreamUnavailable",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			deliver := tc.kernel
			if deliver == nil {
				deliver = contents(kernel)
			}
			profile := profileOf(c.namespace, upstream(t, deliver), digest(kernel))
			good, bad := machineOf(c.namespace, "node-01", mac1), machineOf(c.namespace, "node-02", "52:54:00:aa:bb:02")
			if tc.breakIt != nil {
				tc.breakIt(profile, bad)
			}
			c.create(profile, good)
			waitASecond(t, good) // creation times have seconds only, and the older one shall be the good one
			c.create(bad)
			s := c.serve()

			var message string
			if tc.wantCondition != "" {
				message = c.condition(bad, tc.wantCondition, metav1.ConditionFalse, tc.wantReason)
				c.condition(bad, v1alpha1.ConditionReady, metav1.ConditionFalse, tc.wantReason)
				c.condition(bad, v1alpha1.ConditionStalled, metav1.ConditionTrue, tc.wantReason)
				if note := c.event(bad, tc.wantReason); !strings.HasPrefix(message, strings.TrimSuffix(note, "...")) {
					t.Errorf("Event says %q, the condition %q", note, message)
				}
				c.condition(good, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
				if tc.wantWire != "" {
					checkRefused(t, s, name2, "/ipxe?mac=52-54-00-aa-bb-02", http.StatusNotFound, tc.wantWire)
				}
			} else {
				path := "/artifacts/sha256/" + digest(kernel) + "/vmlinuz"
				checkRefused(t, s, path, path, http.StatusBadGateway, tc.wantWire)
				message = c.condition(profile, v1alpha1.ConditionArtifactsReady, metav1.ConditionFalse, tc.wantReason)
				c.condition(profile, v1alpha1.ConditionReady, metav1.ConditionFalse, tc.wantReason)
				c.condition(bad, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonArtifactsNotReady)
				if note := c.event(profile, "ArtifactFailed"); !strings.HasPrefix(note, tc.wantReason+": ") {
					t.Errorf("Event says %q, want the reason %s", note, tc.wantReason)
				}
			}
			for _, want := range tc.wantMessage {
				if !strings.Contains(message, want) {
					t.Errorf("the condition's message is %q, want %q in it", message, want)
				}
			}
			if config, err := s.getTFTP(name1); err != nil || !strings.Contains(config, "node-01") {
				t.Errorf("the good machine gets %q, %v", config, err)
			}
		})
	}
}

// TestWrongDigestIsMendedByAnEdit corrects a digest: nobody has to ask for the artifact before it is fetched.
func TestWrongDigestIsMendedByAnEdit(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	profile := profileOf(c.namespace, upstream(t, contents("a kernel")), digest("another"))
	c.create(profile, machineOf(c.namespace, "node-01", mac1))
	s := c.serve()
	wrong := "/artifacts/sha256/" + digest("another") + "/vmlinuz"
	checkRefused(t, s, wrong, wrong, http.StatusBadGateway, "DigestMismatch")
	c.condition(profile, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDigestMismatch)

	c.kubectl("patch", "bootprofile", "linux", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/platforms/0/kernel/sha256","value":"`+digest("a kernel")+`"}]`)
	c.condition(profile, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	c.condition(machineOf(c.namespace, "node-01", mac1), v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if got, err := s.getTFTP("/artifacts/sha256/" + digest("a kernel") + "/vmlinuz"); err != nil || got != "a kernel" {
		t.Errorf("the kernel is %q, %v", got, err)
	}
	c.condition(profile, v1alpha1.ConditionArtifactsReady, metav1.ConditionTrue, v1alpha1.ReasonFetched)
}

// checkRefused asks for a name by both servers. Neither refusal may hold a path of this computer.
func checkRefused(t *testing.T, s *service, tftpName, httpPath string, wantStatus int, want string) {
	t.Helper()
	_, err := s.getTFTP(tftpName)
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), os.TempDir()) {
		t.Errorf("TFTP refuses with %v, want %q in it", err, want)
	}
	status, body := s.getHTTP(s.http, httpPath)
	if status != wantStatus || !strings.Contains(body, want) || strings.Contains(body, os.TempDir()) {
		t.Errorf("HTTP refuses with %d %q, want %d and %q in it", status, body, wantStatus, want)
	}
}

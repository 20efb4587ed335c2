// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

func TestCredentials(t *testing.T) {
	bytesOf := func(pairs ...string) map[string][]byte {
		data := map[string][]byte{}
		for i := 0; i < len(pairs); i += 2 {
			data[pairs[i]] = []byte(pairs[i+1])
		}
		return data
	}
	for name, tc := range map[string]struct {
		data map[string][]byte // nil: there is no such Secret
		want index.Credentials
	}{
		"user and password, with an editor's line ends": {
			bytesOf("username", "me\n", "password", "pa ss\r\n"), index.Credentials{Username: "me", Password: "pa ss"},
		},
		"a token and an authority": {
			bytesOf("bearerToken", "abc", "ca.crt", "PEM\n"), index.Credentials{BearerToken: "abc", CA: []byte("PEM\n")},
		},
		"of registries": {
			bytesOf(".dockerconfigjson", "{}"), index.Credentials{DockerConfig: []byte("{}")},
		},
		"nothing that is known": {
			bytesOf("user", "me"), index.Credentials{Unavailable: `secretRef: Secret "mirror" has none of the keys ` +
				"username and password, bearerToken, ca.crt, .dockerconfigjson; add what the server wants"},
		},
		"no Secret": {
			nil, index.Credentials{Unavailable: `secretRef: Secret "mirror" does not exist in namespace "lab"; create it or correct the name`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			to := reference{kindSecret, "mirror"}
			from := referents{to: missing("lab", to)}
			if tc.data != nil {
				from[to] = referent{data: tc.data}
			}
			p := someProfile(func(p *v1alpha1.BootProfile) {
				p.Spec.Platforms[0].Kernel.SecretRef = &v1alpha1.SecretReference{Name: "mirror"}
			})
			compiled, accepted := compile(p, from)
			if compiled == nil || !accepted.ok() {
				t.Fatalf("compile() = %+v: a profile without its credentials still serves what is cached", accepted)
			}
			if got := compiled.Platforms[0].Kernel.Credentials; !got.Equal(&tc.want) {
				t.Errorf("credentials differ; unavailable: %q, want %q", got.Unavailable, tc.want.Unavailable)
			}
			if got := compiled.Platforms[1].UKI.Credentials; got != nil {
				t.Error("an artifact without secretRef has credentials")
			}
		})
	}
}

func TestReferencesOf(t *testing.T) {
	secret := func(name string) *v1alpha1.SecretReference { return &v1alpha1.SecretReference{Name: name} }
	p := someProfile(func(p *v1alpha1.BootProfile) {
		p.Spec.Configs = []v1alpha1.Config{fromConfigMapKey("a", "texts", "a"), fromSecretKey("b", "keys", "b"), {Name: "c", Template: new("")}}
		p.Spec.Platforms[0] = v1alpha1.Platform{
			Kernel: &v1alpha1.Artifact{SecretRef: secret("kernel")}, Initrds: []v1alpha1.Artifact{{SecretRef: secret("initrd")}, {SecretRef: secret("kernel")}},
			DeviceTree: &v1alpha1.Artifact{SecretRef: secret("tree")},
			Loader:     &v1alpha1.Loader{Files: []v1alpha1.LoaderFile{{Artifact: v1alpha1.Artifact{SecretRef: secret("loader")}}}},
		}
		p.Spec.Platforms[1].UKI.SecretRef = secret("uki")
		p.Spec.Files = []v1alpha1.File{{Artifact: v1alpha1.Artifact{SecretRef: secret("file")}}}
	})
	m := someMachine(func(m *v1alpha1.Machine) {
		m.Spec.Configs = []v1alpha1.Config{fromSecretKey("d", "own", "d"), fromSecretKey("e", "keys", "e")}
	})
	want := []string{"Secret/own", "Secret/keys", "ConfigMap/texts", "Secret/kernel", "Secret/tree", "Secret/initrd", "Secret/loader", "Secret/uki", "Secret/file"}
	if diff := cmp.Diff(want, referenceValues(referencesOf(m, p))); diff != "" {
		t.Errorf("referencesOf(): want (-), got (+):\n%s", diff)
	}
	if got := referencesOf(nil, nil); len(got) != 0 {
		t.Errorf("nobody refers to %v", got)
	}
}

func TestReferentsNeverPrint(t *testing.T) {
	from := referents{{kindSecret, "keys"}: {data: map[string][]byte{"k": []byte("hunter2")}}}
	text := fmt.Sprintf("%v %+v %#v", from, from, from)
	if strings.Contains(text, "hunter2") || strings.Contains(text, "104 117 110") {
		t.Errorf("printed %s", text)
	}
}

// A scriptedAPI answers get as a test says, and counts.
type scriptedAPI struct {
	client.Reader

	secret func() (*corev1.Secret, error)
	gets   int
}

func (a *scriptedAPI) Get(_ context.Context, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	a.gets++
	secret, err := a.secret()
	if err != nil {
		return err
	}
	*o.(*corev1.Secret) = *secret
	return nil
}

func TestReaderTellsWhyNot(t *testing.T) {
	resource := corev1.Resource("secrets")
	for name, tc := range map[string]struct {
		err         error
		name        string
		wantReason  string
		wantMessage string
		wantRetry   bool
	}{
		"missing":     {apierrors.NewNotFound(resource, "keys"), "keys", v1alpha1.ReasonSecretNotFound, `Secret "keys" does not exist in namespace "lab"`, false},
		"forbidden":   {apierrors.NewForbidden(resource, "keys", errors.New("RBAC")), "keys", v1alpha1.ReasonSourceForbidden, `may not read Secrets in namespace "lab"`, false},
		"server away": {errors.New("connection refused: hunter2"), "keys", v1alpha1.ReasonSourceUnreadable, `Secret "keys" can't be read now (Unreachable)`, true},
		"server busy": {apierrors.NewTooManyRequests("hunter2", 1), "keys", v1alpha1.ReasonSourceUnreadable, `can't be read now (TooManyRequests)`, true},
		"our own key": {nil, TokenSecret, v1alpha1.ReasonSourceForbidden, "holds the operator's own keys", false},
	} {
		t.Run(name, func(t *testing.T) {
			api := &scriptedAPI{secret: func() (*corev1.Secret, error) {
				return &corev1.Secret{Data: map[string][]byte{"k": []byte("text")}}, tc.err
			}}
			to := reference{kindSecret, tc.name}
			from, err := newReferenceReader(api).read(t.Context(), "lab", []reference{to})
			if (err != nil) != tc.wantRetry {
				t.Errorf("read() error = %v, want one: %v", err, tc.wantRetry)
			}
			value, fault := from.value(to, "k")
			if value != nil || fault == nil || fault.Reason != tc.wantReason || !strings.Contains(fault.Message, tc.wantMessage) || strings.Contains(fault.Message, "hunter2") {
				t.Errorf("value() = %q, %+v; want %s %q", value, fault, tc.wantReason, tc.wantMessage)
			}
		})
	}
}

// TestReaderReadsOnceForMany has a Secret that changes between the looks of many.
func TestReaderReadsOnceForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := "first"
		api := &scriptedAPI{}
		api.secret = func() (*corev1.Secret, error) {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys"}, Data: map[string][]byte{"k": []byte(content)}}, nil
		}
		r := newReferenceReader(api)
		to := reference{kindSecret, "keys"}
		look := func() string {
			t.Helper()
			from, err := r.read(t.Context(), "lab", []reference{to})
			if err != nil {
				t.Fatal(err)
			}
			value, _ := from.value(to, "k")
			return string(value)
		}
		for range 1000 {
			if got := look(); got != "first" {
				t.Fatalf("read %q", got)
			}
		}
		if api.gets != 1 {
			t.Errorf("the API server was asked %d times for 1000 looks", api.gets)
		}
		content = "second"
		r.forget(kindSecret, client.ObjectKey{Namespace: "lab", Name: "keys"})
		if got := look(); got != "second" {
			t.Errorf("after a change: %q", got)
		}

		// A change that comes while it is read: what was read may be the old content.
		<-time.After(rememberFor)
		api.secret = func() (*corev1.Secret, error) {
			r.forget(kindSecret, client.ObjectKey{Namespace: "lab", Name: "keys"})
			return &corev1.Secret{Data: map[string][]byte{"k": []byte("third")}}, nil
		}
		before := api.gets
		look()
		look()
		if api.gets != before+2 {
			t.Error("what was read during a change was kept")
		}

		<-time.After(rememberFor)
		look()
		if len(r.recent) != 0 {
			t.Errorf("%d contents are kept for ever", len(r.recent))
		}
	})
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// The values that nothing but the machine may ever see.
const (
	secretPassword = "correct-horse-battery-staple"
	secretUserData = "Tr0ub4dor-and-3"
	secretMirror   = "swordfish-for-the-mirror"
)

const (
	kickstart = "rootpw --plaintext " + secretPassword + "\nnetwork --hostname={{ .Machine.Hostname }}\n"
	userData  = "#cloud-config\nhostname: {{ .Machine.Hostname }}\npassword: " + secretUserData + "\n"
)

// secretObjects are a profile whose configs and artifacts need Secrets, and two machines of it.
func secretObjects(namespace, kernel string) []client.Object {
	profile := profileOf(namespace, kernel, digest("a kernel"))
	profile.Spec.Platforms[0].Kernel.SecretRef = &v1alpha1.SecretReference{Name: "mirror"}
	profile.Spec.KernelArgs = []v1alpha1.KernelArgument{`inst.ks={{ .ConfigURL "kickstart" }}`, "ds=nocloud;s={{ .SeedURL }}"}
	profile.Spec.Configs = []v1alpha1.Config{
		{Name: "kickstart", SecretKeyRef: &v1alpha1.KeySelector{Name: "installer", Key: "ks.cfg"}},
		{Name: "user-data", SecretKeyRef: &v1alpha1.KeySelector{Name: "installer", Key: "user-data"}},
		{Name: "vendor-data", ConfigMapKeyRef: &v1alpha1.KeySelector{Name: "vendor", Key: "data"}, Access: v1alpha1.ConfigAccessNetwork},
	}
	return []client.Object{
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "installer", Annotations: map[string]string{"note": secretPassword}},
			Data:       map[string][]byte{"ks.cfg": []byte(kickstart), "user-data": []byte(userData)},
		},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mirror"},
			Data:       map[string][]byte{"username": []byte("netboot"), "password": []byte(secretMirror)},
		},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "vendor"},
			Data:       map[string]string{"data": "from: {{ .Profile.Name }}\n"},
		},
		profile, machineOf(namespace, "node-01", mac1), machineOf(namespace, "node-02", "52:54:00:aa:bb:02"),
	}
}

// urls returns the URLs of the kickstart and the seed that a machine's configuration names, as paths.
func (s *service) urls(name string) (ks, seed string) {
	s.t.Helper()
	config, err := s.getTFTP(name)
	if err != nil {
		s.t.Fatal(err)
	}
	found := regexp.MustCompile(`inst\.ks=http://[^/]+(\S+) ds=nocloud;s=http://[^/]+(\S+/)\s`).FindStringSubmatch(config)
	if found == nil {
		s.t.Fatalf("no URLs in %q", config)
	}
	return found[1], found[2]
}

// checkTokens fetches kickstart and seed with tokens of all kinds. The objects are those of secretObjects.
func (s *service) checkTokens(namespace string, key token.Key) (tokens []string) {
	s.t.Helper()
	ks1, seed1 := s.urls(name1)
	ks2, seed2 := s.urls(name2)
	part := func(path string) string { return strings.Split(path, "/")[5] } // /m/NS/NAME/t/TOKEN/...
	expired := func(scope string) string {
		return token.Sign(key, token.Claim{Machine: namespace + "/node-01", BootID: "1", Scope: scope}, time.Now().Add(-time.Second))
	}
	wrong := strings.Repeat("A", 48)
	ksWith := func(t string) string { return strings.Replace(ks1, part(ks1), t, 1) }
	seedWith := func(t string) string { return strings.Replace(seed1, part(seed1), t, 1) + "user-data" }
	machine := "/m/" + namespace + "/node-01/"
	for name, tc := range map[string]struct {
		path       string
		wantStatus int
		want       string // in the body
	}{
		"kickstart":                            {ks1, 200, "rootpw --plaintext " + secretPassword + "\nnetwork --hostname=node-01\n"},
		"kickstart of the other machine":       {ks2, 200, "hostname=node-02"},
		"kickstart with a wrong token":         {ksWith(wrong), 403, "another machine, bootID or config"},
		"kickstart with an expired token":      {ksWith(expired("config/kickstart")), 403, "has expired"},
		"kickstart by another machine's token": {ksWith(part(ks2)), 403, "another machine, bootID or config"},
		"kickstart by the seed's token":        {ksWith(part(seed1)), 403, "another machine, bootID or config"},
		"kickstart without a token":            {machine + "kickstart", 403, "no token"},
		"seed: user-data":                      {seed1 + "user-data", 200, "#cloud-config\nhostname: node-01\npassword: " + secretUserData + "\n"},
		"seed: meta-data":                      {seed1 + "meta-data", 200, `instance-id: "` + namespace + `-node-01-1"`},
		"seed: vendor-data":                    {seed1 + "vendor-data", 200, "from: linux\n"},
		"seed: network-config":                 {seed1 + "network-config", 404, "has no config"},
		"seed with a wrong token":              {seedWith(wrong), 403, "another machine, bootID or config"},
		"seed with an expired token":           {seedWith(expired("seed")), 403, "has expired"},
		"seed by another machine's token":      {seedWith(part(seed2)), 403, "another machine, bootID or config"},
		"seed without a token":                 {machine + "seed/user-data", 403, "no token"},
		"a config for all":                     {machine + "vendor-data", 200, "from: linux\n"},
	} {
		status, body := s.getHTTP(s.http, tc.path)
		if status != tc.wantStatus || !strings.Contains(body, tc.want) {
			s.t.Errorf("%s: GET %s is %d %q, want %d %q", name, tc.path, status, body, tc.wantStatus, tc.want)
		}
	}
	if _, err := s.getTFTP(ks1); err == nil || !strings.Contains(err.Error(), "no such name") {
		s.t.Errorf("a config over TFTP: %v", err)
	}
	_, metrics := s.getHTTP(s.api, "/metrics")
	for _, want := range []string{
		`netboot_config_tokens_refused_total{reason="expired"} 2`, `netboot_config_tokens_refused_total{reason="wrong"} 5`,
		`netboot_config_tokens_refused_total{reason="missing"} 2`, "netboot_config_token_key_available 1",
	} {
		if !strings.Contains(metrics, want) {
			s.t.Errorf("/metrics does not hold %s", want)
		}
	}
	return []string{part(ks1), part(ks2), part(seed1), part(seed2)}
}

// checkSilence looks for what must not be told in all that is.
func checkSilence(t *testing.T, told map[string]string, secrets ...string) {
	t.Helper()
	secrets = append(secrets, secretPassword, secretUserData, secretMirror)
	for where, text := range told {
		if text == "" {
			t.Errorf("%s is empty: nothing was looked through", where)
		}
		for _, secret := range secrets {
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))} {
				if at := strings.Index(text, form); at >= 0 {
					t.Errorf("%s tells a secret: ...%s...", where, text[max(0, at-200):min(len(text), at+200)])
				}
			}
		}
	}
}

// TestConfigsOfACluster serves a kickstart and a seed out of Secrets, and looks for them where they must not be.
func TestConfigsOfACluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.create(secretObjects(c.namespace, c.guardedUpstream())...)
	s := start(t, append(c.flags(), "--verbosity=5")...)
	c.condition(machineOf(c.namespace, "node-01", ""), v1alpha1.ConditionRendered, metav1.ConditionTrue, v1alpha1.ReasonRendered)
	kernel := "/artifacts/sha256/" + digest("a kernel") + "/vmlinuz"
	if status, body := s.getHTTP(s.http, kernel); status != http.StatusOK || body != "a kernel" {
		t.Errorf("the kernel that needs a password: %d %q", status, body)
	}
	key := c.tokenKey()
	tokens := s.checkTokens(c.namespace, key)

	// A second pod has the same key.
	other := start(t, append(c.flags(), "--verbosity=5")...)
	ks, _ := s.urls(name1)
	if status, body := other.getHTTP(other.http, ks); status != http.StatusOK {
		t.Errorf("another pod says %d %q to the first one's token", status, body)
	}

	// Now go wrong in all ways: the text does not render, the object goes.
	c.patchSecret("installer", "ks.cfg", "rootpw "+secretPassword+"\n{{ "+secretPassword+" }}\n")
	node := machineOf(c.namespace, "node-01", "")
	message := c.condition(node, v1alpha1.ConditionRendered, metav1.ConditionFalse, v1alpha1.ReasonTemplateError)
	if want := `Secret "installer" key "ks.cfg": the template has an error in line 2; it is not shown`; !strings.Contains(message, want) {
		t.Errorf("Rendered says %q, want %q in it", message, want)
	}
	c.event(node, v1alpha1.ReasonTemplateError)
	s.getHTTP(s.http, ks) // logs why not

	checkSilence(t, map[string]string{
		"the log":             s.logged(),
		"the other pod's log": other.logged(),
		"/metrics":            body(s.getHTTP(s.api, "/metrics")),
		"Machines":            c.kubectl("get", "machines", "-o", "yaml"),
		"BootProfiles":        c.kubectl("get", "bootprofiles", "-o", "yaml"),
		"Events":              c.kubectl("get", "events", "-o", "yaml"),
		"leases":              c.kubectl("get", "leases", "-o", "yaml"),
	}, append(tokens, string(key.Text()))...)
}

func body(_ int, text string) string { return text }

// guardedUpstream serves a kernel to who knows the password.
func (c *cluster) guardedUpstream() string {
	return upstream(c.t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "netboot" || password != secretMirror {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		contents("a kernel")(w, r)
	})
}

// tokenKey returns the key that the pods sign with.
func (c *cluster) tokenKey() token.Key {
	c.t.Helper()
	secret := &corev1.Secret{}
	if err := c.client.Get(c.t.Context(), client.ObjectKey{Namespace: c.namespace, Name: controllers.TokenSecret}, secret); err != nil {
		c.t.Fatal(err)
	}
	key, err := token.ParseKey(secret.Data["current"])
	if err != nil {
		c.t.Fatal(err)
	}
	return key
}

func (c *cluster) patchSecret(name, key, text string) {
	c.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name}}
	patch := fmt.Sprintf(`{"data":{%q:%q}}`, key, base64.StdEncoding.EncodeToString([]byte(text)))
	if err := c.client.Patch(c.t.Context(), secret, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		c.t.Fatal(err)
	}
}

// TestReferencesHealByThemselves creates, edits and deletes what configs refer to while machines are served.
func TestReferencesHealByThemselves(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	objects := secretObjects(c.namespace, c.guardedUpstream())
	installer, mirror, vendor := objects[0], objects[1], objects[2]
	c.create(objects[3:]...)
	s := c.serve()
	node := machineOf(c.namespace, "node-01", "")

	message := c.condition(node, v1alpha1.ConditionRendered, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	for _, want := range []string{`BootProfile "linux" spec.configs[0].secretKeyRef`, `Secret "installer" does not exist in namespace "` + c.namespace, `ConfigMap "vendor" does not exist`} {
		if !strings.Contains(message, want) {
			t.Errorf("Rendered says %q, want %q in it", message, want)
		}
	}
	c.create(installer)
	c.condition(node, v1alpha1.ConditionRendered, metav1.ConditionFalse, v1alpha1.ReasonConfigMapNotFound)
	c.create(vendor)
	c.condition(node, v1alpha1.ConditionRendered, metav1.ConditionTrue, v1alpha1.ReasonRendered)
	ks, _ := s.urls(name1)
	serves := func(want string) {
		t.Helper()
		eventually(t, func() string {
			if status, body := s.getHTTP(s.http, ks); !strings.Contains(body, want) {
				return fmt.Sprintf("the kickstart is %d %q, want %q in it", status, body, want)
			}
			return ""
		})
	}
	serves(secretPassword)
	c.patchSecret("installer", "ks.cfg", "edited")
	serves("edited")

	// The kernel's Secret is still missing: said where the artifacts are, until it is there.
	kernel := "/artifacts/sha256/" + digest("a kernel") + "/vmlinuz"
	eventually(t, func() string {
		if status, body := s.getHTTP(s.http, kernel); status != http.StatusBadGateway {
			return fmt.Sprintf("the kernel without its password: %d %q", status, body)
		}
		return ""
	})
	missing := c.condition(profileOf(c.namespace, "", ""), v1alpha1.ConditionArtifactsReady, metav1.ConditionFalse, v1alpha1.ReasonUnauthorized)
	if want := `secretRef: Secret "mirror" does not exist in namespace "` + c.namespace; !strings.Contains(missing, want) {
		t.Errorf("ArtifactsReady says %q, want %q in it", missing, want)
	}
	c.create(mirror)
	eventually(t, func() string {
		if status, body := s.getHTTP(s.http, kernel); status != http.StatusOK {
			return fmt.Sprintf("the kernel with its password: %d %q", status, body)
		}
		return ""
	})

	c.condition(profileOf(c.namespace, "", ""), v1alpha1.ConditionArtifactsReady, metav1.ConditionTrue, v1alpha1.ReasonFetched)

	c.kubectl("-n", c.namespace, "patch", "secret", "installer", "--type=json", "-p", `[{"op":"remove","path":"/data/ks.cfg"}]`)
	c.condition(node, v1alpha1.ConditionRendered, metav1.ConditionFalse, v1alpha1.ReasonSecretKeyNotFound)
	serves("can't be had")
	c.kubectl("delete", "secret", "installer")
	c.condition(node, v1alpha1.ConditionRendered, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
}

// restrict takes from the operator all rules about a resource, as if its RBAC had not been brought up to date.
func (c *cluster) restrict(resource string) {
	c.t.Helper()
	user := "operator-of-" + c.namespace
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		c.t.Fatal(err)
	}
	documents := strings.Split(string(text), "\n---\n")
	file := c.kubeconfig + ".restricted.yaml"
	var restricted []string
	for _, document := range documents {
		var role map[string]any
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			c.t.Fatal(err)
		}
		role["metadata"] = map[string]any{"name": user, "namespace": c.namespace}
		rules, _ := role["rules"].([]any)
		role["rules"] = slices.DeleteFunc(rules, func(rule any) bool {
			resources, _ := rule.(map[string]any)["resources"].([]any)
			left := slices.DeleteFunc(resources, func(r any) bool { return r == resource })
			rule.(map[string]any)["resources"] = left
			return len(left) == 0
		})
		out, err := yaml.Marshal(role)
		if err != nil {
			c.t.Fatal(err)
		}
		restricted = append(restricted, string(out))
	}
	writeFile(c.t, file, strings.Join(restricted, "---\n"))
	c.kubectl("apply", "-f", file)
	c.kubectl("delete", "clusterrolebinding", user)
	c.kubectl("delete", "rolebinding", user)
	c.kubectl("create", "clusterrolebinding", user+"-restricted", "--clusterrole="+user, "--user="+user)
	c.kubectl("create", "rolebinding", user+"-restricted", "--role="+user, "--user="+user)
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: c.namespace, Verb: "get", Resource: resource},
	}}
	eventually(c.t, func() string {
		asked := review.DeepCopy()
		if err := c.client.Create(c.t.Context(), asked); err != nil {
			return err.Error()
		}
		if asked.Status.Allowed {
			return "the operator may still get " + resource
		}
		return ""
	})
}

// TestSecretsForbidden serves a namespace whose Secrets the operator may not read.
func TestSecretsForbidden(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.create(secretObjects(c.namespace, c.guardedUpstream())...)
	plain := profileOf(c.namespace, upstream(t, contents("another kernel")), digest("another kernel"))
	plain.Name = "plain"
	free := machineOf(c.namespace, "node-03", "52:54:00:aa:bb:03")
	free.Spec.ProfileRef.Name = "plain"
	c.create(plain, free)
	c.restrict("secrets")
	s := c.serve()

	if config, err := s.getTFTP("pxelinux.cfg/01-52-54-00-aa-bb-03"); err != nil || !strings.Contains(config, "node-03") {
		t.Errorf("a machine that needs no Secret gets %q, %v", config, err)
	}
	c.condition(free, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	node := machineOf(c.namespace, "node-01", "")
	message := c.condition(node, v1alpha1.ConditionRendered, metav1.ConditionFalse, v1alpha1.ReasonSourceForbidden)
	if want := `may not read Secrets in namespace "` + c.namespace; !strings.Contains(message, want) {
		t.Errorf("Rendered says %q, want %q in it", message, want)
	}
	if !strings.Contains(s.logged(), "There is no key of tokens") {
		t.Error("the log does not tell that there is no key of tokens")
	}

	c.grant("operator-of-" + c.namespace)
	c.condition(node, v1alpha1.ConditionRendered, metav1.ConditionTrue, v1alpha1.ReasonRendered)
	eventually(t, func() string {
		if _, err := s.getTFTP(name1); err != nil {
			return err.Error()
		}
		return ""
	})
	ks, _ := s.urls(name1)
	if status, body := s.getHTTP(s.http, ks); status != http.StatusOK {
		t.Errorf("after it was allowed: %d %q", status, body)
	}
}

// TestRotationOfTheKey edits the Secret of the pods.
func TestRotationOfTheKey(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.create(secretObjects(c.namespace, c.guardedUpstream())...)
	s := c.serve()
	ks, _ := s.urls(name1)
	before := c.tokenKey()
	next := token.NewKey()
	c.patchSecret(controllers.TokenSecret, "previous", string(before.Text()))
	c.patchSecret(controllers.TokenSecret, "current", string(next.Text()))
	claim := token.Claim{Machine: c.namespace + "/node-01", BootID: "1", Scope: "config/kickstart"}
	byNext := "/m/" + c.namespace + "/node-01/t/" + token.Sign(next, claim, time.Now().Add(time.Hour)) + "/kickstart"
	eventually(t, func() string {
		if status, body := s.getHTTP(s.http, byNext); status != http.StatusOK {
			return fmt.Sprintf("a token of the new key: %d %q", status, body)
		}
		return ""
	})
	if status, body := s.getHTTP(s.http, ks); status != http.StatusOK {
		t.Errorf("a token of the previous key: %d %q", status, body)
	}
}

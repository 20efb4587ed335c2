// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build kind

package kind

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// typed returns the commands of one section of docs/install.md, those of all its blocks of language "sh". What the page
// takes from the internet is taken from here: the chart from this repository, whose version names the image that is
// loaded, and the installer's mirror from the test's own server.
func (c *cluster) typed(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/install.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/install.md has no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var commands strings.Builder
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(section, -1) {
		commands.WriteString(block[1])
	}
	if commands.Len() == 0 {
		t.Fatalf("docs/install.md has no commands below %q", heading)
	}
	chart, err := filepath.Abs(filepath.Join(root, "charts/netboot-operator"))
	if err != nil {
		t.Fatal(err)
	}
	const image = " --set image.pullPolicy=Never"
	text := strings.ReplaceAll(commands.String(), "oci://ghcr.io/netboot-operator/charts/netboot-operator", chart+image)
	return regexp.MustCompile(`(?m)^mirror=https://.*$`).ReplaceAllString(text, "mirror="+c.upstream.url)
}

// enter types the commands of sections into one shell, and returns what they printed.
func (c *cluster) enter(t *testing.T, headings ...string) string {
	t.Helper()
	var script strings.Builder
	for _, heading := range headings {
		script.WriteString(c.typed(t, heading))
	}
	shell := exec.CommandContext(t.Context(), "bash", "-euxo", "pipefail", "-c", script.String())
	shell.Dir = filepath.Join(root)
	begun := time.Now()
	out, err := shell.CombinedOutput()
	t.Logf("%s: %v\n%s", strings.Join(headings, ", "), time.Since(begun).Round(time.Second), out)
	if err != nil {
		t.Fatalf("a command of docs/install.md failed: %v", err)
	}
	return string(out)
}

// install follows a newcomer to the point where the first machine may be switched on.
func (c *cluster) install(t *testing.T) {
	t.Helper()
	out := c.enter(t, "Install", "DHCP", "First machine")
	for _, want := range []string{"STATUS: deployed", "pxelinux.0", "DEFAULT netboot"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output does not have %q", want)
		}
	}
	if got := len(c.pods(t)); got != len(c.workers) {
		t.Errorf("%d pods, want one on each of %d workers", got, len(c.workers))
	}
	c.measure(t, "idle, just installed")
}

// samples applies config/samples, those of the demo with files from the test's own server.
func (c *cluster) samples(t *testing.T) {
	t.Helper()
	folder := filepath.Join(root, "config/samples")
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("samples in %s: %v, %v", folder, files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		for _, name := range []string{"vmlinuz", "initrd.img"} {
			re := regexp.MustCompile(`url: file:///` + regexp.QuoteMeta(name) + `\b.*\n( *)sha256: \w{64}`)
			text = re.ReplaceAllString(text, "url: "+c.upstream.url+"/"+name+"\n${1}sha256: "+c.upstream.digest("/"+name))
		}
		apply(t, text)
	}
	run(t, "kubectl", "wait", "--for=condition=Ready", "--timeout=180s", "bootprofile/demo", "machine/node-01", "machine/node-02")
	for _, n := range c.workers {
		if got := c.get(t, n, "pxelinux.cfg/01-52-54-00-aa-bb-01"); !strings.Contains(got, "hostname=node-01 rack=r12") {
			t.Errorf("%s answers for the machine of the samples:\n%s", n.name, got)
		}
	}
}

// podSecurity has the API server judge our pods by the restricted profile.
func (c *cluster) podSecurity(t *testing.T) {
	t.Helper()
	run(t, "kubectl", "label", "namespace", namespace, "pod-security.kubernetes.io/warn=restricted", "pod-security.kubernetes.io/audit=restricted")
	command := exec.CommandContext(t.Context(), "bash", "-c",
		"kubectl -n "+namespace+" get daemonset netboot-operator -o yaml | kubectl apply --server-side --force-conflicts --dry-run=server -f -")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("Pod Security Standards, profile restricted:\n%s", out)
	reWarning := regexp.MustCompile(`(?s)would violate PodSecurity "restricted:[^"]*": (.*?)\n`)
	warning := reWarning.FindStringSubmatch(string(out))
	if warning == nil {
		t.Fatal("no warning: the host's network breaks the profile, so there must be one")
	}
	for part := range strings.SplitSeq(warning[1], "), ") {
		if !strings.HasPrefix(part, "host namespaces") && !strings.HasPrefix(part, "hostPort") {
			t.Errorf("breaks the profile with more than the host's network: %s", part)
		}
	}
	account := "system:serviceaccount:" + namespace + ":" +
		run(t, "kubectl", "-n", namespace, "get", "daemonset", "netboot-operator", "-o", "jsonpath={.spec.template.spec.serviceAccountName}")
	for _, in := range []string{namespace, "default"} {
		t.Logf("kubectl auth can-i --list --as %s -n %s\n%s", account, in, run(t, "kubectl", "auth", "can-i", "--list", "--as", account, "-n", in))
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repo_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBundlePage types what docs/bundle.md says, with its example as the folder and a mirror that has the files, and compares
// the outputs that it shows.
func TestBundlePage(t *testing.T) {
	top := t.TempDir()
	build(t, filepath.Join(top, "netboot"))
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := map[string]string{"/debian/vmlinuz": "a kernel\n", "/debian/initrd.img": "an initrd\n"}[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, content)
	}))
	defer mirror.Close()
	here := []string{"http://mirror.example.com", mirror.URL, "/var/lib/netboot-operator", filepath.Join(top, "data")}
	back := []string{here[1], here[0], here[3], here[2]}

	typed := 0
	for _, b := range blocks(read(t, "docs/bundle.md")) {
		switch b.language {
		case "yaml":
			if err := os.MkdirAll(filepath.Join(top, "site"), 0o755); err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer(here...).Replace(b.text)
			if err := os.WriteFile(filepath.Join(top, "site/debian.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		case "sh":
			typed++
			shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", strings.NewReplacer(here...).Replace(b.text))
			shell.Dir, shell.Env = top, append(os.Environ(), "PATH="+top+":"+os.Getenv("PATH"))
			var said strings.Builder
			shell.Stderr = &said
			out, err := shell.Output()
			if err != nil {
				t.Fatalf("%s%v\n%s", b.text, err, &said)
			}
			if diff := cmp.Diff(b.output, strings.NewReplacer(back...).Replace(string(out))); diff != "" {
				t.Errorf("docs/bundle.md shows another output of\n%s(-page +got):\n%s", b.text, diff)
			}
		}
	}
	if typed == 0 {
		t.Error("docs/bundle.md has no commands")
	}
}

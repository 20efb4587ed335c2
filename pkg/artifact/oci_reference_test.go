// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"io/fs"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const hex64 = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"

func parseOCIText(text string) (*ociReference, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	return parseOCI(u)
}

func TestParseOCI(t *testing.T) {
	for text, want := range map[string]ociReference{
		"oci://ghcr.io/lab/boot:v1":                           {host: "ghcr.io", repository: "lab/boot", tag: "v1"},
		"oci://ghcr.io/boot@sha256:" + hex64:                  {host: "ghcr.io", repository: "boot", digest: "sha256:" + hex64},
		"oci://ghcr.io/boot:v1@sha256:" + hex64:               {host: "ghcr.io", repository: "boot", digest: "sha256:" + hex64},
		"oci://registry.lan:5000/boot:v1?plainHTTP=true":      {host: "registry.lan:5000", repository: "boot", tag: "v1", plainHTTP: true},
		"oci://registry.lan:5000/boot:v1":                     {host: "registry.lan:5000", repository: "boot", tag: "v1"},
		"oci://localhost:5000/boot:v1":                        {host: "localhost:5000", repository: "boot", tag: "v1", plainHTTP: true},
		"oci://127.0.0.1:5000/boot:v1":                        {host: "127.0.0.1:5000", repository: "boot", tag: "v1", plainHTTP: true},
		"oci://[::1]:5000/boot:v1":                            {host: "[::1]:5000", repository: "boot", tag: "v1", plainHTTP: true},
		"oci://localhost:5000/boot:v1?plainHTTP=false":        {host: "localhost:5000", repository: "boot", tag: "v1"},
		"oci://localhost.example.com/boot:v1":                 {host: "localhost.example.com", repository: "boot", tag: "v1"},
		"oci://h/b:1#title=vmlinuz-6.1%2Bdeb+1":               {host: "h", repository: "b", tag: "1", title: "vmlinuz-6.1+deb+1"},
		"oci://h/b:1#path=/boot/vmlinuz&platform=linux/arm64": {host: "h", repository: "b", tag: "1", path: "boot/vmlinuz", platform: platform{"linux", "arm64", ""}},
		"oci://h/b:1#platform=linux/arm/v7&title=a%26b":       {host: "h", repository: "b", tag: "1", title: "a&b", platform: platform{"linux", "arm", "v7"}},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := parseOCIText(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, *got, cmp.AllowUnexported(ociReference{}, platform{})); diff != "" {
				t.Errorf("parseOCI() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseOCIRefuses(t *testing.T) {
	const noSelector = "after the # must be title=NAME, path=PATH or platform=OS/ARCHITECTURE, each once and joined by &"
	for text, want := range map[string]string{
		"oci://ghcr.io/boot":                      `"ghcr.io/boot" names no version: end it in :TAG or @sha256:HEX`,
		"oci://ghcr.io":                           `"ghcr.io" names no version: end it in :TAG or @sha256:HEX`,
		"oci://ghcr.io/:v1":                       `"" is not the name of a repository: it has lower-case letters, digits, and .-_ between them`,
		"oci:///boot:v1":                          `"" is not HOST or HOST:PORT`,
		"oci://:5000/boot:v1":                     `":5000" is not HOST or HOST:PORT`,
		"oci://me@ghcr.io/boot:v1":                `"ghcr.io" is not HOST or HOST:PORT`,
		"oci://ghcr.io/Boot:v1":                   `"Boot" is not the name of a repository: it has lower-case letters, digits, and .-_ between them`,
		"oci://ghcr.io/../boot:v1":                `"../boot" is not the name of a repository: it has lower-case letters, digits, and .-_ between them`,
		"oci://ghcr.io/boot:v1/x":                 `"v1/x" is not a tag: it has letters, digits and .-_, 128 at most`,
		"oci://ghcr.io/boot:":                     `"" is not a tag: it has letters, digits and .-_, 128 at most`,
		"oci://ghcr.io/boot@sha256:abc":           `"sha256:abc" is not a digest: write @sha256: and 64 lower-case hex digits`,
		"oci://ghcr.io/boot@v1":                   `"v1" is not a digest: write @sha256: and 64 lower-case hex digits`,
		"oci://ghcr.io/boot@md5:" + hex64[:32]:    `"md5:` + hex64[:32] + `" is not a digest: write @sha256: and 64 lower-case hex digits`,
		"oci://ghcr.io/boot:v1?insecure=1":        `the query "insecure=1" is not plainHTTP=true or plainHTTP=false`,
		"oci://ghcr.io/boot:v1#vmlinuz":           `"vmlinuz" ` + noSelector,
		"oci://ghcr.io/boot:v1#title=":            `"title=" ` + noSelector,
		"oci://ghcr.io/boot:v1#title=a&title=b":   `"title=b" ` + noSelector,
		"oci://ghcr.io/boot:v1#file=a":            `"file" after the # is not known: there are title=NAME, path=PATH and platform=OS/ARCHITECTURE`,
		"oci://ghcr.io/boot:v1#path=../etc/x":     "path=../etc/x must not have . or .. in it: write it like boot/vmlinuz",
		"oci://ghcr.io/boot:v1#path=/":            "path=/ must not have . or .. in it: write it like boot/vmlinuz",
		"oci://ghcr.io/boot:v1#platform=arm64":    "platform=arm64 must be OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64",
		"oci://ghcr.io/boot:v1#platform=linux/a/": "platform=linux/a/ must be OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := parseOCIText(text)
			if err == nil {
				t.Fatal("parseOCI() succeeded")
			}
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Errorf("parseOCI() error (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseReference(f *testing.F) {
	for _, text := range []string{
		"oci://ghcr.io/lab/boot:v1", "oci://h/b:1@sha256:" + hex64 + "#path=boot/vmlinuz&title=x&platform=linux/arm/v7",
		"oci://[::1]:5000/a/b:1?plainHTTP=false", "oci://docker.io/library/x:1", "oci://h/b:1#title=%2e%2e%2f", "//::/0:0",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := parseOCIText(text)
		if err != nil {
			return
		}
		if ref.path != "" && (!fs.ValidPath(ref.path) || strings.HasPrefix(ref.path, "/")) {
			t.Errorf("the path %q", ref.path)
		}
		for _, kind := range []string{"manifests", "blobs"} {
			version := ref.tag
			if ref.digest != "" {
				version = ref.digest.String()
			}
			endpoint := ref.endpoint(kind, version)
			u, err := url.Parse(endpoint)
			if err != nil {
				t.Fatalf("asks for %q: %v", endpoint, err)
			}
			// A credential is looked up by this host, and nothing may lead out of the repository.
			if u.Host != ref.apiHost() || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
				u.Path != "/v2/"+ref.repository+"/"+kind+"/"+version || strings.Contains(u.Path, "..") && !strings.Contains(ref.tag, "..") {
				t.Errorf("asks for %q", endpoint)
			}
		}
	})
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	ocidigest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// imageOf pushes an image whose upper layers change what the lower ones have.
func imageOf(t *testing.T, r *testRegistry, tag string) ocispec.Descriptor {
	t.Helper()
	return r.manifest(t, "os", tag,
		r.layer(t, "os", "", gzipOf(t, tarOf(t,
			member{name: "boot/"}, member{name: "boot/vmlinuz-6.1", content: "old kernel"}, member{name: "boot/initrd", content: "initrd"},
			member{name: "lib", link: "usr/lib"}, member{name: "usr/lib/modules/6.12/vmlinuz", content: kernel},
			member{name: "usr/lib/modules/6.12/same", link: "usr/lib/modules/6.12/vmlinuz", hard: true},
			member{name: "opt/old/a", content: "a"}, member{name: "opt/old/b", content: "b"}, member{name: "srv/x", content: "x"},
			member{name: "round", link: "about"}, member{name: "about", link: "round"}, member{name: "folder/"},
		))),
		r.layer(t, "os", "", tarOf(t, // as some tools write it, and not packed
			member{name: "./boot/vmlinuz-6.1", content: "patched kernel"}, member{name: "./boot/.wh.initrd"},
			member{name: "./opt/old/b", content: "new b"}, member{name: "./opt/old/.wh..wh..opq"}, member{name: "./.wh.srv"},
		)),
		r.layer(t, "os", "", gzipOf(t, tarOf(t,
			member{name: "boot/vmlinuz", link: "../lib/modules/6.12/vmlinuz"}, member{name: "boot/far", link: "/boot/vmlinuz-6.1"},
			member{name: "boot/out", link: "../../../../boot/vmlinuz-6.1"},
		))),
	)
}

func TestOCI(t *testing.T) {
	r := newRegistry(t, nil)
	title := func(name, content string) ocispec.Descriptor { return r.layer(t, "boot", name, content) }
	blob := r.layer(t, "boot", "", kernel)
	one := r.manifest(t, "boot", "uki", title("uki.efi", kernel))
	two := r.manifest(t, "boot", "two", title("initrd", "initrd"), title("vmlinuz", kernel))
	r.manifest(t, "boot", "twins", title("vmlinuz", kernel), title("vmlinuz", "another"))
	many := r.index(t, "many", forPlatform(one, "linux", "amd64"), forPlatform(two, "linux", "arm64"))
	r.index(t, "single", forPlatform(one, "linux", "amd64"), forPlatform(two, "unknown", "unknown"))
	r.index(t, "nested", many)
	r.index(t, "deep", r.index(t, "deeper", r.index(t, "deepest", one)))
	r.manifest(t, "boot", "none")
	r.put(t, "boot", "text", "text/plain", "hello")
	r.manifest(t, "boot", "zstd", title("", "\x28\xb5\x2f\xfd"))
	r.manifest(t, "boot", "html", title("", "<html></html>"))
	image := imageOf(t, r, "v1")

	for url, tc := range map[string]struct {
		want       string          // what comes; empty: kernel
		wantReason artifact.Reason // empty: it comes
		wantText   string
	}{
		"boot@" + blob.Digest.String():                       {},
		"boot@" + one.Digest.String():                        {},
		"boot:uki":                                           {},
		"boot:anything@" + one.Digest.String():               {},
		"boot:uki#title=uki.efi":                             {},
		"boot:two#title=vmlinuz":                             {},
		"boot:many#platform=linux/amd64":                     {},
		"boot:many#platform=linux/arm64&title=vmlinuz":       {},
		"boot:single":                                        {},
		"boot:nested#platform=linux/amd64":                   {wantReason: artifact.ReasonUnexpectedContent, wantText: "is an index with 0 manifests that fit: choose one by #platform=OS/ARCHITECTURE, or by its own digest; it has \"no platform\""},
		"os:v1#path=boot/vmlinuz":                            {},
		"os@" + image.Digest.String() + "#path=boot/vmlinuz": {},
		"os:v1#path=/usr/lib/modules/6.12/vmlinuz":           {},
		"os:v1#path=lib/modules/6.12/same":                   {},
		"os:v1#path=boot/vmlinuz-6.1":                        {want: "patched kernel"},
		"os:v1#path=boot/far":                                {want: "patched kernel"},
		"os:v1#path=boot/out":                                {want: "patched kernel"},
		"os:v1#path=opt/old/b":                               {want: "new b"},

		"boot:two":                         {wantReason: artifact.ReasonUnexpectedContent, wantText: `has 2 layers that fit: choose one by #title=NAME; it has "initrd", "vmlinuz"`},
		"boot:twins#title=vmlinuz":         {wantReason: artifact.ReasonUnexpectedContent, wantText: `has 2 layers that fit: choose one by #title=NAME; it has "vmlinuz", "vmlinuz"`},
		"boot:two#title=linux":             {wantReason: artifact.ReasonUnexpectedContent, wantText: `has 0 layers that fit: choose one by #title=NAME; it has "initrd", "vmlinuz"`},
		"os:v1":                            {wantReason: artifact.ReasonUnexpectedContent, wantText: "has 3 layers without a title: choose a file in them by #path=PATH, such as #path=boot/vmlinuz"},
		"os:v1#title=vmlinuz":              {wantReason: artifact.ReasonUnexpectedContent, wantText: `has no layer with the title "vmlinuz", and none with any: choose a file by #path=PATH`},
		"boot:many":                        {wantReason: artifact.ReasonUnexpectedContent, wantText: `is an index with 2 manifests that fit: choose one by #platform=OS/ARCHITECTURE, or by its own digest; it has "linux/amd64", "linux/arm64"`},
		"boot:many#platform=linux/riscv64": {wantReason: artifact.ReasonUnexpectedContent, wantText: `is an index with 0 manifests that fit: choose one by #platform=OS/ARCHITECTURE, or by its own digest; it has "linux/amd64", "linux/arm64"`},
		"boot:deep":                        {wantReason: artifact.ReasonUnexpectedContent, wantText: "is an index of indexes: name one of these by its digest"},
		"boot:none":                        {wantReason: artifact.ReasonUnexpectedContent, wantText: "is a manifest without layers: push the file as a layer"},
		"boot:text":                        {wantReason: artifact.ReasonUnexpectedContent, wantText: "is not a manifest: not JSON of its shape"},
		"boot:missing":                     {wantReason: artifact.ReasonUpstreamUnavailable, wantText: `the registry answered 404 Not Found ("MANIFEST_UNKNOWN"): correct the URL, or push it there`},
		"nothing:v1":                       {wantReason: artifact.ReasonUpstreamUnavailable, wantText: `the registry answered 404 Not Found ("NAME_UNKNOWN"): correct the URL, or push it there`},
		"boot":                             {wantReason: artifact.ReasonSourceNotAllowed, wantText: `"HOST/boot" names no version: end it in :TAG or @sha256:HEX`},

		"os:v1#path=boot/initrd":  {wantReason: artifact.ReasonUpstreamUnavailable, wantText: `the image has not the file that #path names: "boot/initrd": no such file, layer 2 removed it: correct the URL`},
		"os:v1#path=opt/old/a":    {wantReason: artifact.ReasonUpstreamUnavailable, wantText: `the image has not the file that #path names: "opt/old/a": no such file, layer 2 removed it: correct the URL`},
		"os:v1#path=srv/x":        {wantReason: artifact.ReasonUpstreamUnavailable, wantText: `the image has not the file that #path names: "srv/x": no such file, layer 2 removed it: correct the URL`},
		"os:v1#path=boot/missing": {wantReason: artifact.ReasonUpstreamUnavailable, wantText: `the image has not the file that #path names: "boot/missing": no such file: correct the URL`},
		"os:v1#path=round":        {wantReason: artifact.ReasonUnexpectedContent, wantText: `"round": more than 16 links`},
		"os:v1#path=folder":       {wantReason: artifact.ReasonUnexpectedContent, wantText: `layer 1: "folder" is not a regular file`},
		"boot:zstd#path=vmlinuz":  {wantReason: artifact.ReasonUnexpectedContent, wantText: "layer 1: is packed with zstd, which is not read by this version: push the image with gzip"},
		"boot:html#path=vmlinuz":  {wantReason: artifact.ReasonUnexpectedContent, wantText: "layer 1: is not a tar file that can be read: unexpected EOF"},
	} {
		for kind, a := range map[string]*index.Artifact{"verified": verified(kernel), "unverified": unverified()} {
			t.Run(kind+" "+url, func(t *testing.T) {
				url := r.url(url)
				a.URLs = []string{url}
				want := tc.want
				if want == "" {
					want = kernel
				}
				if a.SHA256 != "" {
					a.SHA256 = digest(want)
				}
				dir := t.TempDir()
				f, err := newStore(t, artifact.Options{Dir: dir}).Open(t.Context(), a)
				if tc.wantReason == "" {
					wantContent(t, f, err, want)
					return
				}
				_, host, _ := strings.Cut(r.URL, "://")
				wantError(t, f, err, tc.wantReason, " from "+url+": "+strings.ReplaceAll(tc.wantText, "HOST", host))
				wantFiles(t, dir)
			})
		}
	}
}

func TestBlobThatIsNotThere(t *testing.T) {
	r := newRegistry(t, nil)
	r.layer(t, "boot", "", "something else")
	url := r.url("boot@sha256:" + digest(kernel))
	for kind, a := range map[string]*index.Artifact{"verified": verified(kernel, url), "unverified": unverified(url)} {
		t.Run(kind, func(t *testing.T) {
			f, err := newStore(t, artifact.Options{}).Open(t.Context(), a)
			wantError(t, f, err, artifact.ReasonUpstreamUnavailable, " from "+url+
				`: the registry answered 404 Not Found ("BLOB_UNKNOWN"): correct the URL, or push it there`)
		})
	}
}

func TestOCIWithWrongDigest(t *testing.T) {
	r := newRegistry(t, nil)
	r.manifest(t, "boot", "v1", r.layer(t, "boot", "", "another"))
	imageOf(t, r, "v1")
	t.Run("of a layer, nothing is downloaded", func(t *testing.T) {
		f, err := newStore(t, artifact.Options{}).Open(t.Context(), verified(kernel, r.url("boot:v1")))
		wantError(t, f, err, artifact.ReasonDigestMismatch, " from "+r.url("boot:v1")+": sha256 is "+digest("another")+", want "+digest(kernel)+
			": correct sha256 or the URL, or name a file in the image by #path=PATH; nothing was downloaded")
		if got := r.requests("/blobs/"); len(got) > 0 {
			t.Errorf("the registry was asked for %q", got)
		}
	})
	t.Run("of a file in a layer", func(t *testing.T) {
		url := r.url("os:v1#path=opt/old/b")
		f, err := newStore(t, artifact.Options{}).Open(t.Context(), verified(kernel, url))
		wantError(t, f, err, artifact.ReasonDigestMismatch, " from "+url+": sha256 is "+digest("new b")+", want "+digest(kernel)+
			": the file has changed or is not the one that is meant; correct sha256 or the URL")
	})
}

// TestRegistryThatLies has what a registry, or somebody on the way to it, can do to an artifact that is named by a digest in
// its URL only.
func TestRegistryThatLies(t *testing.T) {
	lying := map[string]string{} // path -> what is answered
	r := newRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if lie, ok := lying[req.URL.Path]; ok {
				_, _ = w.Write([]byte(lie))
				return
			}
			next.ServeHTTP(w, req)
		})
	})
	blob := r.layer(t, "boot", "", kernel)
	packed := r.layer(t, "boot", "", gzipOf(t, tarOf(t, member{name: "vmlinuz", content: kernel}, member{name: "other", content: strings.Repeat("x", 1<<20)})))
	above := r.layer(t, "boot", "", tarOf(t, member{name: "README", content: "a"}))
	one, image := r.manifest(t, "boot", "v1", blob), r.manifest(t, "boot", "v2", packed, above)
	lies := func(kind string, d ocispec.Descriptor, content string) map[string]string {
		return map[string]string{"/v2/boot/" + kind + "/" + d.Digest.String(): content}
	}
	short := tarOf(t, member{name: "README", content: "b"})
	for name, tc := range map[string]struct {
		lies       map[string]string
		url        string
		wantReason artifact.Reason
		wantText   string
	}{
		"another manifest": {
			lies("manifests", one, `{"layers":[{"digest":"sha256:`+digest("x")+`","size":1}]}`), "boot@" + one.Digest.String(), artifact.ReasonUnexpectedContent,
			"the registry delivers " + ocidigest.FromString(`{"layers":[{"digest":"sha256:`+digest("x")+`","size":1}]}`).String() + " as the manifest " + one.Digest.String(),
		},
		"another layer": {
			lies("blobs", blob, strings.ToUpper(kernel)), "boot@" + one.Digest.String(), artifact.ReasonUpstreamUnavailable,
			"broke off after 19 bytes: the registry broke off: what came is not " + blob.Digest.String(),
		},
		"a longer layer": {
			lies("blobs", blob, kernel+"!"), "boot@" + one.Digest.String(), artifact.ReasonUnexpectedContent,
			"the registry delivers 20 bytes, and its manifest says 19",
		},
		"another file in a layer": {
			lies("blobs", packed, gzipOf(t, tarOf(t, member{name: "vmlinuz", content: kernel}))+strings.Repeat("\x00", 100)), "boot@" + image.Digest.String() + "#path=vmlinuz",
			artifact.ReasonUnexpectedContent, "",
		},
		"another layer above the file": {
			lies("blobs", above, short), "boot@" + image.Digest.String() + "#path=vmlinuz", artifact.ReasonUpstreamUnavailable,
			"layer 2: the registry broke off: what came is not " + above.Digest.String(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			clear(lying)
			maps.Copy(lying, tc.lies)
			dir := t.TempDir()
			f, err := newStore(t, artifact.Options{Dir: dir}).Open(t.Context(), unverified(r.url(tc.url)))
			if tc.wantText != "" {
				wantError(t, f, err, tc.wantReason, " from "+r.url(tc.url)+": "+tc.wantText)
			} else if err == nil {
				_ = f.Close()
				t.Error("Open() succeeded")
			}
			wantFiles(t, dir)
		})
	}
}

func TestLayersThatAreTooLarge(t *testing.T) {
	r := newRegistry(t, nil)
	bomb := tarOf(t, member{name: "zeros", content: strings.Repeat("\x00", 8<<20)})
	r.manifest(t, "boot", "bomb", r.layer(t, "boot", "", gzipOf(t, bomb)))
	r.manifest(t, "boot", "file", r.layer(t, "boot", "", gzipOf(t, tarOf(t, member{name: "vmlinuz", content: strings.Repeat("x", 1<<20+1)}))))
	s := newStore(t, artifact.Options{MaxBytes: 1 << 20})

	url := r.url("boot:bomb#path=vmlinuz")
	f, err := s.Open(t.Context(), verified(kernel, url))
	wantError(t, f, err, artifact.ReasonUnexpectedContent, " from "+url+
		": layer 1: is not a tar file that can be read: the layers are too large, unpacked")

	url = r.url("boot:file#path=vmlinuz")
	f, err = s.Open(t.Context(), verified(kernel, url))
	wantError(t, f, err, artifact.ReasonUnexpectedContent, " from "+url+
		": larger than 1048576 bytes, the limit for an artifact: correct the URL, or raise the limit")
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// What UEFI HTTP Boot, iPXE and lpxelinux.0 rely on.
func TestHTTPAnswers(t *testing.T) {
	s := newLab(t)
	kernel := "/artifacts/sha256/" + digest(kernelText) + "/linux"
	etag := `"sha256/` + digest(kernelText) + `"`
	of := func(name, value string) http.Header { return http.Header{name: {value}} }

	for name, tc := range map[string]struct {
		method     string // empty: GET
		target     string
		header     http.Header
		wantStatus int
		wantHeader map[string]string
		wantBody   string
	}{
		"GET of an artifact": {
			target: kernel, wantStatus: 200, wantBody: kernelText,
			wantHeader: map[string]string{
				"Content-Type": "application/octet-stream", "ETag": etag, "Accept-Ranges": "bytes", "Content-Encoding": "",
			},
		},
		"HEAD of an artifact": {
			method: "HEAD", target: kernel, wantStatus: 200,
			wantHeader: map[string]string{"Content-Length": strconv.Itoa(len(kernelText)), "ETag": etag},
		},
		"a part of an artifact": {
			target: kernel, header: of("Range", "bytes=4-9"), wantStatus: 206, wantBody: kernelText[4:10],
			wantHeader: map[string]string{"Content-Range": fmt.Sprintf("bytes 4-9/%d", len(kernelText))},
		},
		"the end of an artifact": {
			target: kernel, header: of("Range", "bytes=-6"), wantStatus: 206, wantBody: "kernel",
		},
		"a part beyond the end": {
			target: kernel, header: of("Range", "bytes=100-"),
			wantStatus: 416, wantBody: "invalid range: failed to overlap\n",
			wantHeader: map[string]string{"Content-Range": fmt.Sprintf("bytes */%d", len(kernelText))},
		},
		"an artifact that the client has": {
			target: kernel, header: of("If-None-Match", etag), wantStatus: 304,
		},
		"an artifact that the client does not have": {
			target: kernel, header: of("If-None-Match", `"other"`), wantStatus: 200, wantBody: kernelText,
		},
		"no compression": {
			target: kernel, header: of("Accept-Encoding", "gzip, br"), wantStatus: 200, wantBody: kernelText,
			wantHeader: map[string]string{"Content-Encoding": ""},
		},

		"an EFI program by its path, whatever its URL": {
			target: "/lab/debian/shimx64.efi", wantStatus: 200, wantBody: shimText,
			wantHeader: map[string]string{"Content-Type": "application/efi"},
		},
		"an EFI program below a machine": {
			target: "/52-54-00-aa-bb-07/shimx64.efi", wantStatus: 200, wantBody: shimText,
			wantHeader: map[string]string{"Content-Type": "application/efi"},
		},
		"a signed EFI program": {
			target: "/grubnetx64.efi.signed", wantStatus: 200, wantBody: "grubnetx64.efi.signed",
			wantHeader: map[string]string{"Content-Type": "application/efi"},
		},
		"an EFI program in another case, by an alias": {
			target: "/EFI/BOOT/GRUBX64.EFI", wantStatus: 200, wantBody: "grubnetx64.efi.signed",
			wantHeader: map[string]string{"Content-Type": "application/efi"},
		},
		"HEAD of an EFI program, as firmware asks first": {
			method: "HEAD", target: "/lab/debian/shimx64.efi", wantStatus: 200,
			wantHeader: map[string]string{"Content-Type": "application/efi", "Content-Length": strconv.Itoa(len(shimText))},
		},
		"a disk image": {
			target: "/lab/debian/boot.img", wantStatus: 200, wantBody: "debian's image",
			wantHeader: map[string]string{"Content-Type": "application/vnd.efi-img"},
		},
		"an ISO image": {
			target: "/boot/image.iso", wantStatus: 200, wantBody: "boot/image.iso",
			wantHeader: map[string]string{"Content-Type": "application/vnd.efi-iso"},
		},
		"a loader of no known kind": {
			target: "/pxelinux.0", wantStatus: 200, wantBody: "pxelinux.0",
			wantHeader: map[string]string{"Content-Type": "application/octet-stream"},
		},

		"a text is never stored": {
			target: "/m/lab/n7/kickstart", wantStatus: 200, wantBody: "network --hostname=n7\n",
			wantHeader: map[string]string{"Cache-Control": "no-store", "ETag": "", "Last-Modified": ""},
		},
		"HEAD of a text": {
			method: "HEAD", target: "/m/lab/n7/kickstart", wantStatus: 200,
			wantHeader: map[string]string{"Content-Length": strconv.Itoa(len("network --hostname=n7\n"))},
		},
		"a refusal is never stored": {
			target: "/missing", wantStatus: 404, wantBody: "no loader or file is called \"missing\"\n",
			wantHeader: map[string]string{"Cache-Control": "no-store", "Content-Type": "text/plain; charset=utf-8"},
		},
		"HEAD of what is not there": {
			method: "HEAD", target: "/missing", wantStatus: 404,
			wantHeader: map[string]string{"Content-Length": strconv.Itoa(len("no loader or file is called \"missing\"\n"))},
		},

		"POST": {
			method: "POST", target: "/pxelinux.0", wantStatus: 405, wantBody: "only GET and HEAD are answered here\n",
			wantHeader: map[string]string{"Allow": "GET, HEAD"},
		},
		"PUT": {
			method: "PUT", target: "/artifacts/sha256/x",
			wantStatus: 405, wantBody: "only GET and HEAD are answered here\n",
			wantHeader: map[string]string{"Allow": "GET, HEAD"},
		},
		"OPTIONS": {
			method: "OPTIONS", target: "/", wantStatus: 405, wantBody: "only GET and HEAD are answered here\n",
			wantHeader: map[string]string{"Allow": "GET, HEAD"},
		},

		"iPXE by its serial number": {
			target: "/ipxe?serial=SN-7&mac=", wantStatus: 200, wantBody: s.ipxeOfN7(),
		},
		"iPXE by its UUID": {
			target:     "/ipxe?mac=x&uuid=" + strings.ToUpper(machineUUID) + "&serial=other",
			wantStatus: 200, wantBody: s.ipxeOfN7(),
		},
		"iPXE by all": {
			target:     "/ipxe?mac=52-54-00-aa-bb-07&uuid=" + machineUUIDSwapped + "&serial=&asset=&arch=x86_64&platform=efi",
			wantStatus: 200,
			wantBody:   s.ipxeOfN7(),
		},
		"iPXE of an architecture that the profile does not have": {
			target: "/ipxe?mac=52-54-00-aa-bb-07&arch=arm64", wantStatus: 404,
			wantBody: "machine lab/n7: ipxe: profile lab/debian has no platform for architecture arm64; it has amd64\n",
		},
		"iPXE by an unknown serial number": {
			target:     "/ipxe?serial=%22%3Cscript%3E",
			wantStatus: 404, wantBody: `no Machine has serial number "\"<script>"` + "\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.method == "" {
				tc.method = http.MethodGet
			}
			status, header, body := s.do(t, "", tc.method, tc.target, tc.header)
			if status != tc.wantStatus || body != tc.wantBody {
				t.Errorf("%s %s: %d %q, want %d %q", tc.method, tc.target, status, body, tc.wantStatus, tc.wantBody)
			}
			got := map[string]string{}
			for name := range tc.wantHeader {
				got[name] = header.Get(name)
			}
			if diff := cmp.Diff(tc.wantHeader, got); tc.wantHeader != nil && diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if _, told := header["Content-Length"]; !told && status != http.StatusNotModified {
				t.Error("no Content-Length")
			}
		})
	}
}

// ipxeOfN7 returns the script that iPXE on lab/n7 gets by HTTP.
func (s *site) ipxeOfN7() string {
	url := fmt.Sprintf("http://%v/artifacts/sha256/", s.http)
	return "#!ipxe\n# machine lab/n7, profile lab/debian\n" +
		"kernel --name kernel " + url + digest(kernelText) + "/linux initrd=initrd0 quiet BOOTIF=01-52-54-00-aa-bb-07\n" +
		"initrd --name initrd0 " + url + digest(initrdText) + "/initrd.gz\nboot\n"
}

// A file without a digest may change behind its URL: what tells its content to caches must change with it.
func TestETagOfAFileWithoutADigest(t *testing.T) {
	s := newLab(t)
	write(t, "first", s.files, "live.img")
	s.index.PutProfile(&index.Profile{Key: "lab/live", Files: []index.File{
		{Path: "live.img", Artifact: index.Artifact{Field: "test", URLs: []string{"file:///live.img"}}},
	}})
	_, header, body := s.do(t, "", http.MethodGet, "/lab/live/live.img", nil)
	if body != "first" {
		t.Fatalf("the file holds %q, want first", body)
	}
	etag := header.Get("ETag")

	// Replaced by one that is a little younger, as a build does.
	info, err := os.Stat(filepath.Join(s.files, "live.img"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, "other", s.files, "live.new")
	later := info.ModTime().Add(1000)
	wantNil(t, os.Chtimes(filepath.Join(s.files, "live.new"), later, later))
	wantNil(t, os.Rename(filepath.Join(s.files, "live.new"), filepath.Join(s.files, "live.img")))

	status, _, body := s.do(t, "", http.MethodGet, "/lab/live/live.img", http.Header{"If-None-Match": {etag}})
	if status != http.StatusOK || body != "other" {
		t.Errorf("after a change, If-None-Match with the old ETag: %d %q, want 200 and the new content", status, body)
	}
}

// Firmware follows no redirects, so a name is taken as it is meant.
func TestHTTPDoesNotRedirect(t *testing.T) {
	s := newLab(t)
	for name, target := range map[string]string{
		"doubled slash":          "//pxelinux.0",
		"doubled slashes":        "//bios////pxelinux.0",
		"a folder that is left":  "/a/../pxelinux.0",
		"the folder itself":      "/./pxelinux.0",
		"backslashes":            `/bios\pxelinux.0`,
		"backslashes, encoded":   "/bios%5Cpxelinux.0",
		"slashes, encoded":       "/bios%2Fpxelinux.0",
		"a query":                "/pxelinux.0?x=/y",
		"another name of a host": "http://other.example.com/pxelinux.0",
		"0xFF behind it":         "/pxelinux.0%FF",
		"the root is left":       "/../../pxelinux.0",
	} {
		t.Run(name, func(t *testing.T) {
			status, header, body := s.raw(t, "GET "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if status != http.StatusOK || body != "pxelinux.0" {
				t.Errorf("GET %s: %d %q to %q, want 200 and the loader", target, status, body, header.Get("Location"))
			}
		})
	}
}

// Nothing that a client sends leads to a file that is not served, or to an answer other than a refusal.
func TestHostileHTTPRequests(t *testing.T) {
	s := newLab(t)
	const end = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for name, request := range map[string]string{
		"out of the root":                        "GET /../../../../../../etc/passwd" + end,
		"out of the root, encoded":               "GET /%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd" + end,
		"out of the root, slashes encoded":       "GET /..%2f..%2f..%2f..%2f..%2fetc%2fpasswd" + end,
		"out of the root, encoded twice":         "GET /%252e%252e/%252e%252e/etc/passwd" + end,
		"out of the root by backslashes":         "GET /..%5c..%5c..%5cetc%5cpasswd" + end,
		"beside the loaders":                     "GET /..%2fsecret" + end,
		"beside the loaders, from within":        "GET /amd64/../../secret" + end,
		"out of a profile":                       "GET /lab/debian/../../../secret" + end,
		"out of a machine's files":               "GET /52-54-00-aa-bb-07/..%2f..%2fsecret" + end,
		"out of the artifacts":                   "GET /artifacts/sha256/../../secret" + end,
		"out of the artifacts, by an id":         "GET /artifacts/sha256/..%2f..%2f..%2fsecret" + end,
		"out of the texts":                       "GET /m/lab/n7/..%2f..%2f..%2fsecret" + end,
		"a local path":                           "GET " + s.local + "/secret" + end,
		"a file URL":                             "GET file://" + s.local + "/secret" + end,
		"a relative name":                        "GET ../../etc/passwd" + end,
		"percent signs that encode nothing":      "GET /%zz" + end,
		"a percent sign at the end":              "GET /pxelinux.0%" + end,
		"NUL":                                    "GET /pxelinux.0%00.txt" + end,
		"NUL as it is":                           "GET /pxelinux\x00.0" + end,
		"line ends in the name":                  "GET /grub.cfg%0d%0aX-Injected:%20yes" + end,
		"an overlong slash":                      "GET /..%c0%af..%c0%afsecret" + end,
		"a long name":                            "GET /" + strings.Repeat("a", 8<<10) + end,
		"many folders":                           "GET /" + strings.Repeat("a/", 4<<10) + "pxelinux.0" + end,
		"a long part":                            "GET /" + strings.Repeat("a", 400) + "/b" + end,
		"nothing":                                "GET /" + end,
		"no target":                              "GET" + end,
		"no method":                              "/pxelinux.0" + end,
		"a line that is none":                    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"two hosts":                              "GET /pxelinux.0 HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"no host":                                "GET /pxelinux.0 HTTP/1.1\r\n\r\n",
		"a header with a space before its colon": "GET /pxelinux.0 HTTP/1.1\r\nHost: x\r\nRange : bytes=0-\r\n\r\n",
		"CONNECT":                                "CONNECT 192.0.2.1:22" + end,
	} {
		t.Run(name, func(t *testing.T) {
			status, header, body := s.raw(t, request)
			if status < 400 || status > 499 {
				t.Errorf("status %d, want 4xx", status)
			}
			for _, leak := range []string{"root:", s.local} {
				if name != "a local path" && strings.Contains(body, leak) {
					t.Errorf("the body holds %q: %q", leak, body)
				}
			}
			if body == "secret" || header.Get("X-Injected") != "" {
				t.Errorf("the answer is %v %q", header, body)
			}
		})
	}
}

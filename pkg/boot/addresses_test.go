// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// Configurations name the server as this client reaches it.
func TestAddressesInConfigurations(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	both := boot.Addresses{HTTPPort: 8080, TFTPPort: 69}

	for name, tc := range map[string]struct {
		addresses boot.Addresses
		request   boot.Request
		want      string // where iPXE goes on; empty: to the disk
	}{
		"TFTP: the address that was asked": {
			both, boot.Request{Over: render.TFTP, Local: v4}, "http://192.0.2.1:8080/ipxe",
		},
		"TFTP: an IPv6 address": {
			both, boot.Request{Over: render.TFTP, Local: v6}, "http://[2001:db8::1]:8080/ipxe",
		},
		"TFTP: the port that URLs leave out": {
			boot.Addresses{HTTPPort: 80}, boot.Request{Over: render.TFTP, Local: v4}, "http://192.0.2.1/ipxe",
		},
		"TFTP: an IPv6 address without its port": {
			boot.Addresses{HTTPPort: 80}, boot.Request{Over: render.TFTP, Local: v6}, "http://[2001:db8::1]/ipxe",
		},
		"TFTP: an IPv4 address in IPv6's form": {
			both,
			boot.Request{Over: render.TFTP, Local: netip.MustParseAddr("::ffff:192.0.2.1")}, "http://192.0.2.1:8080/ipxe",
		},
		"TFTP: a link-local address, without our zone": {
			both,
			boot.Request{Over: render.TFTP, Local: netip.MustParseAddr("fe80::1%eth0")}, "http://[fe80::1]:8080/ipxe",
		},
		"TFTP: the advertised host": {
			boot.Addresses{AdvertiseHost: "boot.example.com", HTTPPort: 8080},
			boot.Request{Over: render.TFTP, Local: v4}, "http://boot.example.com:8080/ipxe",
		},
		"TFTP: an advertised IPv6 address": {
			boot.Addresses{AdvertiseHost: "2001:db8::2", HTTPPort: 8080},
			boot.Request{Over: render.TFTP, Local: v4}, "http://[2001:db8::2]:8080/ipxe",
		},
		"TFTP: HTTPS only": {
			boot.Addresses{HTTPPort: 8443, HTTPS: true}, boot.Request{Over: render.TFTP, Local: v4}, "https://192.0.2.1:8443/ipxe",
		},
		"TFTP: HTTPS only, its own port": {
			boot.Addresses{HTTPPort: 443, HTTPS: true}, boot.Request{Over: render.TFTP, Local: v6}, "https://[2001:db8::1]/ipxe",
		},
		"HTTPS: as the client wrote it": {
			both, boot.Request{Over: render.HTTP, Local: v4, Host: "boot.example.com:8443", TLS: true}, "https://boot.example.com:8443/ipxe",
		},
		"TFTP: HTTP is off": {
			boot.Addresses{TFTPPort: 69}, boot.Request{Over: render.TFTP, Local: v4}, "tftp://192.0.2.1/MAC-",
		},
		"TFTP: HTTP is off, another port": {
			boot.Addresses{TFTPPort: 6969}, boot.Request{Over: render.TFTP, Local: v6}, "tftp://[2001:db8::1]:6969/MAC-",
		},
		"TFTP: the address is not known": {both, boot.Request{Over: render.TFTP}, ""},
		"TFTP: the address is not specified": {
			both, boot.Request{Over: render.TFTP, Local: netip.IPv4Unspecified()}, "",
		},
		"TFTP: a Host is none of its": {
			both, boot.Request{Over: render.TFTP, Local: v4, Host: "other"}, "http://192.0.2.1:8080/ipxe",
		},
		"HTTP: the host that was asked": {
			both, boot.Request{Over: render.HTTP, Local: v4, Host: "boot.lab:31080"}, "http://boot.lab:31080/ipxe",
		},
		"HTTP: an IPv6 address that was asked": {
			both, boot.Request{Over: render.HTTP, Local: v6, Host: "[2001:db8::9]:80"}, "http://[2001:db8::9]:80/ipxe",
		},
		"HTTP: no Host, as in HTTP/1.0": {
			both, boot.Request{Over: render.HTTP, Local: v4}, "http://192.0.2.1:8080/ipxe",
		},
		"HTTP: the advertised host beats Host": {
			boot.Addresses{AdvertiseHost: "192.0.2.9", HTTPPort: 8080},
			boot.Request{Over: render.HTTP, Local: v4, Host: "boot.lab"}, "http://192.0.2.9:8080/ipxe",
		},
		"HTTP: a Host that a script would split": {
			both, boot.Request{Over: render.HTTP, Local: v4, Host: "boot.lab reboot"}, "http://192.0.2.1:8080/ipxe",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := boot.New(boot.Options{Index: index.New(), Artifacts: brokenArtifacts{}, Addresses: tc.addresses})
			tc.request.Name = "autoexec.ipxe"
			f, err := h.Open(t.Context(), &tc.request)
			if err != nil {
				t.Fatal(err)
			}
			script, err := io.ReadAll(f)
			if err != nil {
				t.Fatal(err)
			}
			want := "#!ipxe\nexit\n"
			if tc.want != "" {
				want = "#!ipxe\nchain --autofree " + tc.want
			}
			if !strings.HasPrefix(string(script), want) {
				t.Errorf("the script is %q, want it to start with %q", script, want)
			}
		})
	}
}

// Over sockets, both servers find out by which address they were asked.
func TestConfigurationsNameTheServerThatWasAsked(t *testing.T) {
	s := newLab(t)
	want := fmt.Sprintf("chain --autofree http://%v/ipxe?", s.http)
	for _, v := range s.visitors("") {
		if _, script := v.ask(t, "autoexec.ipxe"); !strings.Contains(script, want) {
			t.Errorf("over %s: %q, want %q in it", v.over, script, want)
		}
	}
	_, _, script := s.raw(t, "GET /autoexec.ipxe HTTP/1.0\r\n\r\n")
	if !strings.Contains(script, want) {
		t.Errorf("over HTTP/1.0 without Host: %q, want %q in it", script, want)
	}
	_, _, script = s.raw(t, "GET /autoexec.ipxe HTTP/1.1\r\nHost: boot.lab:31080\r\nConnection: close\r\n\r\n")
	if want := "chain --autofree http://boot.lab:31080/ipxe?"; !strings.Contains(script, want) {
		t.Errorf("with a Host: %q, want %q in it", script, want)
	}
}

// A Host header goes into scripts, so what could mean something in one does not count.
func TestHostileHostHeaders(t *testing.T) {
	s := newLab(t)
	for name, host := range map[string]string{
		"a space":             "boot.lab reboot",
		"a tab":               "boot.lab\treboot",
		"a semicolon":         "boot.lab;reboot",
		"iPXE's and":          "boot.lab&&reboot",
		"iPXE's or":           "boot.lab||reboot",
		"iPXE's variable":     "${net0/mac}",
		"a template":          "{{.BootID}}",
		"GRUB's parenthesis":  "boot.lab)/x",
		"quotes":              `boot.lab"'`,
		"a comment":           "boot.lab#",
		"a path":              "boot.lab/x",
		"a query":             "boot.lab?x",
		"a user":              "user:password@boot.lab",
		"a backslash":         `boot.lab\x`,
		"a percent sign":      "boot.lab%20x",
		"a zone":              "[fe80::1%25eth0]:80",
		"an open bracket":     "[::1",
		"a port that is none": "boot.lab:http",
		"a long port":         "boot.lab:8080808080",
		"a long name":         strings.Repeat("a", 300),
		"no ASCII":            "b\xc3\xbc.lab",
		"a hyphen first":      "-boot.lab",
		"only a port":         ":80",
	} {
		for _, target := range []string{
			"/autoexec.ipxe", "/grub/grub.cfg", "/ipxe?mac=52-54-00-aa-bb-07", "/m/lab/n7/ignition",
		} {
			t.Run(name+" for "+target, func(t *testing.T) {
				status, _, body := s.raw(t, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
				if status == http.StatusBadRequest {
					return // net/http knows what a Host may be, too
				}
				if status != http.StatusOK {
					t.Errorf("status %d, want 200 or 400", status)
				}
				if strings.Contains(body, host) {
					t.Errorf("the answer holds the Host:\n%s", body)
				}
				if !strings.Contains(body, s.http.String()) && !strings.Contains(target, "grub") {
					t.Errorf("the answer does not name %v:\n%s", s.http, body)
				}
			})
		}
	}
}

func BenchmarkOpenConfig(b *testing.B) {
	x := index.New()
	artifact := func(name string) index.Artifact {
		return index.Artifact{URLs: []string{"http://mirror/" + name}, SHA256: digest(name)}
	}
	profile := &index.Profile{Key: "lab/debian", Name: "debian", Namespace: "lab", Platforms: []index.Platform{
		{Architecture: "amd64", Kernel: new(artifact("linux")), Initrds: []index.Artifact{artifact("initrd.gz")}},
	}}
	for _, m := range lab(profile) {
		x.Put(m)
	}
	h := boot.New(boot.Options{Index: x, Artifacts: brokenArtifacts{}, Addresses: boot.Addresses{HTTPPort: 8080, TFTPPort: 69}})
	for format, name := range map[render.Format]string{render.PXELINUX: byPXELINUX, render.GRUB: byGRUB, render.IPXE: byIPXE} {
		b.Run(string(format), func(b *testing.B) {
			request := &boot.Request{
				Name: by(name, armed), Over: render.TFTP,
				Client: netip.MustParseAddr("192.0.2.7"), Local: netip.MustParseAddr("192.0.2.1"),
			}
			b.ReportAllocs()
			for b.Loop() {
				f, err := h.Open(b.Context(), request)
				if err != nil {
					b.Fatal(err)
				}
				if err := f.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

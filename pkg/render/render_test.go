// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // a flag of the test binary

// artifact returns an artifact with a digest of one repeated digit.
func artifact(url, digit string) index.Artifact {
	return index.Artifact{Field: "test", URLs: []string{url}, SHA256: strings.Repeat(digit, 64)}
}

// machine returns a machine that boots a kernel and two initrds, changed by edits.
func machine(edits ...func(m *index.Machine)) *index.Machine {
	profile := &index.Profile{
		Key: "lab/debian", Name: "debian", Namespace: "lab",
		Platforms: []index.Platform{
			{
				Architecture: "amd64",
				Kernel:       new(artifact("http://mirror.example.com/amd64/linux", "1")),
				Initrds: []index.Artifact{
					artifact("http://mirror.example.com/amd64/initrd.gz", "2"),
					artifact("http://mirror.example.com/firmware.cpio.gz", "3"),
				},
			},
			{Architecture: "arm64", Kernel: new(artifact("http://mirror.example.com/arm64/linux", "4"))},
		},
	}
	m := &index.Machine{
		Key: "lab/n7", Name: "n7", Namespace: "lab", Hostname: "n7.example.com",
		MACs:      []index.MAC{{0x52, 0x54, 0, 0xaa, 0xbb, 1}, {0x52, 0x54, 0, 0xaa, 0xbb, 2}},
		Variables: map[string]string{"rack": "r12"},
		BootID:    "1", Action: index.Netboot, Profile: profile,
		KernelArgs: []string{
			"ip=dhcp", "hostname={{ .Machine.Hostname }}", `dyndbg="file drivers/usb/* +p"`,
			`url={{ .ConfigURL "preseed" }}`, `{{ if eq .Machine.Architecture "riscv64" }}earlycon{{ end }}`, "---", "quiet",
		},
		Configs: []index.Config{
			{Name: "preseed", Template: "d-i netcfg/hostname string {{ .Machine.Hostname }}\n"},
			{Name: "meta-data", ContentType: "application/yaml", Template: "rack: {{ quoteJSON .Machine.Variables.rack }}\n"},
			{Name: "secret", Unavailable: `Secret "lab/keys" does not exist`},
		},
	}
	for _, edit := range edits {
		edit(m)
	}
	return m
}

// request returns what a client of both servers sends, changed by edits.
func request(edits ...func(r *render.Request)) render.Request {
	r := render.Request{
		ServerURL: "http://192.0.2.1:8080", TFTPServer: "192.0.2.1", Over: render.TFTP,
		MAC: index.MAC{0x52, 0x54, 0, 0xaa, 0xbb, 1},
	}
	for _, edit := range edits {
		edit(&r)
	}
	return r
}

func payload(p index.Payload) func(*index.Machine) {
	return func(m *index.Machine) { m.Profile.Payload = p }
}

func bootsLocally(how index.LocalBoot) func(*index.Machine) {
	return func(m *index.Machine) { m.Action, m.LocalBoot = index.BootLocal, how }
}

func overHTTP(r *render.Request) { r.Over = render.HTTP }

// TestRenderGolden compares with testdata/NAME.FORMAT.golden; an error's text stands there after "error: ".
func TestRenderGolden(t *testing.T) {
	for name, tc := range map[string]struct {
		machine *index.Machine
		request render.Request
	}{
		"auto-over-tftp": {machine(), request()},
		"auto-over-http": {machine(), request(overHTTP)},
		"http-over-tftp": {machine(payload(index.PayloadHTTP)), request()},
		"http-over-http": {machine(payload(index.PayloadHTTP)), request(overHTTP)},
		"tftp-over-tftp": {machine(payload(index.PayloadTFTP)), request()},
		"tftp-over-http": {machine(payload(index.PayloadTFTP)), request(overHTTP)},
		"http-on-default-port": {machine(payload(index.PayloadHTTP)), request(func(r *render.Request) {
			r.ServerURL = "http://[2001:db8::1]:80"
		})},
		"http-is-off": {
			machine(payload(index.PayloadHTTP), func(m *index.Machine) { m.KernelArgs = nil }),
			request(func(r *render.Request) { r.ServerURL = "" }),
		},
		"second-interface":      {machine(), request(func(r *render.Request) { r.MAC = index.MAC{0x52, 0x54, 0, 0xaa, 0xbb, 2} })},
		"one-of-two-interfaces": {machine(), request(func(r *render.Request) { r.MAC = index.MAC{} })},
		"own-bootif":            {machine(func(m *index.Machine) { m.KernelArgs = []string{"BOOTIF=eth0", "quiet"} }), request()},
		"device-tree": {machine(func(m *index.Machine) {
			m.Profile.Platforms[1].DeviceTree = new(artifact("http://mirror.example.com/board.dtb", "5"))
		}), request(func(r *render.Request) { r.Architecture = "arm64" })},
		"uki": {machine(func(m *index.Machine) {
			m.Profile.Platforms[0] = index.Platform{
				Architecture: "amd64", UKI: new(artifact("http://mirror.example.com/talos.efi", "6")),
			}
		}), request()},
		"kernel-that-looks-like-a-disk": {machine(func(m *index.Machine) {
			m.Profile.Platforms[0].Kernel = new(artifact("http://mirror.example.com/kernel8.img", "7"))
		}), request()},
		"two-initrds-for-u-boot": {machine(func(m *index.Machine) {
			m.Profile.Platforms[0].Architecture = "riscv64"
		}), request()},
		"local-exit":     {machine(bootsLocally("")), request()},
		"local-sanboot":  {machine(bootsLocally(index.LocalSanBoot)), request()},
		"local-esp":      {machine(bootsLocally(index.LocalChainloadESP)), request()},
		"local-notfound": {machine(bootsLocally(index.LocalNotFound)), request()},
		"no-profile": {machine(bootsLocally(""), func(m *index.Machine) {
			m.Profile = nil
		}), request()},
		"whole-file": {machine(func(m *index.Machine) {
			const all = "kernel={{ .Kernel }}\n{{ range .Initrds }}initrd={{ . }}\n{{ end }}uki={{ .UKI }} dtb={{ .DeviceTree }}\n" +
				"args={{ .KernelArgs }}\nfor {{ . }} of {{ .Profile.Name }}, boot {{ .BootID }}, {{ .Machine.MACs | join \" \" }}\n"
			m.Profile.Templates = index.Templates{PXELINUX: "# mine\n" + all, GRUB: "# mine\n" + all, IPXE: "#!ipxe\n" + all}
		}), request()},
	} {
		for _, format := range render.Formats() {
			t.Run(name+"/"+string(format), func(t *testing.T) {
				got, err := render.Render(format, tc.machine, tc.request)
				if err != nil {
					got = []byte("error: " + err.Error() + "\n")
				}
				golden(t, name+"."+string(format), got)
			})
		}
	}
}

func TestBootstrapGolden(t *testing.T) {
	for name, r := range map[string]render.Request{
		"bootstrap-http":    request(overHTTP),
		"bootstrap-tftp":    {TFTPServer: "192.0.2.1:6969"},
		"bootstrap-nothing": {ServerURL: "http://host\nshell"},
	} {
		for _, format := range render.Formats() {
			t.Run(name+"/"+string(format), func(t *testing.T) {
				golden(t, name+"."+string(format), render.Bootstrap(format, r))
			})
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs; if that is right, run go test ./pkg/render -update (-want +got):\n%s", file, diff)
	}
}

func TestRenderRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		format  render.Format
		machine *index.Machine
		request render.Request
		want    string
		wantIs  error
	}{
		"an unknown format": {
			format: "lilo", machine: machine(), request: request(),
			want: `machine lab/n7: format "lilo": not one of pxelinux, grub, ipxe`,
		},
		"an architecture that the profile lacks": {
			format: render.GRUB, machine: machine(), request: request(func(r *render.Request) { r.Architecture = "riscv64" }),
			want: "machine lab/n7: grub: profile lab/debian has no platform for architecture riscv64; it has amd64, arm64",
		},
		"a machine's architecture that the profile lacks, whatever the request tells": {
			format: render.GRUB, machine: machine(func(m *index.Machine) { m.Architecture = "386" }),
			request: request(func(r *render.Request) { r.Architecture = "amd64" }),
			want:    "machine lab/n7: grub: profile lab/debian has no platform for architecture 386; it has amd64, arm64",
		},
		"a machine that shall get no configuration": {
			format: render.IPXE, machine: machine(bootsLocally(index.LocalNotFound)), request: request(),
			want: "machine lab/n7 boots locally: localBoot is NotFound", wantIs: fs.ErrNotExist,
		},
		"a machine that is refused": {
			format:  render.IPXE,
			machine: machine(func(m *index.Machine) { m.Action, m.Refusal = index.Refuse, "its profile is gone" }), request: request(),
			want: `machine lab/n7: no boot configuration for action "Refuse": its profile is gone`,
		},
		"a unified kernel image for PXELINUX": {
			format: render.PXELINUX, machine: machine(func(m *index.Machine) {
				m.Profile.Platforms[0] = index.Platform{UKI: new(artifact("http://mirror.example.com/talos.efi", "6"))}
			}), request: request(),
			want: "machine lab/n7: pxelinux: profile lab/debian: PXELINUX can't boot a unified kernel image; " +
				"use a UEFI loader (GRUB, iPXE) or set kernel and initrds", wantIs: errors.ErrUnsupported,
		},
		"a platform without a kernel": {
			format: render.GRUB, machine: machine(func(m *index.Machine) { m.Profile.Platforms[0].Kernel = nil }), request: request(),
			want: "machine lab/n7: grub: profile lab/debian: platform amd64 has neither kernel nor uki",
		},
		"a server URL with a space": {
			format: render.GRUB, machine: machine(), request: render.Request{ServerURL: "http://host /x"},
			want: `machine lab/n7: server URL "http://host /x": not http://HOST[:PORT] or https://HOST[:PORT]`,
		},
		"a TFTP server with a line": {
			format: render.GRUB, machine: machine(), request: render.Request{TFTPServer: "host\nexit"},
			want: `machine lab/n7: TFTP server "host\nexit": not HOST[:PORT]`,
		},
		"payloads by TFTP while TFTP is off": {
			format: render.IPXE, machine: machine(payload(index.PayloadTFTP)),
			request: request(func(r *render.Request) { r.TFTPServer = "" }),
			want:    "machine lab/n7: ipxe: profile lab/debian: TFTP is off: set --tftp-bind-address, or don't ask for it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := render.Render(tc.format, tc.machine, tc.request)
			if err == nil {
				t.Fatalf("Render() = %q, want an error", got)
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("Render() error (-want +got):\n%s", diff)
			}
			if tc.wantIs != nil && !errors.Is(err, tc.wantIs) {
				t.Errorf("Render() error is not %v", tc.wantIs)
			}
		})
	}
}

func TestParseFormat(t *testing.T) {
	for _, format := range render.Formats() {
		if got, err := render.ParseFormat(string(format)); got != format || err != nil {
			t.Errorf("ParseFormat(%q) = %q, %v", format, got, err)
		}
	}
	if got, err := render.ParseFormat("GRUB"); err == nil {
		t.Errorf("ParseFormat(%q) = %q, want an error", "GRUB", got)
	}
}

func BenchmarkRender(b *testing.B) {
	for _, format := range render.Formats() {
		b.Run(string(format), func(b *testing.B) {
			m, r := machine(), request()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := render.Render(format, m, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

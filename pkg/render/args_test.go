// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

func TestMergeKernelArgs(t *testing.T) {
	for name, tc := range map[string]struct {
		profile, machine, want []string
	}{
		"nothing and nothing": {nil, nil, nil},
		"the machine's come after the profile's": {
			[]string{"ip=dhcp", "quiet"}, []string{"debug"}, []string{"ip=dhcp", "quiet", "debug"},
		},
		"a machine's key replaces all of the profile's with it": {
			[]string{"console=tty0", "quiet", "console=ttyS0"}, []string{"console=ttyS1"}, []string{"quiet", "console=ttyS1"},
		},
		"repeated keys within one list stay": {
			[]string{"console=tty0", "console=ttyS0"}, []string{"a=1", "a=2"},
			[]string{"console=tty0", "console=ttyS0", "a=1", "a=2"},
		},
		"-key removes and is dropped":      {[]string{"quiet", "splash=x", "splash"}, []string{"-quiet", "-splash"}, nil},
		"-key=value removes like -key":     {[]string{"a=1", "a=2", "b"}, []string{"-a=1"}, []string{"b"}},
		"-key removes nothing that isn't":  {[]string{"a"}, []string{"-b"}, []string{"a"}},
		"-key keeps the machine's own key": {[]string{"a=1"}, []string{"-a", "a=2"}, []string{"a=2"}},
		"a key without value replaces one": {[]string{"debug=all"}, []string{"debug"}, []string{"debug"}},
		"the key is the template's source": {
			[]string{"host={{ .Machine.Name }}"}, []string{"host={{ .Machine.Hostname }}"}, []string{"host={{ .Machine.Hostname }}"},
		},
		"dashes alone are an argument": {
			[]string{"a", "---", "b"}, []string{"---", "c"}, []string{"a", "b", "---", "c"},
		},
		"a profile's -key is an argument": {[]string{"-a", "a"}, []string{"b"}, []string{"-a", "a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := strings.Join(tc.profile, "\n")
			got := render.MergeKernelArgs(tc.profile, tc.machine)
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") || len(got) != len(tc.want) {
				t.Errorf("MergeKernelArgs() = %q, want %q", got, tc.want)
			}
			if after := strings.Join(tc.profile, "\n"); after != before {
				t.Errorf("MergeKernelArgs() changed the profile's list to %q", tc.profile)
			}
		})
	}
}

func TestKernelArgs(t *testing.T) {
	got, err := render.KernelArgs(machine(), request())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ip=dhcp", "hostname=n7.example.com", `dyndbg="file drivers/usb/* +p"`, "url=http://192.0.2.1:8080/m/lab/n7/preseed",
		"BOOTIF=01-52-54-00-aa-bb-01", "---", "quiet",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("KernelArgs() (-want +got):\n%s", diff)
	}
}

func TestKernelArgsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		arg  string
		want string // after `machine lab/n7: kernel argument SOURCE: `
	}{
		"a line break": {
			`a={{ "x\ny" }}`, `the result holds the control character '\n', which ends or garbles the command line; remove it`,
		},
		"a control character between quotes": {
			"a=\"\x7f\"", `the result holds the control character '\x7f', which ends or garbles the command line; remove it`,
		},
		"a space": {
			"a b", `the result holds a space (' ') outside double quotes, where the kernel splits it; ` +
				`make each argument an item of its own, or write key="a b"`,
		},
		"a letter that the kernel takes for a space": {
			"a=à", `the result holds a space ('à') outside double quotes, where the kernel splits it; ` +
				`make each argument an item of its own, or write key="a b"`,
		},
		"an open quote": {
			`a="b`, `the result holds an odd number of double quotes; close the quotes, as in key="a b"`,
		},
		"bytes that are no text": {"a=\xff", "the result is not valid UTF-8; encode it, for example with base64"},
		"too long": {
			`{{ range 300 }}0123456789abcdef{{ end }}`, `the result is longer than 4096 bytes`,
		},
		"a variable that isn't there": {
			"{{ .Machine.Variables.row }}", `template: argument:1:11: executing "argument" at <.Machine.Variables.row>: ` +
				`map has no entry for key "row"`,
		},
		"a field that isn't there": {
			"{{ .Environment }}", `template: argument:1:3: executing "argument" at <.Environment>: ` +
				`can't evaluate field Environment in type *render.data`,
		},
		"a config that isn't there": {
			`{{ .ConfigURL "kickstart" }}`, `template: argument:1:3: executing "argument" at <.ConfigURL>: error calling ConfigURL: ` +
				`no config "kickstart"; add it to the profile's or the machine's configs`,
		},
		"a config that can't be had": {
			`{{ .ConfigURL "secret" }}`, `template: argument:1:3: executing "argument" at <.ConfigURL>: error calling ConfigURL: ` +
				`config "secret": Secret "lab/keys" does not exist`,
		},
		"a callback": {
			`{{ .CompleteURL }}`, `template: argument:1:3: executing "argument" at <.CompleteURL>: error calling CompleteURL: ` +
				`tokens can't be made here`,
		},
		"half a template": {"{{ .Machine", `template: argument:1: unclosed action`},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(func(m *index.Machine) { m.KernelArgs = []string{tc.arg} })
			got, err := render.KernelArgs(m, request())
			if err == nil {
				t.Fatalf("KernelArgs() = %q, want an error", got)
			}
			prefix, text, _ := strings.Cut(err.Error(), ": kernel argument ")
			if prefix != "machine lab/n7" {
				t.Errorf("KernelArgs() error starts %q, want the machine", prefix)
			}
			if _, text, _ = strings.Cut(text, `": `); text != tc.want {
				t.Errorf("KernelArgs() error:\n%s\nwant:\n%s", text, tc.want)
			}
		})
	}
}

func TestKernelArgsWithoutHTTP(t *testing.T) {
	_, err := render.KernelArgs(machine(), render.Request{TFTPServer: "192.0.2.1"})
	if err == nil || !strings.Contains(err.Error(), "HTTP is off") {
		t.Errorf("KernelArgs() error = %v, want that HTTP is off", err)
	}
}

// TestArgumentsOfFormats shows what each loader can hand to a kernel. An empty want means that the argument is refused.
func TestArgumentsOfFormats(t *testing.T) {
	const as = "\x00" // the argument as it is
	for name, tc := range map[string]struct {
		arg                  string
		pxelinux, grub, ipxe string
		arch                 index.Arch // empty: amd64
	}{
		"plain":                          {arg: "a=b", pxelinux: as, grub: as, ipxe: as},
		"quoted value":                   {arg: `a="b c"`, pxelinux: as, grub: `'a=b c'`, ipxe: as},
		"quoted argument":                {arg: `"a=b c"`, pxelinux: as, grub: `'a=b c'`, ipxe: as},
		"quoted without need":            {arg: `a="b"`, pxelinux: as, grub: `a=b`, ipxe: as},
		"quoted nothing":                 {arg: `a=""`, pxelinux: as, grub: `a=`, ipxe: as},
		"nothing but quotes":             {arg: `""`, pxelinux: as, ipxe: as},
		"quotes inside":                  {arg: `a=b"c d"`, pxelinux: as, ipxe: as},
		"two quoted texts":               {arg: `a="b c""d e"`, pxelinux: as, ipxe: as},
		"a shell's characters":           {arg: `a=$b;c|d&e>f*`, pxelinux: as, grub: `'a=$b;c|d&e>f*'`, ipxe: as},
		"a backslash":                    {arg: `a=\b`, pxelinux: as, ipxe: as},
		"a hex escape":                   {arg: `root=PARTLABEL=a\x20b`, pxelinux: as, grub: `'root=PARTLABEL=a\x20b'`, ipxe: as},
		"a cut hex escape":               {arg: `a=\x2`, pxelinux: as, ipxe: as},
		"a backslash at the end":         {arg: `a=\`, pxelinux: as},
		"a single quote":                 {arg: `a=it's`, pxelinux: as, ipxe: as},
		"a single quote, U-Boot":         {arg: `a=it's`, ipxe: as, arch: "arm64"},
		"a dollar":                       {arg: `a=$b`, pxelinux: as, grub: `'a=$b'`, ipxe: as},
		"a dollar, U-Boot":               {arg: `a=$b`, grub: `'a=$b'`, ipxe: as, arch: "arm64"},
		"an expansion":                   {arg: `a=${net0/ip}`, grub: `'a=${net0/ip}'`},
		"an open expansion":              {arg: `a=${`, grub: `'a=${'`},
		"a dash":                         {arg: `-`, grub: as, ipxe: as},
		"a comment":                      {arg: `#a`, grub: `'#a'`},
		"a comment in quotes":            {arg: `a="b #c"`, pxelinux: as, grub: `'a=b #c'`},
		"a semicolon":                    {arg: `;`, pxelinux: as, grub: `';'`},
		"an or":                          {arg: `||`, pxelinux: as, grub: `'||'`},
		"an and in quotes":               {arg: `a="b && shell"`, pxelinux: as, grub: `'a=b && shell'`},
		"two spaces":                     {arg: `a="b  c"`, pxelinux: as, grub: `'a=b  c'`},
		"a space first in quotes":        {arg: `a=" b"`, pxelinux: as, grub: `'a= b'`, ipxe: as},
		"no-break space in quotes":       {arg: "a=\"b\u00a0c\"", pxelinux: as, ipxe: as},
		"no-break space and space":       {arg: "a=\"b\u00a0c d\"", pxelinux: as, grub: "'a=b\u00a0c d'", ipxe: as},
		"letters of another script":      {arg: "a=日本", pxelinux: as, grub: "'a=日本'", ipxe: as},
		"what a comment line would need": {arg: `a="x # y"`, pxelinux: as, grub: `'a=x # y'`},
	} {
		for format, want := range map[render.Format]string{
			render.PXELINUX: tc.pxelinux, render.GRUB: tc.grub, render.IPXE: tc.ipxe,
		} {
			t.Run(name+"/"+string(format), func(t *testing.T) {
				m := machine(func(m *index.Machine) {
					m.KernelArgs, m.Architecture = []string{tc.arg}, tc.arch
					if m.Architecture == "" {
						m.Architecture = "amd64"
					}
					whole := "{{ .KernelArgs }}"
					m.Profile.Templates = index.Templates{PXELINUX: whole, GRUB: whole, IPXE: whole}
				})
				got, err := render.Render(format, m, request())
				if want == "" {
					if err == nil {
						t.Fatalf("Render() = %q, want an error", got)
					}
					if !strings.Contains(err.Error(), "machine lab/n7: "+string(format)+": kernel argument ") {
						t.Errorf("Render() error does not say what is wrong: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if want == as {
					want = tc.arg
				}
				if want += " BOOTIF=01-52-54-00-aa-bb-01"; string(got) != want {
					t.Errorf("arguments %q, want %q", got, want)
				}
			})
		}
	}
}

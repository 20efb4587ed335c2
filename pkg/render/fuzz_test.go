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

// FuzzRenderInjection: whatever people write into a Machine, each loader runs the commands of a harmless one, and the
// kernel gets the arguments that KernelArgs tells.
func FuzzRenderInjection(f *testing.F) {
	f.Add("n7", "r12", "quiet", "ip=dhcp", "http://mirror.example.com/linux")
	f.Add("n7", "r12\nshell", "a={{ .Machine.Variables.rack }}", "h={{ .Machine.Hostname }}", "http://x/a b?c#d")
	f.Add("';reboot;'", `\`, `dyndbg="file a +p; b"`, `a='b'`, "file:///../..//.linux'")
	f.Add("x || shell", "${net0/ip}", `a="{{ .Machine.Hostname }}"`, `"b={{ .Machine.Variables.rack }}"`, "http://x/$(reboot)")
	f.Add("x\" init=/bin/sh \"", "#", `a="{{ .Machine.Hostname }}"`, `{{ .Machine.Variables.rack }}`, "http://x/\n")
	f.Add("à", "\u00a0 ", `a="{{ .Machine.Hostname }}"`, `root=a\x20b`, "http://x/")
	f.Fuzz(func(t *testing.T, hostname, variable, profileArg, machineArg, url string) {
		edit := func(m *index.Machine) {
			m.Profile.Platforms[0].Initrds[1] = artifact("http://mirror.example.com/second", "3")
		}
		benign := machine(edit, func(m *index.Machine) { m.KernelArgs = []string{"quiet"} })
		fuzzed := machine(edit, func(m *index.Machine) {
			m.Hostname, m.Variables = hostname, map[string]string{"rack": variable}
			m.KernelArgs = render.MergeKernelArgs([]string{"first", profileArg}, []string{machineArg, "last"})
			m.Profile.Platforms[0].Initrds[1].URLs[0] = url
		})
		args, argsErr := render.KernelArgs(fuzzed, request())

		for format, read := range map[render.Format]func(string) (reading, error){
			render.PXELINUX: readPXELINUX, render.GRUB: readGRUB, render.IPXE: readIPXE,
		} {
			text, err := render.Render(format, fuzzed, request())
			if argsErr != nil && err == nil {
				t.Fatalf("%s: rendered what KernelArgs refuses (%v):\n%s", format, argsErr, text)
			}
			if err != nil {
				continue
			}
			got, err := read(string(text))
			if err != nil {
				t.Fatalf("%s: %v in:\n%s", format, err, text)
			}
			plain, err := render.Render(format, benign, request())
			if err != nil {
				t.Fatal(err)
			}
			want, err := read(string(plain))
			if err != nil {
				t.Fatal(err)
			}
			second := fuzzed.Profile.Platforms[0].Initrds[1].FileName()
			for i := range want.commands {
				// FileName is made of harmless characters, which its own test shows.
				want.commands[i] = strings.Replace(want.commands[i], "/second", "/"+second, 1)
			}
			if diff := cmp.Diff(want.commands, got.commands); diff != "" {
				t.Errorf("%s: other commands (-want +got):\n%s", format, diff)
			}
			if diff := cmp.Diff(readKernel(strings.Join(args, " ")), readKernel(got.cmdline)); diff != "" {
				t.Errorf("%s: other kernel arguments for %q (-want +got):\n%s", format, args, diff)
			}
			if got.cmdline != strings.Join(args, " ") && format != render.GRUB {
				t.Errorf("%s: kernel command line %q, want %q", format, got.cmdline, args)
			}
			if parameters := len(readKernel(got.cmdline)); parameters != len(args) {
				t.Errorf("%s: %d arguments to the kernel, want %q", format, parameters, args)
			}
		}
	})
}

// FuzzTemplate: no template panics, or runs for long.
func FuzzTemplate(f *testing.F) {
	f.Add("{{ range 1000000000 }}{{ end }}")
	f.Add(`{{ $x := "xx" }}{{ range 99 }}{{ $x = print $x $x }}{{ end }}`)
	f.Add(`{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`)
	f.Add(`{{ printf "%[2]*.[1]*f" 3 9999 1.0 }}{{ .ConfigURL "preseed" | quoteShell | indent 4 }}`)
	f.Add(`{{ range $k, $v := .Machine.Variables }}{{ with $v }}{{ continue }}{{ end }}{{ else }}{{ . }}{{ end }}`)
	f.Add(`{{ . }}{{ slice .Machine.MACs 1 2 }}{{ call .CompleteURL }}{{ index .Machine.MACs 5 }}{{ default 1 2 | js | html }}`)
	f.Add(`{{ (((1))) }}{{ len (print 1 2.5 true 'x' 1i) }}{{ eq . . }}{{ .KernelArgs }}{{ break }}`)
	f.Fuzz(func(t *testing.T, template string) {
		m := config(template)
		m.KernelArgs = []string{template}
		m.Profile.Templates = index.Templates{GRUB: template}
		if text, _, err := render.ConfigText(m, "text", request()); err == nil && len(text) > 1<<20 {
			t.Errorf("ConfigText() wrote %d bytes", len(text))
		}
		args, _ := render.KernelArgs(m, request())
		for _, arg := range args {
			if len(arg) > 4096 || strings.ContainsAny(arg, "\r\n\x00") {
				t.Errorf("KernelArgs() = %q", args)
			}
		}
		_, _ = render.Render(render.GRUB, m, request()) // only whether it ends
		m.KernelArgs = nil
		if text, err := render.Render(render.GRUB, m, request()); err == nil && len(text) > 1<<20 {
			t.Errorf("Render() wrote %d bytes", len(text))
		}
	})
}

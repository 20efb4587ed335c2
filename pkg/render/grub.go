// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"errors"
	"strings"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// grub writes scripts for GRUB 2. Sources: the GRUB manual, "Shell-like scripting"; grub-core/lib/cmdline.c.
type grub struct{}

func (grub) template(t index.Templates) string { return t.GRUB }

// payload returns a plain path, which GRUB reads from $root, the server of its configuration; or names the other server.
func (grub) payload(path string, by index.Payload, r Request) (string, error) {
	switch {
	case by == index.PayloadHTTP && r.Over != HTTP:
		if r.ServerURL == "" {
			return "", errHTTPOff()
		}
		if strings.HasPrefix(r.ServerURL, "https:") {
			return "", unsupported("HTTP is off and GRUB has no HTTPS: set --http-bind-address, or don't ask for it")
		}
		return "(http," + strings.TrimSuffix(r.httpHost(), ":80") + ")" + path, nil
	case by == index.PayloadTFTP && r.Over == HTTP:
		if r.TFTPServer == "" {
			return "", errTFTPOff()
		}
		return "(tftp," + strings.TrimSuffix(r.TFTPServer, ":69") + ")" + path, nil
	}
	return path, nil
}

// word returns a word that reaches the kernel as arg. GRUB's shell takes single-quoted words as they are, but its linux
// command then rebuilds the command line: it puts a word with a space into double quotes and a backslash before each
// \, ' and " (but not before \xHH). The kernel undoes only the quotes: key="a b" and "key=a b" are the same to it.
// chainloader joins its words with spaces and changes nothing.
func (grub) word(arg string, on *index.Platform) (string, error) {
	if on.UKI != nil {
		return quoteGRUB(arg), nil
	}
	text := unquote(arg)
	switch {
	case strings.Contains(text, `"`), text == "":
		return "", errors.New(`GRUB would write \" for its double quotes; quote the whole value, as in key="a b"`)
	case strings.Contains(text, "'"):
		return "", errors.New(`GRUB would write \' for its single quote; write it without`)
	case hasBareBackslash(text):
		return "", errors.New(`GRUB would double its backslash; write it without, or as \x5c if the reader knows that`)
	case !strings.Contains(text, " ") && strings.ContainsFunc(text, splits):
		return "", errors.New("GRUB would leave out the quotes around its no-break space; write a plain space")
	}
	return quoteGRUB(text), nil
}

// unquote removes the double quotes around an argument or its value, if it has no others; they are what the kernel
// removes too (lib/cmdline.c, next_arg).
func unquote(arg string) string {
	if strings.Count(arg, `"`) != 2 || !strings.HasSuffix(arg, `"`) {
		return arg
	}
	if inner, ok := strings.CutPrefix(arg, `"`); ok {
		return strings.TrimSuffix(inner, `"`)
	}
	if name, value, _ := strings.Cut(arg, "="); strings.HasPrefix(value, `"`) {
		return name + "=" + strings.Trim(value, `"`)
	}
	return arg
}

// hasBareBackslash says whether text has a backslash that is not of \xHH.
func hasBareBackslash(text string) bool {
	const hex = "0123456789abcdefABCDEF"
	for _, after := range strings.Split(text, `\`)[1:] {
		if len(after) < 3 || after[0] != 'x' || strings.Trim(after[1:3], hex) != "" {
			return true
		}
	}
	return false
}

// quoteGRUB returns s as one word of GRUB's shell.
func quoteGRUB(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/:=,@%+-"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return quoteShell(s)
}

// netboot ends with exit, which is only reached when something did not load: the firmware then goes on, where GRUB would
// wait at its prompt for somebody to come.
func (grub) netboot(b boot) (string, error) {
	lines := []string{"set timeout=0"}
	if b.UKI != "" {
		lines = append(lines, "chainloader "+quoteGRUB(b.UKI)+space(b.KernelArgs))
	} else {
		lines = append(lines, "linux "+quoteGRUB(b.Kernel)+space(b.KernelArgs))
	}
	if len(b.Initrds) > 0 {
		words := []string{"initrd"}
		for _, initrd := range b.Initrds {
			words = append(words, quoteGRUB(initrd))
		}
		lines = append(lines, strings.Join(words, " "))
	}
	if b.DeviceTree != "" {
		lines = append(lines, "devicetree "+quoteGRUB(b.DeviceTree))
	}
	return strings.Join(append(lines, "boot", "exit"), "\n") + "\n", nil
}

// space returns s with a space before it, if there is anything to part.
func space(s string) string {
	if s == "" {
		return ""
	}
	return " " + s
}

func (grub) local(how index.LocalBoot) string {
	switch how {
	case index.LocalSanBoot:
		return `if [ "$grub_platform" = pc ]; then
  set root='(hd0)'
  chainloader +1
  boot
fi
exit
`
	case index.LocalChainloadESP:
		return `if [ "$grub_cpu" = arm64 ]; then
  set loader=/EFI/BOOT/BOOTAA64.EFI
else
  set loader=/EFI/BOOT/BOOTX64.EFI
fi
if search --no-floppy --file --set=root "$loader"; then
  chainloader "$loader"
  boot
fi
exit
`
	}
	return "exit\n"
}

// bootstrap reads the file of the interface that booted: Debian's signed GRUB asks for nothing but $prefix/grub.cfg. The
// folder tells the architecture, which a profile for several needs to know.
func (s grub) bootstrap(Request) string {
	return `configfile "$prefix/$grub_cpu/grub.cfg-$net_default_mac"
echo "No configuration for $net_default_mac, or it was refused: see the error above. Booting the disk."
sleep 5
` + s.local(index.LocalExit)
}

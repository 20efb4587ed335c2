// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"path"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// A handover is what a boot configuration tells its loader to hand to the kernel.
type handover struct {
	kernel  string   // path or URL, as written
	name    string   // what the loader shall call the kernel; iPXE only
	initrds []string // the same
	args    []string // arguments, without the loader's quoting
}

// readPXELINUX reads a configuration with one label, by the grammar of PXELINUX (config.c32, doc/syslinux.txt): a keyword
// in any case, then the rest of the line. APPEND is handed on as it is, quotes and all.
func readPXELINUX(config string) (h handover, err error) {
	for line := range strings.Lines(config) {
		keyword, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		value = strings.TrimSpace(value)
		switch strings.ToUpper(keyword) {
		case "KERNEL", "LINUX":
			h.kernel = value
		case "INITRD":
			h.initrds = strings.Split(value, ",")
		case "APPEND":
			h.args = splitArguments(value)
		}
	}
	return h, h.check(config)
}

// commandLinePXELINUX is what PXELINUX 6 makes of h: its own argument in front, the initrds behind.
func commandLinePXELINUX(h handover) string {
	line := append([]string{"BOOT_IMAGE=" + h.kernel}, h.args...)
	return strings.Join(append(line, "initrd="+strings.Join(h.initrds, ",")), " ")
}

// readGRUB reads the linux and initrd commands of a GRUB script; what they need of its grammar are words and quotes
// (GRUB manual, "Quoting").
func readGRUB(config string) (h handover, err error) {
	for line := range strings.Lines(config) {
		words, err := grubWords(line)
		if err != nil {
			return h, err
		}
		switch {
		case len(words) < 2:
		case words[0] == "linux":
			h.kernel, h.args = words[1], words[2:]
		case words[0] == "initrd":
			h.initrds = words[1:]
		}
	}
	return h, h.check(config)
}

func grubWords(line string) (words []string, err error) {
	var word strings.Builder
	started := false // an empty word in quotes is a word
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'', c == '"':
			length := closingQuote(line[i+1:], c)
			if length < 0 {
				return nil, fmt.Errorf("line %q: a quote is not closed", line)
			}
			quoted := line[i+1 : i+1+length]
			if c == '"' { // in double quotes, "\" protects these
				quoted = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`).Replace(quoted)
			}
			word.WriteString(quoted)
			started = true
			i += length + 1
		case c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			started = true
		case c == ' ', c == '\t', c == '\n', c == ';':
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		case c == '#' && !started:
			return words, nil
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if started {
		words = append(words, word.String())
	}
	return words, nil
}

// closingQuote returns where in s the quote ends, or -1.
func closingQuote(s string, quote byte) int {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && quote == '"' {
			i++
		} else if s[i] == quote {
			return i
		}
	}
	return -1
}

// commandLineGRUB is what GRUB 2.06 makes of h (grub-core/lib/cmdline.c): it protects quotes and backslashes, and puts
// an argument with spaces between quotes as a whole.
func commandLineGRUB(h handover) string {
	line := []string{"BOOT_IMAGE=" + h.kernel}
	protect := strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`)
	for _, arg := range h.args {
		arg = protect.Replace(arg)
		if strings.Contains(arg, " ") {
			arg = `"` + arg + `"`
		}
		line = append(line, arg)
	}
	return strings.Join(line, " ")
}

// readIPXE reads the kernel and initrd commands of an iPXE script. Words are separated by spaces; there are no quotes.
func readIPXE(config string) (h handover, err error) {
	for line := range strings.Lines(config) {
		command, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name := ""
		if after, ok := strings.CutPrefix(rest, "--name "); ok {
			name, rest, _ = strings.Cut(after, " ")
		}
		url, args, _ := strings.Cut(rest, " ")
		switch command {
		case "kernel":
			h.kernel, h.name, h.args = url, cmp.Or(name, path.Base(url)), splitArguments(args)
		case "initrd":
			h.initrds = append(h.initrds, url)
		}
	}
	return h, h.check(config)
}

// commandLineIPXE is what iPXE for EFI makes of h: the kernel's name in front.
func commandLineIPXE(h handover) string {
	return strings.Join(append([]string{h.name}, h.args...), " ")
}

// splitArguments splits a command line as the kernel does (next_arg in lib/cmdline.c): at spaces outside double quotes.
func splitArguments(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
}

func (h handover) check(config string) error {
	if h.kernel == "" || len(h.initrds) == 0 || len(h.args) == 0 {
		return fmt.Errorf("found only %+v in the configuration:\n%s", h, config)
	}
	return nil
}

func TestReadConfiguration(t *testing.T) {
	for name, tc := range map[string]struct {
		read   func(string) (handover, error)
		line   func(handover) string
		config string
		want   handover
		// wantLine is what a guest's console showed, but for arguments that only made it boot.
		wantLine string
	}{
		"PXELINUX hands on what it reads": {
			read: readPXELINUX, line: commandLinePXELINUX,
			config:   "DEFAULT l\nLABEL l\n KERNEL /vmlinuz\n INITRD /initrd.img\n APPEND panic=-1 title=\"a b\"\n",
			want:     handover{kernel: "/vmlinuz", initrds: []string{"/initrd.img"}, args: []string{"panic=-1", `title="a b"`}},
			wantLine: `BOOT_IMAGE=/vmlinuz panic=-1 title="a b" initrd=/initrd.img`,
		},
		"GRUB takes quotes away and puts its own": {
			read: readGRUB, line: commandLineGRUB,
			config:   "set timeout=0\nlinux /vmlinuz panic=-1 'title=a b' 'a\\b' 'c\"d'\ninitrd /initrd.img\nboot\n",
			want:     handover{kernel: "/vmlinuz", initrds: []string{"/initrd.img"}, args: []string{"panic=-1", "title=a b", `a\b`, `c"d`}},
			wantLine: `BOOT_IMAGE=/vmlinuz panic=-1 "title=a b" a\\b c\"d`,
		},
		"iPXE puts the image's name in front": {
			read: readIPXE, line: commandLineIPXE,
			config: "#!ipxe\nkernel tftp://10.77.0.2/vmlinuz initrd=initrd.img panic=-1 title=\"a b\"\ninitrd tftp://10.77.0.2/initrd.img\nboot\n",
			want: handover{
				kernel: "tftp://10.77.0.2/vmlinuz", name: "vmlinuz", initrds: []string{"tftp://10.77.0.2/initrd.img"},
				args: []string{"initrd=initrd.img", "panic=-1", `title="a b"`},
			},
			wantLine: `vmlinuz initrd=initrd.img panic=-1 title="a b"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.read(tc.config)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tc.want, got, gocmp.AllowUnexported(handover{})); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(tc.wantLine, tc.line(got)); diff != "" {
				t.Errorf("command line (-want +got):\n%s", diff)
			}
		})
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// MergeKernelArgs returns the profile's arguments, then the machine's. The key of an argument is what stands before its
// first "=", or all of it. A key in the machine's list removes all of the profile's arguments with that key; a machine's
// "-key" (or "-key=anything") does only that. Keys repeated within one list stay, in order.
//
// It works on the source of templates. "--" and "---", which part the kernel's arguments from others, are arguments.
func MergeKernelArgs(profile, machine []string) []string {
	replaced := map[string]bool{}
	var own []string
	for _, arg := range machine {
		key, removes := strings.CutPrefix(key(arg), "-")
		if separator := removes && key != "" && strings.Trim(key, "-") == ""; separator {
			key, removes = arg, false
		}
		replaced[key] = true
		if !removes {
			own = append(own, arg)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(profile), func(arg string) bool { return replaced[key(arg)] })
	return append(kept, own...)
}

func key(arg string) string {
	before, _, _ := strings.Cut(arg, "=")
	return before
}

// KernelArgs returns the machine's kernel arguments: templates executed, empty results left out, BOOTIF added if it is
// known which interface boots, and unless an argument has that key: at the end, or before "--" or "---", behind which it
// would not be the kernel's. Each is one argument to the kernel: valid UTF-8 without control characters, whitespace
// only between double quotes, which the kernel removes.
func KernelArgs(m *index.Machine, r Request) ([]string, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.Key, err)
	}
	args, err := kernelArgs(newData(m, r))
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.Key, err)
	}
	texts := make([]string, 0, len(args))
	for _, arg := range args {
		texts = append(texts, arg.text)
	}
	return texts, nil
}

// An argument is a kernel argument and, for messages, the template that it came from.
type argument struct{ source, text string }

func kernelArgs(d *data) ([]argument, error) {
	args := make([]argument, 0, len(d.m.KernelArgs)+1)
	for _, source := range d.m.KernelArgs {
		text, err := execute("argument", source, d, maxArgument)
		if err == nil {
			err = checkArgument(text)
		}
		if err != nil {
			return nil, fmt.Errorf("kernel argument %q: %w", source, err)
		}
		if text != "" {
			args = append(args, argument{source, text})
		}
	}
	named := slices.ContainsFunc(args, func(a argument) bool { return key(a.text) == "BOOTIF" })
	if mac := d.mac; !named && !mac.IsZero() {
		// 01 is the hardware type Ethernet, as PXELINUX (SYSAPPEND 2) writes it and as installers read it.
		bootif := "BOOTIF=01-" + mac.Hyphens()
		end := slices.IndexFunc(args, func(a argument) bool { return a.text == "--" || a.text == "---" })
		if end < 0 {
			end = len(args)
		}
		args = slices.Insert(args, end, argument{bootif, bootif})
	}
	return args, nil
}

// checkArgument returns an error unless the kernel reads text as one argument.
func checkArgument(text string) error {
	if !utf8.ValidString(text) {
		return errors.New("the result is not valid UTF-8; encode it, for example with base64")
	}
	quoted := false
	for _, r := range text {
		switch {
		case unicode.IsControl(r):
			return fmt.Errorf("the result holds the control character %q, which ends or garbles the command line; remove it", r)
		case r == '"':
			quoted = !quoted
		case !quoted && splits(r):
			return fmt.Errorf("the result holds a space (%q) outside double quotes, where the kernel splits it; "+
				`make each argument an item of its own, or write key="a b"`, r)
		}
	}
	if quoted {
		return errors.New(`the result holds an odd number of double quotes; close the quotes, as in key="a b"`)
	}
	return nil
}

// splits says whether the kernel takes r, or a byte of its encoding, for a space: lib/ctype.c has Latin-1's no-break space
// among them, so "à" (C3 A0) splits an argument.
func splits(r rune) bool {
	return unicode.IsSpace(r) || strings.IndexByte(string(r), 0xA0) >= 0
}

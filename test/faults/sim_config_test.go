// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"strings"
)

// A plan is what a boot configuration tells a loader to do.
type plan struct {
	local   bool     // leave to the disk
	script  string   // go on with this one: a bootstrap
	kernel  string   // path or URL, as written
	initrds []string // the same
	args    []string // of the kernel
}

// arg returns the value of the kernel argument name=.
func (p plan) arg(name string) string {
	for _, a := range p.args {
		if value, ok := strings.CutPrefix(a, name+"="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return ""
}

// readPXELINUX reads SYSLINUX's syntax, as far as the server writes it.
func readPXELINUX(text string) (p plan) {
	for line := range strings.Lines(text) {
		keyword, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(keyword) {
		case "KERNEL", "LINUX":
			p.kernel = value
		case "INITRD":
			p.initrds = strings.Split(value, ",")
		case "APPEND":
			p.args = strings.Fields(value)
		case "LOCALBOOT":
			p.local = true
		}
	}
	return p
}

// readGRUB reads a script of GRUB, as far as the server writes it: variables are those of a machine with this address,
// and words have no spaces in them.
func readGRUB(text, mac string) (p plan) {
	variables := strings.NewReplacer("$prefix", "/grub", "$grub_cpu", "x86_64", "$net_default_mac", mac)
	for line := range strings.Lines(text) {
		words := strings.Fields(variables.Replace(strings.NewReplacer(`'`, "", `"`, "").Replace(line)))
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "configfile":
			p.script = words[1]
		case "linux":
			p.kernel, p.args = words[1], words[2:]
		case "initrd":
			p.initrds = words[1:]
		case "exit":
			p.local = p.kernel == "" && p.script == ""
		}
	}
	return p
}

// readIPXE reads a script of iPXE, as far as the server writes it, for a machine with this address.
func readIPXE(text string, m *machine) (p plan) {
	variables := strings.NewReplacer("${netX/mac:hexhyp}", m.dashes(), "${uuid}", m.uuid, "${serial:uristring}", "",
		"${asset:uristring}", "", "${buildarch}", "x86_64", "${platform}", "efi")
	for line := range strings.Lines(text) {
		words := strings.Fields(variables.Replace(line))
		if len(words) > 2 && words[1] == "--name" {
			words = append(words[:1], words[3:]...)
		}
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "chain":
			p.script = words[2]
		case "kernel":
			p.kernel, p.args = words[1], words[2:]
		case "initrd":
			p.initrds = append(p.initrds, words[1])
		case "exit":
			p.local = p.kernel == "" && p.script == ""
		}
	}
	return p
}

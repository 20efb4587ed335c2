// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package render turns an index entry into the text that a boot loader reads: PXELINUX (also syslinux.efi and U-Boot's
// extlinux), GRUB 2 and iPXE; and into the kernel arguments and installer configurations that this text refers to.
//
// It is pure: no I/O, no clock, no log; it fetches nothing and decides nothing about who may boot. Its invariants:
//
//   - A kernel reads exactly the arguments that [KernelArgs] returns, whatever the loader does to its lines. An argument
//     that a loader would change, split or take for a command is an error, never rewritten in silence.
//   - Templates see the machine and the profile and nothing else. They end: output, and the work that a template does,
//     are bounded (template.go).
//   - An error says which machine, which field, what is wrong and what to do. [fs.ErrNotExist] in it means that there is
//     nothing on purpose, [errors.ErrUnsupported] that this loader can't boot what others can.
package render

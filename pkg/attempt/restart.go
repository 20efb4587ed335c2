// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"strings"
	"time"
)

const (
	// programAgain is how soon after a boot program was delivered the same one is part of the same boot: UEFI asks for each
	// twice, but within a second.
	programAgain = 10 * time.Second
	// configAgain is for how long after it was told to boot from its disk a loader may read its configuration again: GRUB
	// and PXELINUX read it twice.
	configAgain = 15 * time.Second
	// revival is for how long after a boot was called stopped it may go on: someone sat before a menu.
	revival = 30 * time.Minute
)

// restarts says whether a request does not belong to a boot, but is of one after it.
func restarts(b *boot, e *Event) bool {
	switch b.ended {
	case endReplaced:
		return true
	case endStopped:
		if b.failed {
			return fromStart(e) // what an installer has to say after a failure
		}
		if e.Time.Sub(b.a.Last) > revival && fromStart(e) || b.files && b.config == "" && e.Kind == KindFile {
			return true // who boots by files alone makes no pause
		}
	case endCompleted:
		return fromStart(e)
	case endLocal:
		switch {
		case isProgramRequest(e) && !b.files:
			return true
		case fromStart(e), b.files && e.Kind == KindFile:
			return e.Time.Sub(b.toldAt) > configAgain
		}
		return false // a module with which the disk is started
	}
	switch {
	case b.chains(e), b.verifies(e):
		return false
	case isProgramRequest(e):
		at, delivered := b.deliveredAt(e.Name)
		switch {
		case delivered:
			return b.a.Stage.rank() >= StageConfig.rank() || e.Time.Sub(at) >= programAgain
		case b.firstProgram != "" && base(b.firstProgram) == base(e.Name):
			return b.a.Stage.rank() >= StageConfig.rank()
		}
		return b.a.Stage.rank() >= StageKernel.rank()
	case e.Kind == KindConfig, e.Kind == KindBootstrap:
		return b.a.Stage.rank() >= StageKernel.rank()
	}
	return false
}

// chains says whether a request is that of iPXE for the program that was delivered to a firmware which is none, and which
// asked for nothing else since: that program is iPXE, and is told to load itself.
func (b *boot) chains(e *Event) bool {
	return e.ByIPXE && isProgramRequest(e) && b.program.name != "" && !b.program.toIPXE && base(b.program.name) == base(e.Name) &&
		b.bootstrap == "" && b.config == ""
}

// verifies says whether a request is that of iPXE for the shim that is to check the kernel, by its command of this name.
func (b *boot) verifies(e *Event) bool {
	return e.ByIPXE && isProgramRequest(e) && strings.HasPrefix(base(e.Name), "shim") && base(b.program.name) != base(e.Name) &&
		b.a.Loader == "iPXE" && b.config != ""
}

// fromStart says whether a request is one that firmware or a loader makes before the kernel.
func fromStart(e *Event) bool {
	return isProgramRequest(e) || e.Kind == KindConfig || e.Kind == KindBootstrap
}

func isProgramRequest(e *Event) bool {
	return (e.Kind == KindLoader || e.Kind == KindFile) && isProgram(e.Name)
}

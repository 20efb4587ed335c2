// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"net/netip"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// Stage is how far a boot came. The stages are in order.
type Stage string

// The stages; the API's names.
const (
	StageFirmware Stage = "Firmware" // the firmware asked for a network boot program
	StageLoader   Stage = "Loader"   // it got one whole
	StageConfig   Stage = "Config"   // a loader got the machine's boot configuration
	StageKernel   Stage = "Kernel"   // it began to fetch the kernel
	StageInitrd   Stage = "Initrd"   // it began to fetch an initrd
	StageRunning  Stage = "Running"  // the kernel runs: it fetched a config, or called back
	StageDone     Stage = "Done"     // completed
)

// Stages returns all stages in order.
func Stages() []Stage {
	return []Stage{StageFirmware, StageLoader, StageConfig, StageKernel, StageInitrd, StageRunning, StageDone}
}

// stageCount is how many stages there are.
const stageCount = 7

// rank returns the place of a stage in the order; of what is none, the first.
func (s Stage) rank() int {
	switch s {
	case StageLoader:
		return 1
	case StageConfig:
		return 2
	case StageKernel:
		return 3
	case StageInitrd:
		return 4
	case StageRunning:
		return 5
	case StageDone:
		return 6
	}
	return 0
}

// An Attempt is what is known of one boot. It is a value: nothing in it changes later.
type Attempt struct {
	Machine index.Key // empty: of no Machine that is known
	MAC     index.MAC // of the interface that boots; zero: not known
	Client  netip.Addr
	BootID  string // of the Machine when it got its boot configuration; empty before

	Start time.Time // its first request
	Last  time.Time // its latest sign of life

	Stage        Stage
	Action       index.Action // what its boot configuration told it; empty before
	Counts       bool         // towards the policy Once: it got a boot configuration that boots the profile
	CompleteOn   CompleteOn
	Firmware     Firmware
	Architecture index.Arch
	Loader       string // PXELINUX, GRUB, iPXE; empty: not known
	Bytes        int64  // that the machine got

	Steps []Step   // the latest, at most MaxSteps; the very first is kept
	Cause *Finding // nil: nothing is known to be wrong
	// Over: it is completed, went on to its disk, stopped, or another one of the same machine took its place.
	Over bool
}

// MaxSteps bounds Attempt.Steps.
const MaxSteps = 16

// A Step is one request of an attempt, or several like ones in a row.
type Step struct {
	Time        time.Time
	Stage       Stage // that it belongs to
	Name        string
	Over        render.Transport
	Outcome     Outcome // empty: it runs
	Reason      string
	Bytes, Size int64 // Size -1: not known
	Took        time.Duration
	Retransmits int64
	Times       int // how many like requests this stands for; at least 1
}

// A Finding is a cause with what shows it.
type Finding struct {
	ID       CauseID
	Message  string   // a sentence for a person, about this boot
	Evidence []string // what was seen, a clause each
}

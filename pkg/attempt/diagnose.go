// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"
	"regexp"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// diagnose returns what is wrong with a boot, or nil when nothing that was seen tells. Without ended, the boot may still go
// on, and only what no later request of it can explain away is told.
func (b *boot) diagnose(t *Tracker, ended bool) *Finding {
	if b.a.Stage == StageDone {
		return nil
	}
	if f := b.ofRefusal(); f != nil {
		return f
	}
	if f := b.ofIdentity(t); f != nil {
		return f
	}
	if b.shared {
		if !ended {
			return nil
		}
		return &Finding{
			ID:       CauseUnknown,
			Message:  "The boot stopped. Another machine boots from the same address, so that it is not known which requests are whose.",
			Evidence: b.lastSeen(),
		}
	}
	if f := b.ofTransfer(); f != nil {
		return f
	}
	if f := b.ofSize(); f != nil {
		return f
	}
	if ended {
		return b.ofSilence(t)
	}
	if b.chained >= 2 {
		return b.chainLoad()
	}
	if b.loop != nil && b.a.Stage.rank() <= b.owner.past.stage.rank() {
		return b.loop
	}
	return nil
}

// ofRefusal tells what we refused, and of what went wrong on our own side.
func (b *boot) ofRefusal() *Finding {
	tr := &b.trouble
	f := &Finding{Evidence: []string{fmt.Sprintf("%s was asked for by %s %s", tr.name, tr.over, times(tr.times))}}
	if tr.reason != "" {
		f.Evidence = append(f.Evidence, "the answer was: "+tr.reason)
	}
	switch tr.outcome {
	case OutcomeServed: // only of KindFailed
		f.ID, f.Message = CauseInstallerFailed, "The installer reports that it has failed."
		if tr.reason != "" {
			f.Message = "The installer reports: " + tr.reason
		}
		f.Evidence = []string{"it called back"}
		return f
	case OutcomeBroken:
		f.ID, f.Message = CauseServerFault, fmt.Sprintf("The server could not answer for %s, by its own fault; its log tells why.", tr.name)
		return f
	case OutcomeStopped:
		f.ID = CauseServerStopped
		f.Message = fmt.Sprintf("The server was stopped while the machine had %s of %s.", ofSize(tr), tr.name)
		f.Evidence = []string{fmt.Sprintf("%s of %s were delivered in %v", ofSize(tr), tr.name, short(tr.took))}
		return f
	case OutcomeRefused:
	default:
		return nil
	}
	if f.ID = causeOfRefusal(tr.refusal); f.ID == "" {
		return nil
	}
	f.Message = Explain(f.ID).Means
	if tr.reason != "" {
		f.Message = "The server refused " + tr.name + ": " + tr.reason
	}
	return f
}

func causeOfRefusal(r RefusalKind) CauseID {
	switch r {
	case RefusedProfile:
		return CauseProfileNotUsable
	case RefusedArchitecture:
		return CauseProfileArchitecture
	case RefusedRender:
		return CauseRender
	case RefusedUpstream:
		return CauseUpstream
	case RefusedDigest:
		return CauseDigest
	case RefusedStorage:
		return CauseStorage
	case RefusedTokenMissing:
		return CauseTokenMissing
	case RefusedTokenWrong:
		return CauseTokenWrong
	case RefusedTokenExpired:
		return CauseTokenExpired
	case RefusedNotYet:
		return CauseServerNotReady
	}
	return ""
}

// ofIdentity tells that nobody knows the machine.
func (b *boot) ofIdentity(t *Tracker) *Finding {
	if b.owner.machine != "" || b.config != "" || !b.unknownAny || b.unknown.IsZero() {
		return nil
	}
	f := &Finding{
		ID:       CauseUnknownMachine,
		Message:  fmt.Sprintf("No Machine has MAC address %s.", b.unknown),
		Evidence: []string{fmt.Sprintf("the loader asked for the configuration of %s", b.unknown)},
	}
	if !b.searched {
		b.nearest, b.searched = t.nearestTo(b.unknown, b.a.Last), true
	}
	if b.nearest != nil {
		f.Message += " " + b.nearest.sentence(b.unknown)
		f.Evidence = append(f.Evidence, fmt.Sprintf("the nearest known address is %s of Machine %s", b.nearest.mac, b.nearest.key))
	}
	if b.bootstrap != "" {
		f.Evidence = append(f.Evidence, "it was given the configuration for machines that are not known")
	}
	return f
}

const (
	// fewRepeats is how often a client must repeat its request before it is sure that it is there and gets no answer.
	fewRepeats = 2
	// manyRetransmits is how often a packet must be sent in vain before its loss is no accident.
	manyRetransmits = 3
	// smallBlock is the block size without options (RFC 1350), in bytes: it gets through everywhere.
	smallBlock = 512
)

// reMemory finds in the words of a loader that it has no room.
var reMemory = regexp.MustCompile(`(?i)memory|allocat|disk full|no space|too (big|large)`)

// ofTransfer tells why a transfer did not come to its end.
func (b *boot) ofTransfer() *Finding {
	tr := &b.trouble
	switch tr.outcome {
	case OutcomeNeverAcknowledged:
		return b.answersLost(tr)
	case OutcomeSilent:
		switch {
		case tr.over == render.HTTP:
			return &Finding{
				ID:       CauseTransferBrokeOff,
				Message:  fmt.Sprintf("The transfer of %s stopped after %s: the machine took nothing more, and did not close the connection.", tr.name, ofSize(tr)),
				Evidence: []string{fmt.Sprintf("%s were taken, in %v with the wait for more", ofSize(tr), short(tr.took))},
			}
		case tr.bytes == 0:
			return b.pathMTU(tr)
		}
		return &Finding{
			ID:      CauseTransferBrokeOff,
			Message: fmt.Sprintf("The transfer of %s stopped after %s: the machine acknowledged nothing more.", tr.name, ofSize(tr)),
			Evidence: []string{
				fmt.Sprintf("%s were acknowledged in %v", ofSize(tr), short(tr.took)),
				packets(tr.retransmits) + " in vain",
			},
		}
	case OutcomeCut:
		return b.cut(tr)
	}
	return nil
}

func (b *boot) answersLost(tr *trouble) *Finding {
	if b.answered || tr.repeats < fewRepeats && tr.times < fewRepeats {
		return nil // it may have been switched off, or be someone else's packet
	}
	f := &Finding{
		ID: CauseAnswersLost,
		Message: fmt.Sprintf("No answer by TFTP reaches the machine: it repeated its request for %s %s and acknowledged nothing.",
			tr.name, times(int(tr.repeats)+tr.times-1)),
		Evidence: []string{
			fmt.Sprintf("the request for %s came %s", tr.name, times(int(tr.repeats)+tr.times)),
			fmt.Sprintf("the answer was sent again %s, and none was acknowledged", times(int(tr.retransmits))),
			"nothing was ever acknowledged by TFTP in this boot",
		},
	}
	if b.http {
		f.Evidence = append(f.Evidence, "HTTP works from the same machine")
	}
	return f
}

func (b *boot) pathMTU(tr *trouble) *Finding {
	if tr.blockSize <= smallBlock || b.widest >= tr.blockSize || tr.retransmits < manyRetransmits {
		return nil
	}
	packet := tr.blockSize + 4 + 8 + 20 // TFTP, UDP, IPv4
	if b.a.Client.Is6() {
		packet += 20
	}
	f := &Finding{
		ID: CausePathMTU,
		Message: fmt.Sprintf("Packets of %d bytes do not reach the machine: it acknowledged the options for %s and never the first block of %d bytes.",
			packet, tr.name, tr.blockSize),
		Evidence: []string{
			"the options (a small packet) were acknowledged",
			fmt.Sprintf("the first block of %d bytes was never acknowledged, after %s", tr.blockSize, packets(tr.retransmits)),
		},
	}
	if b.widest > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("blocks of %d bytes were acknowledged before", b.widest))
	}
	if tr.duplicates > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("meanwhile it acknowledged the options %s again: it is there", times(int(tr.duplicates))))
	}
	return f
}

// cut tells why a client ended a transfer.
func (b *boot) cut(tr *trouble) *Finding {
	if tr.over == render.TFTP && tr.retransmits >= manyRetransmits && !reMemory.MatchString(tr.reason) {
		return &Finding{ // GRUB says "closed" when a block does not come
			ID:      CauseTransferBrokeOff,
			Message: fmt.Sprintf("The transfer of %s broke off after %s: the machine gave it up while packets were being lost.", tr.name, ofSize(tr)),
			Evidence: []string{
				fmt.Sprintf("%s were acknowledged in %v, with %s", ofSize(tr), short(tr.took), packets(tr.retransmits)),
				fmt.Sprintf("the machine ended it: %q", tr.reason),
			},
		}
	}
	if tr.kind != KindArtifact {
		return nil
	}
	said := reMemory.MatchString(tr.reason)
	if !said && !b.samePlace {
		return nil
	}
	f := &Finding{
		ID: CauseOutOfMemory,
		Message: fmt.Sprintf("The machine itself ended the transfer of the %s %s after %s: it has too little memory for it.",
			roleOf(tr), tr.name, ofSize(tr)),
		Evidence: []string{fmt.Sprintf("%s were delivered in %v", ofSize(tr), short(tr.took))},
	}
	if said {
		f.Evidence = append(f.Evidence, fmt.Sprintf("the loader said %q", tr.reason))
	}
	if b.samePlace {
		f.Evidence = append(f.Evidence, "it ended the same transfer at the same place before")
	}
	return f
}

// manyAnew is how often a loader must have turned back from an initrd before that is no accident.
const manyAnew = 2

// ofSize tells of a loader that knows how large the initrd is, and begins anew instead of loading it.
func (b *boot) ofSize() *Finding {
	w := &b.weighed
	if w.anew < manyAnew {
		return nil
	}
	return &Finding{
		ID: CauseOutOfMemory,
		Message: fmt.Sprintf("The loader asked how large the initrd %s is, and began anew instead of loading its %s: the machine has too little memory for it.",
			w.name, bytesOf(w.size)),
		Evidence: []string{"nothing of the initrd was loaded, and the kernel was fetched anew " + times(w.anew)},
	}
}

func (b *boot) heldFinding(t *Tracker) *Finding {
	f := &Finding{
		ID:       CauseHeld,
		Message:  fmt.Sprintf("The machine boots from its disk: three boots of bootID %q were not completed. A new spec.bootID starts over.", b.a.BootID),
		Evidence: []string{"three boots got their configuration and none was completed"},
	}
	if m := t.o.Index.Machine(b.owner.machine); m != nil && m.Boots > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("status.bootsSinceCompletion is %d", m.Boots))
	}
	return f
}

// machineArch returns the architecture that a machine is known to have.
func (b *boot) machineArch(t *Tracker) index.Arch {
	if m := t.o.Index.Machine(b.owner.machine); m != nil && m.Architecture != "" {
		return m.Architecture
	}
	return b.owner.past.arch
}

// lastSeen returns the latest thing that is known of a boot, as evidence.
func (b *boot) lastSeen() []string {
	var all []string
	if len(b.steps) > 0 {
		s := b.steps[len(b.steps)-1]
		all = append(all, fmt.Sprintf("the last request was for %s by %s: %s, %d bytes", s.Name, s.Over, orRuns(s.Outcome), s.Bytes))
	}
	if b.restartedIn > 0 {
		all = append(all, fmt.Sprintf("the machine began anew %v later", short(b.restartedIn)))
	}
	return all
}

func orRuns(o Outcome) string {
	if o == "" {
		return "no end of it is known"
	}
	return string(o)
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func packets(n int64) string {
	if n == 1 {
		return "1 packet sent again"
	}
	return fmt.Sprintf("%d packets sent again", n)
}

func roleOf(tr *trouble) string {
	if tr.role == "" {
		return "file"
	}
	return string(tr.role)
}

func ofSize(tr *trouble) string {
	at := tr.offset + tr.bytes
	if tr.size <= 0 {
		return bytesOf(at)
	}
	return fmt.Sprintf("%s of %s", bytesOf(at), bytesOf(tr.offset+tr.size))
}

func bytesOf(n int64) string {
	if n < 1_000_000 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

func short(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

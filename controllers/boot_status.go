// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"net/netip"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// The API server's bounds on lastBoot, in characters; what is cut by bytes is never longer.
const (
	maxBootWord     = 32
	maxBootCause    = 64
	maxBootMessage  = 1024
	maxBootEvidence = 8
	maxBootText     = 256 // evidence, the reason of a step
	maxStepName     = 128
)

// A bootMark tells two states of lastBoot apart, as far as one process writes them.
type bootMark struct {
	start, last, end int64 // in seconds; of what is not set 0
	stage, cause     string
	servedBy, action string
	bytes            int64
	steps            int
}

func markOf(b *v1alpha1.LastBoot) bootMark {
	if b == nil {
		return bootMark{}
	}
	mark := bootMark{
		start: b.StartTime.Unix(), stage: b.Stage, cause: b.Cause, servedBy: b.ServedBy, action: string(b.Action), bytes: b.Bytes, steps: len(b.Steps),
	}
	if b.LastTime != nil {
		mark.last = b.LastTime.Unix()
	}
	if b.EndTime != nil {
		mark.end = b.EndTime.Unix()
	}
	return mark
}

// A bootMemory is what a process knows of what it wrote of a Machine: what it serves itself is not to be taken for what
// another one served.
type bootMemory struct {
	wrote   bootMark         // the lastBoot that this process wrote
	foreign *attempt.Attempt // the part of the same boot that another one served; nil: none
}

// A bootNews is what there is to tell of a Machine.
type bootNews struct {
	attempt *attempt.Attempt // nil: nothing but the ledger's
	entry   ledger.Entry     // of the Machine's present bootID
	node    string           // that serves
	now     time.Time
}

// applyBoot brings a Machine's status up to date with what happened to it. Another process may have written there meanwhile: the
// parts of one boot are put together, and of two boots the later one stays.
func applyBoot(m *v1alpha1.Machine, n bootNews, memory *bootMemory) {
	status := &m.Status
	before := status.LastBoot
	begun := max(0, n.entry.Unwritten-countedBefore(m, n))
	if n.attempt != nil {
		status.LastBoot = lastBootWith(m, before, n, memory)
	}
	if status.LastBoot == nil || status.LastBoot.BootID != m.Spec.BootID {
		ended := !n.entry.Completed.IsZero() || !n.entry.Failed.IsZero()
		if n.entry.Unwritten > 0 || ended && n.attempt == nil { // lastBoot.bootID says what is counted
			status.LastBoot = recalled(m.Spec.BootID, n)
		}
	}
	boots := int64(0)
	if before != nil && status.LastBoot != nil && before.BootID == status.LastBoot.BootID {
		boots = int64(status.BootsSinceCompletion)
	}
	if status.LastBoot != nil && status.LastBoot.BootID == m.Spec.BootID {
		boots += int64(begun)
	}
	status.BootsSinceCompletion = int32(min(boots, 1<<31-1))
	setFailed(status, n)
	setCompleted(m, n)
	setBootConditions(m)
}

// countedBefore returns how many of the boots that the ledger has as not counted are.
func countedBefore(m *v1alpha1.Machine, n bootNews) (counted int) {
	b := m.Status.LastBoot
	if b == nil || b.Action != v1alpha1.BootActionNetboot || b.BootID != m.Spec.BootID {
		return 0
	}
	if b.ServedBy == n.node { // this process has written it, and did not learn so: all that it knew then is counted
		for _, at := range n.entry.Begun {
			if !at.After(b.StartTime.Add(time.Second)) { // whose fractions are lost
				counted++
			}
		}
	}
	if counted == 0 && n.attempt != nil && attempt.SameBoot(attemptOf(keyOf(m), b), *n.attempt) {
		return 1 // by another process that told this machine to boot
	}
	return counted
}

// recalled is the lastBoot of a boot of which nothing but an entry in the ledger is left.
func recalled(bootID string, n bootNews) *v1alpha1.LastBoot {
	at := n.now
	for _, told := range []time.Time{n.entry.Completed, n.entry.Failed} {
		if !told.IsZero() && told.Before(at) {
			at = told
		}
	}
	return &v1alpha1.LastBoot{
		StartTime: *timeOf(at), BootID: bootID, Action: v1alpha1.BootActionNetboot, Stage: string(attempt.StageConfig), ServedBy: n.node,
	}
}

// lastBootWith returns lastBoot with what an attempt adds to it.
func lastBootWith(m *v1alpha1.Machine, before *v1alpha1.LastBoot, n bootNews, memory *bootMemory) *v1alpha1.LastBoot {
	a, node := *n.attempt, n.node
	switch {
	case before == nil:
		memory.foreign = nil
	case markOf(before) == memory.wrote:
		if memory.foreign != nil && attempt.SameBoot(*memory.foreign, a) {
			a = attempt.Merge(*memory.foreign, a)
		} else {
			memory.foreign = nil
		}
	default:
		theirs := attemptOf(keyOf(m), before)
		switch {
		case attempt.SameBoot(theirs, a):
			if theirs.Last.After(a.Last) {
				node = cmp.Or(before.ServedBy, node)
			}
			memory.foreign = &theirs
			a = attempt.Merge(theirs, a)
		case theirs.Start.After(a.Last):
			return before // a later boot is told already
		default:
			memory.foreign = nil
		}
	}
	after := lastBootOf(a, node)
	if after.BootID == "" {
		after.BootID = m.Spec.BootID // it has not got its configuration yet, and will get that of the present one
	}
	return after
}

// setFailed notes that the machine reported, through a callback that no attempt tells of, that its boot has failed.
func setFailed(status *v1alpha1.MachineStatus, n bootNews) {
	b := status.LastBoot
	if n.attempt != nil || n.entry.Failed.IsZero() || !aboutBoot(b, n.entry.BootID, n.entry.Failed) {
		return
	}
	b.Cause, b.Message = string(attempt.CauseInstallerFailed), cut(clean("The machine reported that its boot has failed: "+n.entry.Message), maxBootMessage)
	b.EndTime = timeOf(n.entry.Failed)
	b.Evidence = nil
}

// aboutBoot says whether a callback of a time and bootID is about the boot b.
func aboutBoot(b *v1alpha1.LastBoot, bootID string, at time.Time) bool {
	return b != nil && b.BootID == bootID && b.Action != v1alpha1.BootActionBootLocal && b.Stage != string(attempt.StageDone) &&
		!b.StartTime.After(at)
}

// setCompleted notes that a boot is completed, as an attempt or the ledger tells.
func setCompleted(m *v1alpha1.Machine, n bootNews) {
	status, entry := &m.Status, n.entry
	if !entry.Completed.IsZero() {
		if b := status.LastBoot; aboutBoot(b, entry.BootID, entry.Completed) {
			b.Stage, b.Cause, b.Message, b.Evidence = string(attempt.StageDone), "", "", nil
			b.EndTime = timeOf(entry.Completed)
		}
		if b := status.LastBoot; b != nil && b.BootID == entry.BootID && b.Stage == string(attempt.StageDone) {
			b.CompleteOn = completeOn(entry.By, b.CompleteOn)
		}
		if !completed(m) { // the reason stays when the machine then boots something else
			status.BootID = entry.BootID
			set(&status.Conditions, v1alpha1.ConditionBooted, m.Generation, bootedBy(completeOn(entry.By, "")))
		}
		status.BootsSinceCompletion = 0
		return
	}
	if b := status.LastBoot; b != nil && b.Stage == string(attempt.StageDone) && n.attempt != nil && n.attempt.BootID == b.BootID {
		if b.BootID == m.Spec.BootID || !completed(m) {
			status.BootID = b.BootID
		}
		status.BootsSinceCompletion = 0
	}
}

func completeOn(by string, otherwise v1alpha1.CompleteOn) v1alpha1.CompleteOn {
	switch by := v1alpha1.CompleteOn(by); by {
	case v1alpha1.CompleteOnCallback, v1alpha1.CompleteOnPayloadServed:
		return by
	}
	return otherwise
}

// lastBootOf returns what the API says of an attempt. Whatever a client made up fits into the schema then.
func lastBootOf(a attempt.Attempt, node string) *v1alpha1.LastBoot {
	b := &v1alpha1.LastBoot{
		StartTime:  *timeOf(a.Start),
		LastTime:   timeOf(a.Last),
		BootID:     a.BootID,
		CompleteOn: completeOn(string(a.CompleteOn), ""),
		Stage:      cut(string(a.Stage), maxBootWord),
		Firmware:   cut(clean(string(a.Firmware)), maxBootWord),
		Loader:     cut(clean(a.Loader), maxBootWord),
		ServedBy:   node,
		Bytes:      max(a.Bytes, 0),
	}
	switch a.Action {
	case index.Netboot, index.BootLocal:
		b.Action = v1alpha1.BootAction(a.Action)
	}
	if isArch(a.Architecture) {
		b.Architecture = v1alpha1.Architecture(a.Architecture)
	}
	if a.Over {
		b.EndTime = timeOf(a.Last)
	}
	if a.Client.IsValid() {
		b.ClientIP = a.Client.Unmap().WithZone("").String()
	}
	if !a.MAC.IsZero() {
		b.MACAddress = a.MAC.String()
	}
	if a.Cause != nil {
		b.Cause, b.Message = cut(string(a.Cause.ID), maxBootCause), cut(clean(a.Cause.Message), maxBootMessage)
		for _, e := range a.Cause.Evidence[:min(len(a.Cause.Evidence), maxBootEvidence)] {
			b.Evidence = append(b.Evidence, v1alpha1.BootEvidence(cut(clean(e), maxBootText)))
		}
	}
	for i := range a.Steps[:min(len(a.Steps), attempt.MaxSteps)] {
		b.Steps = append(b.Steps, BootStepOf(&a.Steps[i]))
	}
	return b
}

func timeOf(t time.Time) *metav1.Time {
	return &metav1.Time{Time: t.Truncate(time.Second)} // as it comes back from the API server
}

// BootStepOf returns what the API says of a step of an attempt.
func BootStepOf(s *attempt.Step) v1alpha1.BootStep {
	out := v1alpha1.BootStep{
		Time:                 metav1.NewMicroTime(s.Time.Truncate(time.Microsecond)),
		Stage:                cut(string(s.Stage), maxBootWord),
		Name:                 cut(clean(s.Name), maxStepName),
		Outcome:              cut(string(s.Outcome), maxBootWord),
		Reason:               cut(clean(s.Reason), maxBootText),
		Bytes:                max(s.Bytes, 0),
		DurationMilliseconds: max(s.Took.Milliseconds(), 0),
		Retransmits:          max(s.Retransmits, 0),
	}
	switch s.Over {
	case render.TFTP:
		out.Protocol = "TFTP"
	case render.HTTP:
		out.Protocol = "HTTP"
	}
	if s.Size >= 0 {
		out.Size = &s.Size
	}
	if s.Times > 1 {
		out.Times = int32(min(s.Times, 1<<31-1))
	}
	return out
}

// clean makes a text one valid line.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// attemptOf returns the attempt that a status tells of.
func attemptOf(machine index.Key, b *v1alpha1.LastBoot) attempt.Attempt {
	a := attempt.Attempt{
		Machine:      machine,
		Start:        b.StartTime.Time,
		Last:         b.StartTime.Time,
		Stage:        attempt.Stage(b.Stage),
		Action:       index.Action(b.Action),
		Counts:       b.Action == v1alpha1.BootActionNetboot,
		CompleteOn:   attempt.CompleteOn(b.CompleteOn),
		Firmware:     attempt.Firmware(b.Firmware),
		Architecture: index.Arch(b.Architecture),
		Loader:       b.Loader,
		Bytes:        b.Bytes,
		Over:         b.EndTime != nil,
	}
	if b.Action != "" || b.Stage == string(attempt.StageDone) {
		a.BootID = b.BootID // else it is but the one that was to come
	}
	if b.LastTime != nil {
		a.Last = b.LastTime.Time
	}
	a.MAC, _ = index.ParseMAC(b.MACAddress)   // the zero value says that it is not known
	a.Client, _ = netip.ParseAddr(b.ClientIP) // as above
	if b.Cause != "" {
		a.Cause = &attempt.Finding{ID: attempt.CauseID(b.Cause), Message: b.Message}
		for _, e := range b.Evidence {
			a.Cause.Evidence = append(a.Cause.Evidence, string(e))
		}
	}
	for i := range b.Steps {
		s := &b.Steps[i]
		step := attempt.Step{
			Time: s.Time.Time, Stage: attempt.Stage(s.Stage), Name: s.Name, Over: render.TFTP, Outcome: attempt.Outcome(s.Outcome),
			Reason: s.Reason, Bytes: s.Bytes, Size: -1, Took: time.Duration(s.DurationMilliseconds) * time.Millisecond,
			Retransmits: s.Retransmits, Times: max(int(s.Times), 1),
		}
		if s.Protocol == "HTTP" {
			step.Over = render.HTTP
		}
		if s.Size != nil {
			step.Size = *s.Size
		}
		a.Steps = append(a.Steps, step)
	}
	return a
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// atStage is a boot of bootID 1 that has come to a stage; it began so long after bootTime.
func atStage(after time.Duration, stage attempt.Stage) attempt.Attempt {
	start := bootTime().Add(after)
	a := attempt.Attempt{
		Machine: "lab/n1", MAC: index.MAC{0x52, 0x54, 0, 0xaa, 0xbb, 1}, Client: netip.MustParseAddr("192.0.2.7"), Start: start,
		Last: start, Stage: stage, Firmware: attempt.FirmwareUEFI, Architecture: "amd64",
	}
	all := attempt.Stages()
	for i, s := range all {
		at := start.Add(time.Duration(i) * 3 * time.Second)
		a.Last = at
		a.Steps = append(a.Steps, attempt.Step{
			Time: at, Stage: s, Name: "file of " + string(s), Over: render.TFTP, Outcome: attempt.OutcomeServed, Bytes: 1000, Size: 1000,
			Took: time.Second, Times: 1,
		})
		a.Bytes += 1000
		if s == stage {
			break
		}
	}
	if stage != attempt.StageFirmware && stage != attempt.StageLoader {
		a.BootID, a.Action, a.Counts, a.CompleteOn, a.Loader = "1", index.Netboot, true, attempt.CompleteOnCallback, "GRUB"
	}
	a.Over = stage == attempt.StageDone
	return a
}

// toDisk is a boot that was told to go on to the disk.
func toDisk(after time.Duration) attempt.Attempt {
	a := atStage(after, attempt.StageConfig)
	a.Action, a.Counts, a.Over = index.BootLocal, false, true
	return a
}

// TestLastBootTellsAnAttempt has an attempt written and read again, with time in whole seconds.
func TestLastBootTellsAnAttempt(t *testing.T) {
	want := atStage(0, attempt.StageKernel)
	want.Cause = &attempt.Finding{ID: attempt.CauseOutOfMemory, Message: "m", Evidence: []string{"e"}}
	want.Over = true
	want.Steps[1].Over, want.Steps[1].Size, want.Steps[1].Times, want.Steps[1].Retransmits = render.HTTP, -1, 7, 3
	written := lastBootOf(want, "node-a")
	text, err := json.Marshal(written)
	if err != nil {
		t.Fatal(err)
	}
	var read v1alpha1.LastBoot
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if markOf(&read) != markOf(written) {
		t.Errorf("what was written, %+v, is not known again: %+v", markOf(written), markOf(&read))
	}
	got := attemptOf("lab/n1", &read)
	if diff := cmp.Diff(want, got, cmpopts.EquateApproxTime(0), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("written (-) and read (+) differ:\n%s", diff)
	}
}

// TestLastBootFitsTheSchema has what a client can make up.
func TestLastBootFitsTheSchema(t *testing.T) {
	long := strings.Repeat("é\x00\xff\n", 2000)
	a := attempt.Attempt{
		Start: bootTime(), Last: bootTime(), Stage: attempt.Stage(long), Firmware: attempt.Firmware(long), Architecture: "mips", Loader: long,
		Client: netip.MustParseAddr("fe80::1%eth0"), Bytes: -1, Action: "Refuse", CompleteOn: "x",
		Cause: &attempt.Finding{ID: attempt.CauseID(long), Message: long, Evidence: []string{long, "", "", "", "", "", "", "", "", ""}},
	}
	for range 40 {
		a.Steps = append(a.Steps, attempt.Step{Time: bootTime(), Name: long, Reason: long, Bytes: -1, Size: -5, Took: -1, Retransmits: -1, Times: -1, Over: "UDP"})
	}
	m := bootableMachine()
	m.Status.LastBoot = lastBootOf(a, "node-a")
	storeStatus(t, m)
}

func TestApplyBoot(t *testing.T) {
	const config, kernel, done = attempt.StageConfig, attempt.StageKernel, attempt.StageDone
	entry := func(unwritten int) ledger.Entry {
		return ledger.Entry{Boot: ledger.Boot{Machine: "lab/n1", BootID: "1"}, Boots: unwritten, Unwritten: unwritten}
	}
	begun := func(after ...time.Duration) ledger.Entry {
		e := entry(len(after))
		for _, d := range after {
			e.Begun = append(e.Begun, bootTime().Add(d))
		}
		return e
	}
	completed := func(by string) ledger.Entry {
		e := entry(0)
		e.Completed, e.By = bootTime().Add(20*time.Second), by
		return e
	}
	failed := entry(0)
	failed.Failed, failed.Message = bootTime().Add(20*time.Second), "no disk"
	payload := atStage(0, done)
	payload.CompleteOn = attempt.CompleteOnPayloadServed
	other := atStage(0, done)
	other.BootID = "0"
	type event struct {
		a     *attempt.Attempt
		entry ledger.Entry
		node  string // empty: a
	}
	long, longer := atStage(0, kernel), atStage(0, kernel) // of more requests than are kept
	long.Bytes, longer.Bytes = 1_000_000, 2_000_000
	at := func(a attempt.Attempt) *attempt.Attempt { return &a }
	for name, tc := range map[string]struct {
		news []event
		want string // "stage, bootID, action, bytes, by whom | count, completed | conditions"
	}{
		"the firmware asks":   {[]event{{at(atStage(0, attempt.StageFirmware)), entry(0), ""}}, "Firmware 1 - 1000 a | 0 - | True Armed, False NotCompleted"},
		"it gets its config":  {[]event{{at(atStage(0, config)), entry(1), ""}}, "Config 1 Netboot 3000 a | 1 - | True Armed, False NotCompleted"},
		"and goes on":         {[]event{{at(atStage(0, config)), entry(1), ""}, {at(atStage(0, kernel)), entry(0), ""}}, "Kernel 1 Netboot 4000 a | 1 - | True Armed, False NotCompleted"},
		"with much of it":     {[]event{{&long, entry(1), ""}, {&longer, entry(0), ""}}, "Kernel 1 Netboot 2000000 a | 1 - | True Armed, False NotCompleted"},
		"the answer was lost": {[]event{{at(atStage(0, config)), entry(1), ""}, {at(atStage(0, kernel)), entry(1), ""}}, "Kernel 1 Netboot 4000 a | 1 - | True Armed, False NotCompleted"},
		"the second one":      {[]event{{at(atStage(0, kernel)), entry(1), ""}, {at(atStage(time.Minute, config)), entry(1), ""}}, "Config 1 Netboot 3000 a | 2 - | True Armed, False NotCompleted"},
		"two that no status could tell": {[]event{{at(atStage(0, kernel)), entry(1), ""}, {at(atStage(time.Hour, config)), entry(2), ""}},
			"Config 1 Netboot 3000 a | 3 - | True Armed, False NotCompleted"},
		"the answer was lost, and the next one has begun": {[]event{{at(atStage(0, kernel)), begun(0), ""}, {at(atStage(time.Hour, config)), begun(0, time.Hour), ""}},
			"Config 1 Netboot 3000 a | 2 - | True Armed, False NotCompleted"},
		"the answer for two was lost": {[]event{{at(atStage(time.Hour, config)), begun(0, time.Hour), ""}, {at(atStage(time.Hour, kernel)), begun(0, time.Hour), ""}},
			"Kernel 1 Netboot 4000 a | 2 - | True Armed, False NotCompleted"},
		"killed before the answer": {[]event{{at(atStage(0, kernel)), begun(0), ""}, {nil, begun(0), ""}}, "Kernel 1 Netboot 4000 a | 1 - | True Armed, False NotCompleted"},
		"one of before that no status tells": {[]event{{at(atStage(0, kernel)), begun(0), ""}, {at(atStage(time.Hour, config)), begun(time.Minute, time.Hour), ""}},
			"Config 1 Netboot 3000 a | 3 - | True Armed, False NotCompleted"},
		"two pods, one boot": {[]event{{at(atStage(0, config)), entry(1), "a"}, {at(tail(atStage(0, kernel), 3)), entry(0), "b"}},
			"Kernel 1 Netboot 4000 b | 1 - | True Armed, False NotCompleted"},
		"two pods, both told it to boot": {[]event{{at(atStage(0, config)), entry(1), "a"}, {at(tail(atStage(0, kernel), 2)), entry(1), "b"}},
			"Kernel 1 Netboot 4000 b | 1 - | True Armed, False NotCompleted"},
		"the later boot is told already": {[]event{{at(atStage(time.Hour, attempt.StageFirmware)), entry(0), "b"}, {at(atStage(0, kernel)), entry(1), "a"}},
			"Firmware 1 - 1000 b | 1 - | True Armed, False NotCompleted"},
		"held": {[]event{{at(atStage(0, kernel)), entry(2), ""}, {at(atStage(time.Hour, kernel)), entry(1), ""}, {at(toDisk(2 * time.Hour)), entry(0), ""}},
			"Config 1 BootLocal 3000 a | 3 - | False HeldBootLoop, False NotCompleted"},
		"all is sent": {[]event{{at(atStage(0, kernel)), entry(1), ""}, {&payload, completed("PayloadServed"), ""}},
			"Done 1 Netboot 7000 a | 0 1 | False Completed, True PayloadServed"},
		"all is sent, and the ledger's disk is full": {[]event{{&payload, entry(0), ""}}, "Done 1 Netboot 7000 a | 0 1 | False Completed, True PayloadServed"},
		"it called back while no attempt was known": {[]event{{at(atStage(0, kernel)), entry(1), ""}, {nil, completed("Callback"), ""}},
			"Done 1 Netboot 4000 a | 0 1 | False Completed, True CompletedByCallback"},
		"it called back, and nothing else is known":  {[]event{{nil, completed("Callback"), ""}}, "Done 1 Netboot 0 a | 0 1 | False Completed, True CompletedByCallback"},
		"it called back, and booted its disk since":  {[]event{{at(toDisk(time.Hour)), completed("PayloadServed"), ""}}, "Config 1 BootLocal 3000 a | 0 1 | False Completed, True PayloadServed"},
		"it said that it failed":                     {[]event{{at(atStage(0, kernel)), entry(1), ""}, {nil, failed, ""}}, "Kernel 1 Netboot 4000 a | 1 - | True Armed, False BootFailed"},
		"boots that only the ledger remembers":       {[]event{{nil, entry(3), ""}}, "Config 1 Netboot 0 a | 3 - | True Armed, False NotCompleted"},
		"a boot of an earlier bootID is done":        {[]event{{&other, entry(0), ""}}, "Done 0 Netboot 7000 a | 0 0 | True Armed, Unknown NotBooted"},
		"and does not undo the present one":          {[]event{{nil, completed("Callback"), ""}, {at(later(other, time.Hour)), completed("Callback"), ""}}, "Done 0 Netboot 7000 a | 0 1 | False Completed, True CompletedByCallback"},
		"a new bootID arms, and counts from nothing": {[]event{{at(otherID(atStage(-time.Hour, kernel))), entry(0), ""}, {at(atStage(0, config)), entry(1), ""}}, "Config 1 Netboot 3000 a | 1 - | True Armed, False NotCompleted"},
	} {
		t.Run(name, func(t *testing.T) {
			m := bootableMachine()
			memories := map[string]*bootMemory{"a": {}, "b": {}}
			for _, n := range tc.news {
				if n.node == "" {
					n.node = "a"
				}
				news := bootNews{attempt: n.a, entry: n.entry, node: n.node, now: bootTime().Add(time.Hour)}
				applyBoot(m, news, memories[n.node])
				memories[n.node].wrote = markOf(m.Status.LastBoot)
			}
			b := m.Status.LastBoot
			dash := func(s string) string {
				if s == "" {
					return "-"
				}
				return s
			}
			got := fmt.Sprintf("%s %s %s %d %s | %d %s | %s", b.Stage, dash(b.BootID), dash(string(b.Action)), b.Bytes, b.ServedBy,
				m.Status.BootsSinceCompletion, dash(m.Status.BootID), told(m))
			if got != tc.want {
				t.Errorf("the status tells\n%s, want\n%s", got, tc.want)
			}
		})
	}
}

// tail is the part of a boot that another pod has served: all but the first steps.
func tail(a attempt.Attempt, steps int) attempt.Attempt {
	a.Steps = a.Steps[steps:]
	a.Start, a.Bytes = a.Steps[0].Time, 0
	for _, s := range a.Steps {
		a.Bytes += s.Bytes
	}
	return a
}

func later(a attempt.Attempt, by time.Duration) attempt.Attempt {
	b := atStage(by, a.Stage)
	b.BootID = a.BootID
	return b
}

func otherID(a attempt.Attempt) attempt.Attempt {
	a.BootID = "0"
	return a
}

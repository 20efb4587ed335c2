// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
)

// whyOptions are the flags of kubectl netboot why.
type whyOptions struct{ output }

func newWhy(p *program) *cobra.Command {
	o := &whyOptions{}
	cmd := &cobra.Command{
		Use:   "why MACHINE",
		Short: "Tell the story of a machine's last boot: each request, why it stopped, and what to do",
		Args:  arguments(1, 1, "the name of a Machine"),
		RunE:  func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), p, args[0]) },
	}
	o.addFlag(cmd)
	return cmd
}

// A story is what why prints.
type story struct {
	Namespace  string             `json:"namespace"`
	Name       string             `json:"name"`
	Profile    string             `json:"profile,omitempty"`
	Policy     string             `json:"policy"`
	BootID     string             `json:"bootID,omitempty"`
	Boots      int32              `json:"bootsSinceCompletion"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	LastBoot   *v1alpha1.LastBoot `json:"lastBoot,omitempty"` // unset: never seen
	Cause      *causeText         `json:"cause,omitempty"`
	FindOut    []string           `json:"findOut,omitempty"` // of a machine that was never seen

	macs []v1alpha1.MACAddress
}

// A causeText is what there is to say of all boots with a cause.
type causeText struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	Means    string `json:"means"`
	WhatToDo string `json:"whatToDo"`
}

func (o *whyOptions) run(ctx context.Context, p *program, name string) error {
	if err := o.check(); err != nil {
		return err
	}
	s, err := p.open()
	if err != nil {
		return err
	}
	m, err := s.machine(ctx, name)
	if err != nil {
		return err
	}
	t := storyOf(m)
	if t.LastBoot == nil {
		t.FindOut = neverSeen(s, m)
	}
	return o.print(p.out, t, func(w io.Writer) { t.tell(w, p.now()) })
}

func storyOf(m *v1alpha1.Machine) *story {
	t := &story{
		Namespace: m.Namespace, Name: m.Name, Policy: policyOf(m), BootID: m.Spec.BootID, Boots: m.Status.BootsSinceCompletion,
		Conditions: m.Status.Conditions, LastBoot: m.Status.LastBoot, macs: m.Spec.MACAddresses,
	}
	if m.Spec.ProfileRef != nil {
		t.Profile = m.Spec.ProfileRef.Name
	}
	if t.LastBoot != nil && t.LastBoot.Cause != "" {
		c := attempt.Explain(attempt.CauseID(t.LastBoot.Cause))
		t.Cause = &causeText{ID: t.LastBoot.Cause, Title: c.Title, Means: c.Means, WhatToDo: c.WhatToDo}
	}
	return t
}

// neverSeen says how to find out why no server has heard of a machine.
func neverSeen(s *source, m *v1alpha1.Machine) []string {
	macs := make([]string, 0, len(m.Spec.MACAddresses))
	for _, mac := range m.Spec.MACAddresses {
		macs = append(macs, string(mac))
	}
	node := "NODE"
	if s.standalone {
		node = "ADDRESS"
	}
	return []string{
		"Is it on, and does it boot from the network at all? Its console says so; the firmware's boot order and \"PXE\" or \"network stack\" decide.",
		"Does DHCP send it here? Its answer must name the server (next-server) and a boot program: docs/dhcp.md has it for each DHCP server.",
		"Can it reach the server? Ask from its network: kubectl netboot probe " + node,
		"Has it another MAC address than " + strings.Join(macs, " or ") + "? kubectl netboot watch --boots lists who boots now, Machine or not.",
	}
}

func (t *story) tell(w io.Writer, now time.Time) {
	profile := orDash(t.Profile)
	policy := t.Policy
	if t.Policy == string(v1alpha1.BootPolicyOnce) {
		policy += ", bootID " + t.BootID
		if t.Boots > 0 {
			policy += fmt.Sprintf(", %s not completed", count(int(t.Boots), "boot"))
		}
	}
	rows := [][]string{{"Machine:", t.Namespace + "/" + t.Name}, {"Profile:", profile}, {"Policy:", policy}}
	if b := t.LastBoot; b != nil {
		rows = append(rows, []string{"Last boot:", bootLine(b, now)}, []string{"Client:", clientLine(b)}, []string{"Stage:", stageLine(b)})
	} else {
		rows = append(rows, []string{"Last boot:", "never seen: no server has had a request from this machine"})
	}
	if c := meta.FindStatusCondition(t.Conditions, v1alpha1.ConditionReady); c != nil && c.Status == metav1.ConditionFalse {
		rows = append(rows, []string{"Not ready:", c.Reason + ": " + c.Message})
	}
	if c := meta.FindStatusCondition(t.Conditions, v1alpha1.ConditionNetbootArmed); c != nil {
		rows = append(rows, []string{"Next boot:", c.Message})
	}
	table(w, "", rows)
	if t.LastBoot == nil {
		fmt.Fprintln(w, "\nHow to find out:")
		for i, text := range t.FindOut {
			item(w, fmt.Sprintf("%d. ", i+1), text)
		}
		return
	}
	t.timeline(w)
	t.cause(w)
}

// item writes a text of several lines behind its mark.
func item(w io.Writer, mark, text string) {
	var b strings.Builder
	wrap(&b, "  "+strings.Repeat(" ", len(mark)), text)
	fmt.Fprint(w, "  "+mark+b.String()[2+len(mark):])
}

func bootLine(b *v1alpha1.LastBoot, now time.Time) string {
	text := fmt.Sprintf("%s (%s ago)", b.StartTime.UTC().Format(time.RFC3339), ago(now, b.StartTime.Time))
	switch {
	case b.EndTime != nil:
		text += fmt.Sprintf(", over after %v", short(b.EndTime.Sub(b.StartTime.Time)))
	case underWay(b) && b.LastTime != nil:
		text += fmt.Sprintf(", under way, last heard of %s ago", ago(now, b.LastTime.Time))
	}
	if b.ServedBy != "" {
		text += ", served by " + b.ServedBy
	}
	return text
}

func clientLine(b *v1alpha1.LastBoot) string {
	var parts []string
	for _, part := range []string{b.ClientIP, b.MACAddress, b.Firmware, string(b.Architecture), b.Loader} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return orDash(strings.Join(parts, ", "))
}

func stageLine(b *v1alpha1.LastBoot) string {
	switch {
	case b.Action == v1alpha1.BootActionBootLocal:
		return b.Stage + ": it was told to boot from its own disk"
	case b.Stage == string(attempt.StageDone):
		return b.Stage + ": the boot is completed"
	case underWay(b):
		return b.Stage + ": the boot goes on"
	}
	return b.Stage + ": the boot stopped here"
}

// timeline writes the requests of the boot.
func (t *story) timeline(w io.Writer) {
	steps := t.LastBoot.Steps
	if len(steps) == 0 {
		return
	}
	begun := t.LastBoot.StartTime.Time
	if first := steps[0].Time.Time; first.Sub(begun).Abs() < time.Second { // which has whole seconds only
		begun = first
	}
	rows := [][]string{{"AFTER", "STAGE", "OVER", "FILE", "BYTES", "TOOK", "RATE", "RESENT", "OUTCOME"}}
	for i := range steps {
		rows = append(rows, stepRow(&steps[i], begun))
	}
	fmt.Fprintln(w, "\nWhat it asked for:")
	table(w, "  ", rows)
}

func stepRow(s *v1alpha1.BootStep, begun time.Time) []string {
	took := time.Duration(s.DurationMilliseconds) * time.Millisecond
	bytes, took1, speed := size(s.Bytes), short(took), rate(s.Bytes, took)
	if s.Size != nil && *s.Size != s.Bytes {
		bytes += " of " + size(*s.Size)
	}
	outcome := s.Outcome
	switch s.Outcome {
	case "":
		outcome, took1 = "under way", "-"
	case string(attempt.OutcomeRefused):
		bytes = "-"
	}
	if took == 0 {
		took1 = "-"
	}
	if s.Times > 1 {
		outcome += fmt.Sprintf(", %d times", s.Times)
	}
	if s.Reason != "" {
		outcome += ": " + s.Reason
	}
	resent := "-"
	if s.Protocol == "TFTP" && s.Outcome != string(attempt.OutcomeRefused) {
		resent = strconv.FormatInt(s.Retransmits, 10)
	}
	after := "+" + short(max(s.Time.Sub(begun), 0).Round(time.Millisecond))
	return []string{after, orDash(s.Stage), orDash(s.Protocol), orDash(brief(s.Name)), bytes, took1, speed, resent, outcome}
}

// cause writes what stopped the boot.
func (t *story) cause(w io.Writer) {
	b := t.LastBoot
	if t.Cause == nil {
		if !underWay(b) && b.Action != v1alpha1.BootActionBootLocal && b.Stage != string(attempt.StageDone) {
			fmt.Fprintln(w, "\nWhy it stopped is not known.")
		}
		return
	}
	fmt.Fprintf(w, "\nCause: %s: %s\n", t.Cause.ID, t.Cause.Title)
	wrap(w, "  ", brief(b.Message))
	if b.Message != t.Cause.Means {
		wrap(w, "  ", t.Cause.Means)
	}
	if len(b.Evidence) > 0 {
		fmt.Fprintln(w, "\nEvidence:")
		for _, e := range b.Evidence {
			item(w, "- ", brief(string(e)))
		}
	}
	fmt.Fprintln(w, "\nWhat to do:")
	wrap(w, "  ", t.Cause.WhatToDo)
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
)

// A row is one fault, or one boot that has none.
type row struct {
	name string // what is broken, for the table
	with string // who boots, for the table

	server  string // that it needs; empty: the plain one
	profile string // of its Machine; empty: it has no Machine
	policy  string // its bootPolicy; empty: Continuous

	boot func(ctx context.Context, m *machine) error
	// wantErr is in what boot returns, so that the fault did happen; empty: nothing is wrong.
	wantErr string
	// want are the causes that are right; none: there is none to name.
	want []attempt.CauseID
	// endless says that the machine tries again and again, so that its boot is never over.
	endless bool
	// also are causes that are true, and not the one: they count as unknown.
	also []attempt.CauseID
	// vague says that what is seen may be too little to name a cause.
	vague bool
	// wantText is in the message or the evidence.
	wantText func(m *machine) string
}

// A result is what came of one run of a row.
type result struct {
	named    string // empty: no cause
	text     string // message and evidence
	why      string // what kubectl netboot why says; empty: it is no Machine
	verdict  verdict
	problem  string // why the run can't be judged; empty: it can
	observed *observed
}

type verdict string

// The verdicts.
const (
	right   verdict = "right"
	unknown verdict = "unknown" // allowed, and not counted as right
	wrong   verdict = "wrong"   // never allowed
)

// newMachine returns the machine of a row's run. Addresses of two machines differ in most digits, so that none is near
// another by chance.
func newMachine(nth, run int, name string, s *server) *machine {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, run))
	m := &machine{
		address: netip.AddrFrom4([4]byte{127, 77, byte(nth), byte(10 + run)}), tftp: s.tftp, http: s.http,
		uuid: hex.EncodeToString(sum[8:12]) + "-" + hex.EncodeToString(sum[12:14]) + "-4" + hex.EncodeToString(sum[14:16])[1:] +
			"-8" + hex.EncodeToString(sum[16:18])[1:] + "-" + hex.EncodeToString(sum[18:24]),
	}
	copy(m.mac[:], sum[:6])
	m.mac[0] = 0x02 // an address of nobody's
	return m
}

// manifest is that Machine's; empty if the row has none.
func (r *row) manifest(nth, run int) string {
	if r.profile == "" {
		return ""
	}
	m := newMachine(nth, run, r.name+r.with, &server{})
	return fmt.Sprintf(`---
apiVersion: netboot.dev/v1alpha1
kind: Machine
metadata: {name: m-%d-%d, namespace: %s}
spec:
  macAddresses: ["%s"]
  bootPolicy: %s
  profileRef: {name: %s}
`, nth, run, namespace, m.colons(), cmp.Or(r.policy, "Continuous"), r.profile)
}

// run makes the fault once, and waits for what the server says of it.
func (r *row) run(ctx context.Context, s *server, nth, run int) result {
	m := newMachine(nth, run, r.name+r.with, s)
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	err := r.boot(ctx, m)
	switch {
	case r.wantErr == "" && err != nil:
		return result{problem: "the boot failed: " + err.Error()}
	case r.wantErr != "" && (err == nil || !strings.Contains(err.Error(), r.wantErr)):
		return result{problem: fmt.Sprintf("the fault did not happen: the machine says %v, want %q", err, r.wantErr)}
	}
	ended, cancelEnd := context.WithTimeoutCause(ctx, 90*time.Second, errors.New("the boot does not come to an end"))
	defer cancelEnd()
	return r.told(ended, s, m)
}

// told is what the server says once the machine's boot is over.
func (r *row) told(ctx context.Context, s *server, m *machine) result {
	o, err := r.await(ctx, s, m)
	if err != nil {
		return result{problem: err.Error(), observed: o}
	}
	result := r.judge(o, m)
	if o.Machine != "" { // the status must say the same
		status, err := s.status(ctx, o.Machine)
		switch {
		case err != nil:
			result.problem = err.Error()
		case status.LastBoot == nil || status.LastBoot.Cause != o.Cause:
			result.problem = fmt.Sprintf("status.lastBoot of %s is %+v, but /attempts says %s", o.Machine, status.LastBoot, o.Cause)
		default:
			if result.why, err = s.why(ctx, o.Machine, o.Cause); err != nil {
				result.problem = err.Error()
			}
		}
	}
	return result
}

// await waits until the boot is over and the status agrees. Of a boot that is never over the same must be told for a while.
func (r *row) await(ctx context.Context, s *server, m *machine) (*observed, error) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	var named string // of a boot without an end, or of a machine that begins anew: what is told, and since when
	var since time.Time
	for {
		o, err := s.attempt(ctx, m.address)
		if o != nil && o.Cause != named {
			named, since = o.Cause, time.Now()
		}
		if err == nil && o != nil && (o.Over || r.endless && o.Cause != "" && time.Since(since) > firmwareQuiet) {
			if o.Machine == "" {
				return o, nil
			}
			status, err := s.status(ctx, o.Machine)
			if err == nil && status.LastBoot != nil && status.LastBoot.Cause == o.Cause {
				return o, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err == nil {
				err = context.Cause(ctx)
			}
			return o, err
		}
	}
}

func (r *row) judge(o *observed, m *machine) result {
	result := result{named: o.Cause, text: strings.Join(append([]string{o.Message}, o.Evidence...), "; "), observed: o, verdict: wrong}
	switch {
	case len(r.want) == 0 && o.Cause == "", slices.Contains(r.want, attempt.CauseID(o.Cause)):
		result.verdict = right
	case o.Cause == string(attempt.CauseUnknown) && len(r.want) > 0, slices.Contains(r.also, attempt.CauseID(o.Cause)):
		result.verdict = unknown
	}
	if result.verdict == right && r.wantText != nil && !strings.Contains(result.text, r.wantText(m)) {
		result.problem = fmt.Sprintf("%q is neither in message nor evidence", r.wantText(m))
	}
	return result
}

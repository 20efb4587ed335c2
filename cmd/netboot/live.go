// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/live"
	"github.com/netboot-operator/netboot-operator/pkg/render"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// handleLive answers what goes on now.
func (s *servers) handleLive(mux *http.ServeMux) {
	mux.Handle("GET "+live.TransfersPath, &picture{make: func() any { return s.transfers() }})
	mux.Handle("GET "+live.AttemptsPath, &picture{make: func() any { return s.attempts() }})
}

// pictureLasts is for how long what goes on is told as it was: anybody who reaches the address can ask, and there may be thousands
// of boots.
const pictureLasts = 250 * time.Millisecond

// A picture is JSON that is made one at a time, for all who ask within a moment.
type picture struct {
	make func() any

	mu   sync.Mutex
	at   time.Time
	text []byte
}

// ServeHTTP implements http.Handler.
func (p *picture) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	text, err := p.get()
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text) // the client is gone, or not
}

func (p *picture) get() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.text != nil && time.Since(p.at) < pictureLasts {
		return p.text, nil
	}
	text, err := json.Marshal(p.make())
	p.text, p.at = text, time.Now()
	return text, err
}

// attempts returns the latest boot of each machine.
func (s *servers) attempts() live.Attempts {
	all := live.Attempts{Node: s.boots.node, Time: time.Now().UTC(), Items: []live.Attempt{}}
	for _, a := range s.boots.recorder.Attempts() {
		all.Items = append(all.Items, liveAttempt(&a))
	}
	return all
}

func liveAttempt(a *attempt.Attempt) live.Attempt {
	out := live.Attempt{
		Machine: string(a.Machine), StartTime: a.Start, LastTime: a.Last, Stage: string(a.Stage), Action: string(a.Action),
		Firmware: string(a.Firmware), Architecture: string(a.Architecture), Loader: a.Loader, Bytes: a.Bytes, Over: a.Over,
	}
	if !a.MAC.IsZero() {
		out.MACAddress = a.MAC.String()
	}
	if a.Client.IsValid() {
		out.ClientIP = a.Client.String()
	}
	if a.Cause != nil {
		out.Cause, out.Message, out.Evidence = string(a.Cause.ID), a.Cause.Message, a.Cause.Evidence
	}
	for i := range a.Steps {
		st := &a.Steps[i]
		out.Steps = append(out.Steps, live.Step{
			Time: st.Time, Stage: string(st.Stage), Name: st.Name, Protocol: string(st.Over), Outcome: string(st.Outcome), Reason: st.Reason,
			Bytes: st.Bytes, Size: st.Size, DurationMilliseconds: st.Took.Milliseconds(), Retransmits: st.Retransmits, Times: st.Times,
		})
	}
	return out
}

// transfers returns what is on its way, as far as it has come, the oldest first.
func (s *servers) transfers() live.Transfers {
	all := live.Transfers{Node: s.boots.node, Instance: s.handler.Instance, Time: time.Now().UTC(), Items: []live.Transfer{}}
	machines := map[netip.Addr]string{}
	for _, a := range s.boots.recorder.Attempts() {
		if a.Machine != "" && a.Client.IsValid() && !a.Over {
			machines[a.Client] = string(a.Machine)
		}
	}
	if server := s.tftp.Load(); server != nil {
		for _, t := range server.Transfers() {
			all.Items = append(all.Items, liveTransfer(&t, machines[t.Client.Addr().Unmap()]))
		}
	}
	if handler := s.answers.Load(); handler != nil {
		for _, t := range handler.Transfers() {
			all.Items = append(all.Items, live.Transfer{
				Client: t.Client.String(), Machine: cmp.Or(string(t.Machine), machines[t.Client.Addr().Unmap()]), File: t.Name,
				Protocol: string(render.HTTP), Bytes: t.Bytes, Size: t.Size, StartTime: t.Start,
			})
		}
	}
	slices.SortStableFunc(all.Items, func(a, b live.Transfer) int { return a.StartTime.Compare(b.StartTime) })
	return all
}

func liveTransfer(t *tftp.Transfer, machine string) live.Transfer {
	return live.Transfer{
		Client: t.Client.String(), Machine: machine, File: t.Name, Protocol: string(render.TFTP), Bytes: t.Bytes, Size: t.Size,
		StartTime: t.Start, Retransmits: t.Retransmits, RoundTripMicroseconds: t.RoundTrip.Microseconds(),
	}
}

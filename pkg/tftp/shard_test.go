// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	plainRequest  = "\x00\x01a\x00octet\x00"
	optionRequest = "\x00\x01a\x00octet\x00tsize\x000\x00"
	ackOfOACK     = "\x00\x04\x00\x00"
)

// What comes back for a request whose sender does not exist.
func TestUnproven(t *testing.T) {
	for name, tc := range map[string]struct {
		packets     []string
		wantPackets int
		wantBytes   int
		wantOutcome Outcome
		wantTook    time.Duration
	}{
		"OACK: three": {[]string{optionRequest}, 3, 3 * 13, OutcomeNeverAnswered, 7 * time.Second},
		"DATA: two":   {[]string{plainRequest}, 2, 2 * 516, OutcomeNeverAnswered, 3 * time.Second},
		"an error: one": {
			[]string{"\x00\x01b\x00octet\x00"}, 1, len("\x00\x05\x00\x01file not found\x00"), OutcomeNotFound, 0,
		},
		"a write request: one": {[]string{"\x00\x02b\x00octet\x00"}, 1, len("\x00\x05\x00\x02read only\x00"), OutcomeRefused, 0},
		"each request is answered": {
			// The first OACK leaves when the handler has returned.
			[]string{optionRequest, "", optionRequest, "", optionRequest}, 5, 5 * 13, OutcomeNeverAnswered, 7 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			packets, bytes := 0, 0
			count := func(_ peer, packet string) { packets, bytes = packets+1, bytes+len(packet) }
			inVirtualTime(t, files{"a": contents(5000)}, Options{}, count, func(t *testing.T, v *virtual) {
				t.Helper()
				for _, p := range tc.packets {
					if p == "" {
						synctest.Wait()
						continue
					}
					v.send(1, p)
				}
				r := <-v.records
				if r.Outcome != tc.wantOutcome {
					t.Errorf("outcome = %q, want %q", r.Outcome, tc.wantOutcome)
				}
				if took := r.Duration.Truncate(100 * time.Millisecond); took != tc.wantTook {
					t.Errorf("took %v, want %v", r.Duration, tc.wantTook)
				}
			})
			if packets != tc.wantPackets || bytes != tc.wantBytes {
				t.Errorf("%d packets, %d bytes were sent, want %d, %d", packets, bytes, tc.wantPackets, tc.wantBytes)
			}
		})
	}
}

// The oldest client that has not answered makes room; one that has answered does not.
func TestUnprovenMakesRoom(t *testing.T) {
	const limit = 10
	inVirtualTime(t, files{"a": contents(5000)}, Options{MaxUnproven: limit}, func(peer, string) {}, func(t *testing.T, v *virtual) {
		t.Helper()
		v.send(0, optionRequest)
		time.Sleep(time.Millisecond) //nolint:forbidigo // virtual time
		v.send(0, ackOfOACK)
		for n := 1; n <= 3*limit; n++ {
			v.send(n, optionRequest)
			synctest.Wait()
		}
		for n := 1; n <= 2*limit; n++ {
			if r := <-v.records; r.Outcome != OutcomeNeverAnswered || r.Request.Client != numbered(n).addrPort() {
				t.Errorf("outcome = %q of %v, want client %d to make room", r.Outcome, r.Request.Client, n)
			}
		}
		if len(v.records) != 0 {
			t.Errorf("%d more made room", len(v.records))
		}
		v.send(0, "\x00\x05\x00\x00enough\x00")
		if r := <-v.records; r.Outcome != OutcomeProbe {
			t.Errorf("outcome of the client that had answered = %q", r.Outcome)
		}
	})
}

// Data that is late holds nobody else up, and a handler neither.
func TestSlowBodies(t *testing.T) {
	served := map[string]*Body{"quick": Text("x"), "slow": {File: slowFile(3 * time.Second), Size: 600}}
	handler := HandlerFunc(func(_ context.Context, r *Request) (*Body, error) {
		if r.Name == "opens slowly" {
			time.Sleep(3 * time.Second) //nolint:forbidigo // virtual time
		}
		if b := served[r.Name]; b != nil {
			return b, nil
		}
		return nil, fs.ErrNotExist
	})
	type event struct {
		at     time.Duration
		client peer
		packet string
	}
	var got []event
	var begin time.Time
	note := func(to peer, packet string) {
		got = append(got, event{time.Since(begin).Truncate(time.Second), to, packet[:4]})
	}
	inVirtualTime(t, handler, Options{}, note, func(t *testing.T, v *virtual) {
		t.Helper()
		begin = time.Now()
		v.send(1, "\x00\x01slow\x00octet\x00")
		v.send(2, "\x00\x01opens slowly\x00octet\x00")
		time.Sleep(time.Second) //nolint:forbidigo // virtual time
		v.send(3, "\x00\x01quick\x00octet\x00")
		time.Sleep(time.Millisecond) //nolint:forbidigo // virtual time
		v.send(3, "\x00\x04\x00\x01")
		for range 3 {
			<-v.records
		}
	})
	want := map[event]bool{
		{time.Second, numbered(3), "\x00\x03\x00\x01"}:     true,
		{3 * time.Second, numbered(1), "\x00\x03\x00\x01"}: true, // 3 s after it was asked for
		{3 * time.Second, numbered(2), "\x00\x05\x00\x01"}: true,
		{4 * time.Second, numbered(1), "\x00\x03\x00\x01"}: true, // sent again, to a client that is not there
	}
	for _, e := range got {
		if !want[e] {
			t.Errorf("unexpected: %v %v %q", e.at, e.client.addrPort(), e.packet)
		}
		delete(want, e)
	}
	for e := range want {
		t.Errorf("missing: %v %v %q", e.at, e.client.addrPort(), e.packet)
	}
}

// A body that never comes: the client is told before it gives up.
func TestLateBody(t *testing.T) {
	var packets []string
	note := func(_ peer, packet string) { packets = append(packets, packet) }
	body := &Body{File: slowFile(time.Hour), Size: 1 << 20}
	inVirtualTime(t, HandlerFunc(func(context.Context, *Request) (*Body, error) { return body, nil }), Options{}, note,
		func(t *testing.T, v *virtual) {
			t.Helper()
			v.send(1, plainRequest)
			r := <-v.records
			if r.Outcome != OutcomeFailed || r.Duration.Truncate(time.Second) != 15*time.Second {
				t.Errorf("outcome = %q after %v", r.Outcome, r.Duration)
			}
			time.Sleep(time.Hour) //nolint:forbidigo // virtual time: the read ends
		})
	if diff := cmp.Diff([]string{"\x00\x05\x00\x00the file did not come in time\x00"}, packets); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// A server that stops ends what it has begun, and begins nothing: another server may.
func TestDraining(t *testing.T) {
	var packets []string
	note := func(_ peer, packet string) { packets = append(packets, packet[:4]) }
	inVirtualTime(t, files{"a": contents(600)}, Options{}, note, func(t *testing.T, v *virtual) {
		t.Helper()
		v.send(1, plainRequest)
		synctest.Wait()
		v.stop()
		synctest.Wait()
		v.send(2, plainRequest)
		v.send(1, "\x00\x04\x00\x01")
		synctest.Wait()
		v.send(1, "\x00\x04\x00\x02")
		if r := <-v.records; r.Outcome != OutcomeComplete || r.Request.Client != numbered(1).addrPort() {
			t.Errorf("outcome = %q of %v", r.Outcome, r.Request.Client)
		}
	})
	if diff := cmp.Diff([]string{"\x00\x03\x00\x01", "\x00\x03\x00\x02"}, packets); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// slowFile takes its time for each read.
type slowFile time.Duration

func (f slowFile) ReadAt(p []byte, _ int64) (int, error) {
	time.Sleep(time.Duration(f)) //nolint:forbidigo // virtual time
	return len(p), nil
}

// One lost packet costs a round trip or two, not a second.
func TestRetransmitFollowsTheRoundTrip(t *testing.T) {
	const roundTrip = 2 * time.Millisecond
	var v *virtual
	lost := false
	client := func(_ peer, packet string) {
		reply := ackOfOACK
		if packet[1] == byte(opData) {
			reply = "\x00\x04" + packet[2:4]
		}
		if packet[:4] == "\x00\x03\x00\x05" && !lost {
			lost = true
			return
		}
		time.AfterFunc(roundTrip, func() { v.send(1, reply) })
	}
	inVirtualTime(t, files{"a": contents(5000)}, Options{}, client, func(t *testing.T, running *virtual) {
		t.Helper()
		v = running
		v.send(1, optionRequest)
		r := <-v.records
		// 11 round trips, and one wait of the floor, which the wheel rounds up.
		least := 11*roundTrip + 50*time.Millisecond
		if r.Outcome != OutcomeComplete || r.Retransmits != 1 || r.Duration < least || r.Duration > least+2*wheelTick {
			t.Errorf("%q, %d retransmits, took %v, want %v", r.Outcome, r.Retransmits, r.Duration, least)
		}
		if r.RoundTrip != roundTrip || r.FirstByte != roundTrip {
			t.Errorf("round trip %v, first byte after %v, want %v", r.RoundTrip, r.FirstByte, roundTrip)
		}
	})
}

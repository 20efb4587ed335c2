// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A meteredReader counts what is taken from it.
type meteredReader struct {
	io.Reader

	taken *int
}

func (r meteredReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	*r.taken += n
	return n, err
}

// Who forges a request for what must be read for it alone costs no more than the first packet: nothing is read before the
// OACK is answered, and without one a block.
func TestUnprovenClientsReadNoStreams(t *testing.T) {
	const window = "\x00\x01a\x00octet\x00blksize\x001024\x00windowsize\x0064\x00"
	for name, tc := range map[string]struct {
		packets []string
		most    int
		least   int
	}{
		"with options":             {[]string{window}, 0, 0},
		"with options, answered":   {[]string{window, ackOfOACK}, 1 << 20, 64 << 10},
		"without options":          {[]string{plainRequest}, 512, 512},
		"without options, proven":  {[]string{plainRequest, "\x00\x04\x00\x01"}, 3 * minStreamBuffer, minStreamBuffer + 1},
		"netascii, with options":   {[]string{"\x00\x01a\x00netascii\x00windowsize\x0064\x00"}, 0, 0},
		"netascii, its size asked": {[]string{"\x00\x01a\x00netascii\x00windowsize\x0064\x00tsize\x000\x00"}, 2 * maxInMemory, 0},
	} {
		t.Run(name, func(t *testing.T) {
			taken := 0
			handler := HandlerFunc(func(context.Context, *Request) (*Body, error) {
				return &Body{Stream: meteredReader{bytes.NewReader(contents(1 << 20)), &taken}, Size: 1 << 20}, nil
			})
			inVirtualTime(t, handler, Options{}, func(peer, string) {}, func(t *testing.T, v *virtual) {
				t.Helper()
				for _, p := range tc.packets {
					v.send(1, p)
					synctest.Wait()
				}
				if taken > tc.most || taken < tc.least {
					t.Errorf("%d bytes were read, want %d to %d", taken, tc.least, tc.most)
				}
				v.send(1, "\x00\x05\x00\x00enough\x00")
				<-v.records
			})
		})
	}
}

// The ACK of an OACK is always the same: who forges the request can forge it, too. It opens one window, which is sent twice;
// after that it is one block at a time until the client has shown that it got one.
func TestForgedACKOpensOneWindow(t *testing.T) {
	const request = "\x00\x01a\x00octet\x00blksize\x001024\x00windowsize\x0064\x00"
	for name, tc := range map[string]struct {
		acks        []string
		wantPackets int
		wantVouched bool
	}{
		"only the OACK":     {[]string{ackOfOACK}, 1 + 2*64 + 10, false},
		"a block of it too": {[]string{ackOfOACK, "\x00\x04\x00\x02"}, 1 + 64 + 64 + 11*64, true},
	} {
		t.Run(name, func(t *testing.T) {
			packets := 0
			inVirtualTime(t, files{"a": contents(1 << 20)}, Options{}, func(peer, string) { packets++ }, func(t *testing.T, v *virtual) {
				t.Helper()
				for _, p := range append([]string{request}, tc.acks...) {
					v.send(1, p)
					time.Sleep(time.Millisecond) //nolint:forbidigo // virtual time
				}
				<-v.records
				_, vouched := v.server.books.proven.get(numbered(1).addrPort().Addr())
				if vouched != tc.wantVouched {
					t.Errorf("the address counts as proven: %v, want %v", vouched, tc.wantVouched)
				}
			})
			if packets != tc.wantPackets {
				t.Errorf("%d packets were sent, want %d", packets, tc.wantPackets)
			}
		})
	}
}

// Clients that never answered do not keep others out: at the limit of all transfers, too, the oldest makes room.
func TestUnprovenMakesRoomAtTheLimitOfAll(t *testing.T) {
	const limit = 10
	inVirtualTime(t, files{"a": contents(5000)}, Options{MaxTransfers: limit}, func(peer, string) {}, func(t *testing.T, v *virtual) {
		t.Helper()
		v.send(0, optionRequest)
		synctest.Wait()
		v.send(0, ackOfOACK) // it has answered, and stays
		for n := 1; n < limit; n++ {
			v.send(n, optionRequest)
		}
		synctest.Wait()
		v.send(limit, optionRequest) // the others have had no time to answer
		synctest.Wait()
		if len(v.records) != 0 || v.sessions[numbered(limit)] != nil {
			t.Errorf("%d ended before they could answer", len(v.records))
		}
		time.Sleep(1100 * time.Millisecond) //nolint:forbidigo // virtual time
		v.send(limit, optionRequest)
		synctest.Wait()
		if r := <-v.records; r.Outcome != OutcomeNeverAnswered || r.Request.Client != numbered(1).addrPort() {
			t.Errorf("outcome = %q of %v, want the oldest to make room", r.Outcome, r.Request.Client)
		}
		if v.sessions[numbered(limit)] == nil || v.sessions[numbered(0)] == nil {
			t.Error("the newest has no place, or the one that had answered lost its own")
		}
	})
}

// A handler that takes too long: the client is told before it gives up, and what the handler waits for is told, too.
func TestLateHandler(t *testing.T) {
	var packets []string
	note := func(_ peer, packet string) { packets = append(packets, packet) }
	ended := 0
	handler := HandlerFunc(func(ctx context.Context, _ *Request) (*Body, error) {
		<-ctx.Done()
		ended++
		return nil, context.Cause(ctx)
	})
	inVirtualTime(t, handler, Options{}, note, func(t *testing.T, v *virtual) {
		t.Helper()
		v.send(1, plainRequest)
		time.Sleep(4 * time.Second) //nolint:forbidigo // virtual time
		v.send(1, plainRequest)     // it joins
		r := <-v.records
		if r.Outcome != OutcomeFailed || r.Duration.Truncate(time.Second) != 15*time.Second {
			t.Errorf("outcome = %q after %v", r.Outcome, r.Duration)
		}
		synctest.Wait()
		if ended != 1 || v.server.books.transfers != 0 {
			t.Errorf("%d handlers ended, %d transfers are counted, want 1, 0", ended, v.server.books.transfers)
		}
	})
	if diff := cmp.Diff([]string{"\x00\x05\x00\x00the file did not come in time\x00"}, packets); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// A probe of the server's own is answered whatever the limits say: that they are reached does not make it sick.
func TestUnlimitedNetworks(t *testing.T) {
	own := numbered(77).addrPort().Addr()
	o := Options{
		MaxTransfers: 1, MaxRequestsPerSecond: 1, MaxRequestsPerClient: 1, MaxTransfersPerClient: 1,
		AllowedNetworks:   []netip.Prefix{netip.PrefixFrom(numbered(1).addrPort().Addr(), 32)},
		UnlimitedNetworks: []netip.Prefix{netip.PrefixFrom(own, own.BitLen())},
	}
	var answered []peer
	note := func(to peer, _ string) { answered = append(answered, to) }
	inVirtualTime(t, files{"a": contents(5000)}, o, note, func(t *testing.T, v *virtual) {
		t.Helper()
		for _, n := range []int{1, 2, 77, 1} {
			v.send(n, optionRequest)
			synctest.Wait()
		}
		if diff := cmp.Diff([]peer{numbered(1), numbered(77), numbered(1)}, answered, cmpopts.EquateComparable(peer{})); diff != "" {
			t.Errorf("answered (-want +got):\n%s", diff)
		}
		if n := v.server.books.transfers; n != 2 {
			t.Errorf("%d transfers are counted, want 2", n)
		}
	})
}

// When all ports of a range are in use, a request is dropped: its client asks again, while an ERROR would end its boot.
func TestNoPortIsLeft(t *testing.T) {
	blocker, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blocker.Close() }()
	number := uint16(blocker.LocalAddr().(*net.UDPAddr).Port) //nolint:gosec // a port
	f := loopback(t, files{"a": contents(600)}, Options{Ports: Ports{mode: portsRange, first: number, last: number}})
	c := newClient(t)
	c.send(f.addr, plainRequest)
	if r := f.record(t); r.Outcome != OutcomeNeverAnswered || !errors.Is(r.Err, errNoPort) {
		t.Errorf("outcome = %q, %v", r.Outcome, r.Err)
	}
	if packet, _, err := c.tryHear(time.Millisecond); err == nil {
		t.Errorf("server sent %q, want silence", packet)
	}
	_ = blocker.Close()
	c.send(f.addr, plainRequest)
	if packet, from := c.hear(); len(packet) != 516 || from.Port() != number {
		t.Errorf("%d bytes came from %v, want a block from port %d", len(packet), from, number)
	}
}

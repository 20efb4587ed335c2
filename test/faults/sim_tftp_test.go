// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// The packets of RFC 1350 and RFC 2347.
const (
	opRead  = 1
	opData  = 3
	opACK   = 4
	opError = 5
	opOACK  = 6

	headerLen = 4
	maxPacket = 65535
	ipUDP     = 28 // what IPv4 and UDP put before a packet
)

// errSilent is that the server did not answer, as the client sees it.
var errSilent = errors.New("no answer")

// A tftpError is an ERROR packet of the server.
type tftpError struct {
	code uint16
	text string
}

func (e *tftpError) Error() string { return fmt.Sprintf("ERROR %d %q", e.code, e.text) }

// A packet is one UDP packet between a client and the server.
type packet struct {
	inbound bool   // from the server
	port    uint16 // the server's
	content []byte
}

func (p packet) op() uint16    { return binary.BigEndian.Uint16(p.content) }
func (p packet) block() uint16 { return binary.BigEndian.Uint16(p.content[2:]) }
func (p packet) length() int   { return ipUDP + len(p.content) }

// A wire is where a client's packets get lost: it says so for each of them. Nil: none does.
type wire func(p packet) (lost bool)

// A rrq is a read request, and how the client that sends it behaves.
type rrq struct {
	name    string
	port    uint16   // the client's; 0: any
	options []string // names and values, in order
	// repeat and repeatACK are how long the client waits before it sends the last packet once more: each is used once, and
	// after them the client gives up without a word. A client without repeatACK leaves that to the server.
	repeat, repeatACK []time.Duration
	// closes is after how much silence the client says ERROR 0, where it does not repeat its ACK.
	closes time.Duration

	probe    bool  // it only wants to know the size: ERROR 8 after the OACK
	cut      int64 // after so many bytes: ERROR with cutCode; 0: never
	cutCode  uint16
	cutText  string
	vanish   int64 // after so many bytes it is gone, without a word; 0: never
	keepLast bool  // the last ACK gets lost
}

// every returns n equal waits.
func every(d time.Duration, n int) []time.Duration {
	waits := make([]time.Duration, n)
	for i := range waits {
		waits[i] = d
	}
	return waits
}

// growing returns waits, from 110 ms on, each of them a fifth longer than the one before.
func growing() []time.Duration {
	const n = 26
	first := 110 * time.Millisecond
	waits := make([]time.Duration, n)
	for i := range waits {
		waits[i] = first
		first += first / 5
	}
	return waits
}

// A transfer is one rrq under way.
type transfer struct {
	rrq
	conn *net.UDPConn
	wire wire
	peer netip.AddrPort

	last    []byte // what was sent last
	waits   []time.Duration
	heard   time.Time // when the server was heard last
	block   uint16
	size    int // of a block
	window  int
	unsaid  int // blocks since the last ACK
	content []byte
}

// read sends a request from an address and takes the file that comes.
func read(ctx context.Context, from netip.Addr, server netip.AddrPort, w wire, q rrq) ([]byte, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, q.port)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing is left in it
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	t := &transfer{rrq: q, conn: conn, wire: w, peer: server, size: 512, window: 1, heard: time.Now()}
	content, err := t.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("tftp %s: %w", q.name, err)
	}
	return content, nil
}

func (t *transfer) run(ctx context.Context) ([]byte, error) {
	request := binary.BigEndian.AppendUint16(nil, opRead)
	for _, s := range append([]string{t.name, "octet"}, t.options...) {
		request = append(append(request, s...), 0)
	}
	t.waits = t.repeat
	if err := t.send(request); err != nil {
		return nil, err
	}
	buffer := make([]byte, maxPacket)
	due := t.next()
	for {
		if err := t.conn.SetReadDeadline(due); err != nil {
			return nil, err
		}
		n, from, err := t.conn.ReadFromUDPAddrPort(buffer)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := t.again(); err != nil {
				return nil, err
			}
			due = t.next()
			continue
		case err != nil:
			return nil, err
		}
		p := packet{inbound: true, port: from.Port(), content: buffer[:n]}
		if n < headerLen || t.wire != nil && t.wire(p) {
			continue
		}
		t.peer, t.heard = from, time.Now()
		done, err := t.take(p)
		if err != nil || done {
			return t.content, err
		}
		due = t.next()
	}
}

// next is when something must be done if nothing comes.
func (t *transfer) next() time.Time {
	if len(t.waits) > 0 {
		return time.Now().Add(t.waits[0])
	}
	return t.heard.Add(t.closes) // in the past, if it has no patience
}

// again sends the last packet once more, or gives up.
func (t *transfer) again() error {
	if len(t.waits) == 0 {
		if t.closes > 0 {
			_ = t.sendError(0, "closed") // nobody may be there to hear it
		}
		return errSilent
	}
	t.waits = t.waits[1:]
	if len(t.waits) == 0 && t.closes == 0 {
		return errSilent
	}
	return t.send(t.last)
}

func (t *transfer) send(b []byte) error {
	t.last = b
	if t.wire != nil && t.wire(packet{port: t.peer.Port(), content: b}) {
		return nil
	}
	_, err := t.conn.WriteToUDPAddrPort(b, t.peer)
	return err
}

func (t *transfer) sendError(code uint16, text string) error {
	b := binary.BigEndian.AppendUint16(nil, opError)
	b = binary.BigEndian.AppendUint16(b, code)
	return t.send(append(append(b, text...), 0))
}

func (t *transfer) acknowledge() error {
	t.unsaid = 0
	t.waits = t.repeatACK
	b := binary.BigEndian.AppendUint16(nil, opACK)
	return t.send(binary.BigEndian.AppendUint16(b, t.block))
}

// take takes a packet of the server, and says whether it was the last.
func (t *transfer) take(p packet) (done bool, err error) {
	switch p.op() {
	case opError:
		return true, &tftpError{code: p.block(), text: strings.TrimRight(string(p.content[headerLen:]), "\x00")}
	case opOACK:
		if t.block > 0 {
			return false, nil
		}
		if t.probe {
			return true, t.sendError(8, "User aborted the transfer")
		}
		t.agree(p.content[2:])
		return false, t.acknowledge()
	case opData:
		return t.takeData(p)
	}
	return true, fmt.Errorf("unexpected packet %q", p.content[:min(len(p.content), 40)])
}

func (t *transfer) takeData(p packet) (done bool, err error) {
	if p.block() != t.block+1 {
		if p.block() == t.block { // the ACK was lost
			return false, t.acknowledge()
		}
		return false, nil
	}
	data := p.content[headerLen:]
	t.content = append(t.content, data...)
	t.block++
	t.unsaid++
	got := int64(len(t.content))
	last := len(data) < t.size
	switch {
	case t.cut > 0 && got >= t.cut:
		_ = t.sendError(t.cutCode, t.cutText) // the client is done, whether it is heard or not
		return true, fmt.Errorf("cut after %d bytes", got)
	case t.vanish > 0 && got >= t.vanish:
		return true, fmt.Errorf("vanished after %d bytes", got)
	case last && t.keepLast:
		return true, nil
	case last || t.unsaid >= t.window:
		return last, t.acknowledge()
	}
	return false, nil
}

// agree takes the options of an OACK.
func (t *transfer) agree(options []byte) {
	words := strings.Split(strings.TrimSuffix(string(options), "\x00"), "\x00")
	for i := 0; i+1 < len(words); i += 2 {
		n, err := strconv.Atoi(words[i+1])
		if err != nil {
			continue
		}
		switch strings.ToLower(words[i]) {
		case "blksize":
			t.size = n
		case "windowsize":
			t.window = n
		}
	}
}

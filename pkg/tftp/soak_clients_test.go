// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tftp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A soakClient is one client, with a socket and a number of its own.
type soakClient struct {
	*soak

	random *rand.Rand
	local  netip.Addr
	number int
	conn   *net.UDPConn
	peer   uint16 // the port that the server spoke from last
	pinned bool   // it may not speak from another
	buffer []byte
	tail   string // mode and options of its requests, as they stand in the packet
}

func (s *soak) client(random *rand.Rand, local netip.Addr, number int) *soakClient {
	c := &soakClient{soak: s, random: random, local: local, number: number, buffer: make([]byte, 4096)}
	c.tail = []string{
		"octet\x00",
		"octet\x00blksize\x001428\x00",
		"octet\x00tsize\x000\x00blksize\x001468\x00",
		"OCTET\x00windowsize\x004\x00blksize\x00512\x00timeout\x001\x00",
		"octet\x00blksize\x001024\x00windowsize\x0016\x00",
		"netascii\x00tsize\x000\x00",
	}[random.IntN(6)]
	c.open()
	return c
}

// open takes a port that no client had lately: what is still under way to it would be for that one.
func (c *soakClient) open() {
	var err error
	for range 100 { // others have ports, too
		port := 10_000 + uint16(c.used.Add(1)%50_000)
		if c.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.local, port))); err == nil {
			c.peer, c.pinned = c.port, false
			return
		}
	}
	c.t.Errorf("client: %v", err)
	c.conn = new(net.UDPConn) // each call of which is an error
}

func (c *soakClient) close() { _ = c.conn.Close() }

// send sends a packet, and counts it if it is a request that the handler may not be asked about.
func (c *soakClient) send(packet []byte) {
	port := c.peer
	if r, ok := parseRequest(packet); ok {
		port = c.port
		n, kind := c.numberIn(r.name)
		if r.opcode == opWrite || r.mode != Octet && r.mode != NetASCII || kind == kindFresh {
			c.counts[n].unasked.Add(1)
		}
	}
	to := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if c.local.Is6() {
		to = netip.IPv6Loopback()
	}
	if _, err := c.conn.WriteToUDPAddrPort(packet, netip.AddrPortFrom(to, port)); err != nil {
		c.t.Errorf("client: %v", err)
	}
	runtime.Gosched() // so that the server comes in between
}

// hear returns the server's next packet, nil if none comes for some time.
func (c *soakClient) hear(within time.Duration) []byte {
	_ = c.conn.SetReadDeadline(time.Now().Add(within))
	for {
		n, from, err := c.conn.ReadFromUDPAddrPort(c.buffer)
		switch {
		case err == nil && (from.Port() == c.peer || c.ports.mode != portsShared && !c.pinned):
			c.peer = from.Port()
			return c.buffer[:n]
		case err == nil: // of another transfer, or another program
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		default:
			c.t.Errorf("client: %v", err)
			return nil
		}
	}
}

// request asks for a kind of body.
func (c *soakClient) request(kind string) {
	c.send([]byte("\x00\x01" + soakName(kind, c.number) + "\x00" + c.tail))
}

// body returns a kind of body; most are plain.
func (c *soakClient) body() string {
	if c.random.IntN(4) == 0 {
		return pick(c.random, oddBodies())
	}
	return pick(c.random, plainBodies())
}

func pick[T any](random *rand.Rand, all []T) T { return all[random.IntN(len(all))] }

func ackOf(block uint16) []byte { return binary.BigEndian.AppendUint16([]byte{0, byte(opACK)}, block) }

// mustFetch fetches a plain body, and begins anew where firmware would: its request may have made room for others. What it
// has to say, send sends.
func (c *soakClient) mustFetch(kind string, send func([]byte)) {
	want := c.file(c.number)
	if strings.HasPrefix(c.tail, "netascii") {
		want = bytes.ReplaceAll(bytes.ReplaceAll(want, []byte("\r"), []byte("\r\x00")), []byte("\n"), []byte("\r\n"))
	}
	for deadline := time.Now().Add(soakPatience); ; {
		got, err := c.fetch(kind, send)
		switch {
		case err == nil && bytes.Equal(got, want):
			return
		case err == nil:
			c.t.Errorf("%s %d with %q: got %d bytes, want %d, or they are others", kind, c.number, c.tail, len(got), len(want))
			return
		case !errors.Is(err, errSilent) || time.Now().After(deadline):
			c.t.Errorf("%s %d with %q: %v", kind, c.number, c.tail, err)
			return
		}
		c.close() // what is still under way to this port belongs to the old transfer
		c.open()
	}
}

// soakWait is how long a client waits for an answer before it asks again, at first.
const soakWait = 60 * time.Millisecond

var errSilent = errors.New("the server says nothing")

// fetch reads a file as RFC 1350 and RFC 7440 say.
func (c *soakClient) fetch(kind string, send func([]byte)) ([]byte, error) {
	var content []byte
	size, window, block, unsaid, gap := defaultBlockSize, 1, 0, 0, false
	say := []byte("\x00\x01" + soakName(kind, c.number) + "\x00" + c.tail)
	send(say)
	for wait := soakWait; wait < 64*soakWait; {
		packet := c.hear(wait)
		if len(packet) < headerLen {
			wait *= 2 // otherwise a server that is behind gets more and more to do
			send(say)
			continue
		}
		c.pinned = true // RFC 1350, section 4
		switch binary.BigEndian.Uint16(packet) {
		case opError:
			return nil, errors.New("ERROR " + strconv.Quote(string(packet[2:])))
		case opOACK:
			if block == 0 {
				size, window = accepted(packet[2:])
				say = ackOf(0)
				send(say)
			}
			continue
		}
		if binary.BigEndian.Uint16(packet[2:]) != uint16(block+1) {
			if !gap {
				gap, unsaid = true, 0
				send(say)
			}
			continue
		}
		wait, gap = soakWait, false
		content = append(content, packet[headerLen:]...)
		block, unsaid = block+1, unsaid+1
		say = ackOf(uint16(block))
		last := len(packet) < headerLen+size
		if last || unsaid == window {
			unsaid = 0
			send(say)
		}
		if last {
			return content, nil
		}
	}
	return nil, errSilent
}

// accepted reads what an OACK says.
func accepted(options []byte) (blockSize, window int) {
	blockSize, window = defaultBlockSize, 1
	words := strings.Split(string(options), "\x00")
	for i := 0; i+1 < len(words); i += 2 {
		n, _ := strconv.Atoi(words[i+1])
		switch words[i] {
		case "blksize":
			blockSize = n
		case "windowsize":
			window = n
		}
	}
	return blockSize, window
}

// conducts are the ways of a client. Those that must end well do.
func conducts() []func(*soakClient) {
	return []func(*soakClient){
		(*soakClient).plain, (*soakClient).twice, (*soakClient).lossy, (*soakClient).storm, (*soakClient).confused,
		(*soakClient).silent, (*soakClient).probe, (*soakClient).abort, (*soakClient).vanish, (*soakClient).vanish,
		(*soakClient).garbage, (*soakClient).truncated, (*soakClient).babble, (*soakClient).fickle, (*soakClient).impatient,
		(*soakClient).restarted, (*soakClient).liar, (*soakClient).wrong, (*soakClient).odd, (*soakClient).closed,
	}
}

// plain does all as it should be.
func (c *soakClient) plain() { c.mustFetch(pick(c.random, plainBodies()), c.send) }

// twice sends each packet twice.
func (c *soakClient) twice() {
	c.mustFetch(pick(c.random, plainBodies()), func(packet []byte) {
		c.send(packet)
		c.send(packet)
	})
}

// lossy loses some of what it sends.
func (c *soakClient) lossy() {
	c.mustFetch(pick(c.random, plainBodies()), func(packet []byte) {
		if c.random.IntN(10) > 0 {
			c.send(packet)
		}
	})
}

// storm sends each packet many times.
func (c *soakClient) storm() {
	c.mustFetch(pick(c.random, plainBodies()), func(packet []byte) {
		for range 8 {
			c.send(packet)
		}
	})
}

// confused acknowledges blocks of long ago and of the future as well.
func (c *soakClient) confused() {
	c.mustFetch(pick(c.random, plainBodies()), func(packet []byte) {
		c.send(packet)
		if binary.BigEndian.Uint16(packet) == opACK {
			c.send(ackOf(binary.BigEndian.Uint16(packet[2:]) + 1000 + uint16(c.random.IntN(50_000))))
		}
	})
}

// silent never answers, like a forged address.
func (c *soakClient) silent() { c.request(c.body()) }

// probe ends what it has begun as soon as there is an answer.
func (c *soakClient) probe() {
	c.request(c.body())
	c.hear(100 * time.Millisecond)
	c.send([]byte("\x00\x05\x00\x08User aborted the transfer\x00"))
	c.send([]byte("\x00\x05\x00\x08User aborted the transfer\x00"))
}

// abort ends it in the middle.
func (c *soakClient) abort() {
	c.vanish()
	c.send([]byte("\x00\x05\x00\x00"))
}

// vanish acknowledges some of it, and stops in the middle of a window.
func (c *soakClient) vanish() {
	c.request(c.body())
	c.hear(100 * time.Millisecond)
	for block := range c.random.IntN(3) {
		c.send(ackOf(uint16(block)))
		for range c.random.IntN(5) {
			c.hear(20 * time.Millisecond)
		}
	}
}

// garbage answers with packets that a client does not send.
func (c *soakClient) garbage() {
	c.request(c.body())
	c.hear(100 * time.Millisecond)
	for _, packet := range []string{
		"", "\x00", "\x00\x04", "\x00\x04\x00", "\x00\x05", "\x00\x05\x00", "\x00\x03\x00\x01x", "\x00\x06blksize\x00512\x00",
		"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x09\x00\x01",
	} {
		c.send([]byte(packet))
	}
	c.send(ackOf(0))
	c.hear(20 * time.Millisecond)
}

// truncated sends a request and what is left of it when it is cut.
func (c *soakClient) truncated() {
	packet := []byte("\x00\x01" + soakName(c.body(), c.number) + "\x00" + c.tail)
	for range 5 {
		c.send(packet[:c.random.IntN(len(packet))])
	}
	c.send(append(packet, make([]byte, c.random.IntN(60_000))...))
}

// babble sends random bytes.
func (c *soakClient) babble() {
	for range 10 {
		packet := make([]byte, c.random.IntN(64))
		for i := range packet {
			packet[i] = byte(c.random.IntN(256))
		}
		if len(packet) > 1 && c.random.IntN(2) == 0 {
			packet[0], packet[1] = 0, byte(c.random.IntN(7))
		}
		c.send(packet)
	}
}

// fickle asks for one file after the other, before it has any, and then reads the last.
func (c *soakClient) fickle() {
	for range 1 + c.random.IntN(4) {
		c.request(c.body())
		if c.random.IntN(2) == 0 {
			c.hear(5 * time.Millisecond)
			c.send(ackOf(uint16(c.random.IntN(2))))
		}
	}
}

// impatient repeats its request again and again.
func (c *soakClient) impatient() {
	kind := c.body()
	for range 10 {
		c.request(kind)
	}
	c.hear(20 * time.Millisecond)
	c.request(kind)
}

// restarted is switched off in the middle, and asks for the same from the same port after a while.
func (c *soakClient) restarted() {
	kind := pick(c.random, plainBodies())
	c.request(kind)
	for block := range uint16(2) {
		c.hear(100 * time.Millisecond)
		c.send(ackOf(block))
	}
	for range 3 { // what comes when the server's patience ends
		c.hear(40 * time.Millisecond)
	}
	c.request(kind)
	c.hear(40 * time.Millisecond)
	c.send(ackOf(0))
}

// liar acknowledges what it has not, in any order.
func (c *soakClient) liar() {
	c.request(c.body())
	for range 20 {
		c.hear(5 * time.Millisecond)
		c.send(ackOf(uint16(c.random.IntN(40))))
	}
}

// wrong asks for what is not done here, and is told so.
func (c *soakClient) wrong() {
	name := soakName("memory", c.number)
	request := pick(c.random, []string{"\x00\x02" + name + "\x00octet\x00", "\x00\x01" + name + "\x00mail\x00"})
	for deadline := time.Now().Add(soakPatience); time.Now().Before(deadline); {
		c.send([]byte(request))
		if packet := c.hear(time.Second); packet != nil {
			if len(packet) < headerLen || binary.BigEndian.Uint16(packet) != opError {
				c.t.Errorf("client %d: got %q for a wrong request, want an ERROR", c.number, packet)
			}
			c.counts[c.number].refused.Add(1)
			return
		}
	}
	c.t.Errorf("client %d: no answer to a wrong request", c.number)
}

// odd reads a body that does not work, as far as that goes.
func (c *soakClient) odd() {
	kind := pick(c.random, oddBodies())
	if kind == "blocks" || kind == "late" {
		c.request(kind)
		return
	}
	if got, err := c.fetch(kind, c.send); err == nil && kind != "close that panics" {
		c.t.Errorf("client %d: got %d bytes of a %s", c.number, len(got), kind)
	}
}

// closed reads all, and has its port closed when the last ACK should go out.
func (c *soakClient) closed() {
	size := c.sizeOf(c.number)
	c.tail = "octet\x00blksize\x00" + strconv.Itoa(max(minBlockSize, size/3+1)) + "\x00"
	c.request(pick(c.random, plainBodies()))
	for block := range uint16(3) {
		c.hear(100 * time.Millisecond)
		c.send(ackOf(block))
	}
	c.hear(100 * time.Millisecond)
}

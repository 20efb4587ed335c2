// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
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
	maxPacket = 65535 // what an IP packet can hold
)

// An answer is what a reader got.
type answer struct {
	from      netip.AddrPort // where all packets came from, without a zone
	accepted  string         // the options of the OACK: "name value name value"
	blockSize int
	content   []byte
}

// A reader reads one file, with any options of RFC 2347. Other than real clients, it tells what came back.
type reader struct {
	conn   *net.UDPConn
	window int
	answer answer

	block  int  // up to which all have come, without roll-over
	unsaid int  // how many of them were not acknowledged
	gap    bool // the server was told that a block is missing
}

// read reads a file of a server at port 69. options are names and values in turn.
func (h host) read(t *testing.T, server netip.Addr, file string, options ...string) answer {
	t.Helper()
	r := reader{conn: h.listen(t, server), window: 1, answer: answer{blockSize: 512}}
	if err := r.read(netip.AddrPortFrom(server, 69), file, options); err != nil {
		t.Fatalf("read %s of %v with %q: %v", file, server, options, err)
	}
	return r.answer
}

func (r *reader) read(to netip.AddrPort, file string, options []string) error {
	packet := binary.BigEndian.AppendUint16(nil, opRead)
	for _, s := range append([]string{file, "octet"}, options...) {
		packet = append(append(packet, s...), 0)
	}
	buffer := make([]byte, maxPacket)
	say := true
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if say {
			if _, err := r.conn.WriteToUDPAddrPort(packet, to); err != nil {
				return err
			}
		}
		_ = r.conn.SetReadDeadline(time.Now().Add(time.Second))
		n, from, err := r.conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			say = true
			continue
		}
		if err != nil {
			return err
		}
		to = netip.AddrPortFrom(from.Addr().WithZone(to.Addr().Zone()), from.Port())
		if err := r.heardFrom(from); err != nil {
			return err
		}
		var last bool
		if last, say, err = r.take(buffer[:n]); err != nil {
			return err
		}
		packet = binary.BigEndian.AppendUint16(nil, opACK)
		packet = binary.BigEndian.AppendUint16(packet, uint16(r.block))
		if last {
			_, err := r.conn.WriteToUDPAddrPort(packet, to)
			return err
		}
	}
	return fmt.Errorf("it has not ended after %v, at block %d", patience, r.block)
}

// heardFrom holds the server to one address.
func (r *reader) heardFrom(from netip.AddrPort) error {
	from = netip.AddrPortFrom(from.Addr().WithZone(""), from.Port())
	if r.answer.from.IsValid() && r.answer.from != from {
		return fmt.Errorf("a packet came from %v, those before from %v", from, r.answer.from)
	}
	r.answer.from = from
	return nil
}

// take takes a packet, and says whether it was the last one and whether to acknowledge it.
func (r *reader) take(packet []byte) (last, say bool, err error) {
	if len(packet) < headerLen {
		return false, false, fmt.Errorf("packet %q is too short", packet)
	}
	switch binary.BigEndian.Uint16(packet) {
	case opOACK:
		return false, true, r.agree(packet[2:])
	case opData:
	case opError:
		return false, false, fmt.Errorf("ERROR %d %q", binary.BigEndian.Uint16(packet[2:]), packet[headerLen:])
	default:
		return false, false, fmt.Errorf("unexpected packet %q", packet[:min(len(packet), 40)])
	}
	if binary.BigEndian.Uint16(packet[2:]) != uint16(r.block+1) {
		say, r.gap, r.unsaid = !r.gap, true, 0 // once: an ACK for each would make the server send more and more
		return false, say, nil
	}
	data := packet[headerLen:]
	if len(data) > r.answer.blockSize {
		return false, false, fmt.Errorf("block %d has %d bytes, %d were agreed on", r.block+1, len(data), r.answer.blockSize)
	}
	r.answer.content = append(r.answer.content, data...)
	r.block++
	r.unsaid++
	r.gap = false
	last = len(data) < r.answer.blockSize
	if say = last || r.unsaid == r.window; say {
		r.unsaid = 0
	}
	return last, say, nil
}

// agree takes the options of an OACK.
func (r *reader) agree(options []byte) error {
	if r.block > 0 {
		return errors.New("an OACK in the middle of the file")
	}
	words := strings.Split(strings.TrimSuffix(string(options), "\x00"), "\x00")
	r.answer.accepted = strings.Join(words, " ")
	for i := 0; i+1 < len(words); i += 2 {
		n, err := strconv.Atoi(words[i+1])
		if err != nil {
			return fmt.Errorf("OACK %q: %w", options, err)
		}
		switch words[i] {
		case "blksize":
			r.answer.blockSize = n
		case "windowsize":
			r.window = n
		}
	}
	return nil
}

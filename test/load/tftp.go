// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
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

// The opcodes of RFC 1350 and RFC 2347.
const (
	opRead  = 1
	opData  = 3
	opACK   = 4
	opError = 5
	opOACK  = 6
)

// lingers is how long a client still answers after the last block, in case its ACK was lost.
const lingers = 100 * time.Millisecond

// A tftpTransfer is one file on its way to one client.
type tftpTransfer struct {
	load   *load
	server string
	name   string

	conn   *net.UDPConn
	buffer []byte
	from   netip.AddrPort // who answered; zero: nobody yet
	packet []byte         // what was sent last
	begun  time.Time

	blockSize, window int
	want              []byte // nil: keep in got what comes
	got               []byte
	size              int   // received
	block             int64 // the last one received in order
	unacked           int   // blocks since the last ACK
	answered          time.Duration
	repeats           int // packets that were sent again
	asked             int // requests sent
}

func (l *load) newTFTP(server, name string) *tftpTransfer {
	return &tftpTransfer{load: l, server: server, name: name, blockSize: 512, window: 1, buffer: make([]byte, max(l.BlockSize, 512)+4)}
}

// fetchTFTP is one transfer of client i, and what becomes of it.
func (l *load) fetchTFTP(ctx context.Context, i int) {
	t := l.newTFTP(l.TFTP[i%len(l.TFTP)], l.TFTPName)
	err := t.fetch(ctx, l.TFTPContent, l.TFTPTime)
	l.report.ended(&l.report.TFTP, int64(t.size), t.repeats, t.begun, t.failure(i, err))
}

// failure tells all that is known of a transfer that failed; nil: it did not.
func (t *tftpTransfer) failure(i int, err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{
		Protocol: "TFTP", Server: t.server, Client: i, File: t.name, Begun: t.begun, After: time.Since(t.begun).Seconds(),
		Bytes: int64(t.size), Reason: fmt.Sprintf("%v; block %d, %d packets sent again", err, t.block, t.repeats),
	}
	if t.conn != nil {
		f.From = t.conn.LocalAddr().String()
	}
	return f
}

// open opens a socket on a new port, which is what tells the server transfers apart.
func (t *tftpTransfer) open() (server netip.AddrPort, err error) {
	t.begun = time.Now()
	address, err := net.ResolveUDPAddr("udp", t.server)
	if err != nil {
		return server, err
	}
	t.conn, err = net.ListenUDP("udp", nil)
	return plain(address.AddrPort()), err
}

// plain is an address as others are compared with it.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// request is the RRQ.
func (t *tftpTransfer) request() []byte {
	b := binary.BigEndian.AppendUint16(nil, opRead)
	for _, s := range []string{
		t.name, "octet", "blksize", strconv.Itoa(t.load.BlockSize), "windowsize", strconv.Itoa(t.load.WindowSize), "tsize", "0",
	} {
		b = append(append(b, s...), 0)
	}
	return b
}

// fetch fetches the file, and compares it with want. With a time, ACKs are held back so that it takes that long.
func (t *tftpTransfer) fetch(ctx context.Context, want []byte, takes time.Duration) error {
	server, err := t.open()
	if err != nil {
		return err
	}
	defer func() { _ = t.conn.Close() }() // all was received, or it is lost
	t.want, t.packet, t.asked = want, t.request(), 1
	if err := t.send(server); err != nil {
		return err
	}
	for done := false; !done; {
		b, err := t.hear(ctx, server)
		if err != nil {
			return err
		}
		if done, err = t.take(b); err != nil {
			t.stop(err.Error())
			return err
		}
		if done || t.unacked >= t.window {
			if takes > 0 && len(want) > 0 {
				until(t.begun.Add(time.Duration(float64(takes) * float64(t.size) / float64(len(want)))))
			}
			t.packet, t.unacked = ack(t.block), 0
			if err := t.send(t.from); err != nil {
				return err
			}
		}
	}
	t.linger()
	if want != nil && t.size != len(want) {
		return fmt.Errorf("the file ended after %d bytes, want %d", t.size, len(want))
	}
	return nil
}

// stop tells the server that no more is wanted.
func (t *tftpTransfer) stop(why string) {
	t.packet = append(append([]byte{0, opError, 0, 0}, why...), 0)
	_ = t.send(t.from) // the server notices anyway, later
}

func ack(block int64) []byte {
	b := binary.BigEndian.AppendUint16(nil, opACK)
	return binary.BigEndian.AppendUint16(b, uint16(block))
}

func (t *tftpTransfer) send(to netip.AddrPort) error {
	_, err := t.conn.WriteToUDPAddrPort(t.packet, to)
	return err
}

// hear returns the next packet of the server. When none comes, what was sent last is sent again, as long as there are tries.
func (t *tftpTransfer) hear(ctx context.Context, server netip.AddrPort) ([]byte, error) {
	wait := t.load.RetryAfter
	for try := 1; ; {
		_ = t.conn.SetReadDeadline(time.Now().Add(wait)) // an error shows when something is read
		n, from, err := t.conn.ReadFromUDPAddrPort(t.buffer)
		from = plain(from)
		switch {
		case err == nil && (from == t.from || !t.from.IsValid() && from.Addr().WithZone("") == server.Addr().WithZone("")):
			if !t.from.IsValid() {
				t.from, t.answered = from, time.Since(t.begun)
			}
			return t.buffer[:n], nil
		case err == nil: // of somebody else
			continue
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case try == t.load.Tries:
			return nil, fmt.Errorf("no answer to %s after %d tries in a row", kind(t.packet), try)
		}
		to := server
		if t.from.IsValid() {
			to = t.from
		} else {
			t.asked++
		}
		if err := t.send(to); err != nil {
			return nil, err
		}
		t.repeats++
		wait = min(2*wait, 4*t.load.RetryAfter)
		try++
	}
}

func kind(packet []byte) string {
	if binary.BigEndian.Uint16(packet) == opRead {
		return "the request"
	}
	return fmt.Sprintf("ACK %d", binary.BigEndian.Uint16(packet[2:]))
}

// take takes a packet, and says whether it was the last one.
func (t *tftpTransfer) take(b []byte) (done bool, err error) {
	if len(b) < 4 {
		return false, fmt.Errorf("a packet of %d bytes", len(b))
	}
	switch op := binary.BigEndian.Uint16(b); op {
	case opOACK:
		if t.block == 0 {
			t.agree(b[2:])
			t.unacked = t.window // it is to be acknowledged
		}
	case opData:
		return t.data(int64(binary.BigEndian.Uint16(b[2:])), b[4:])
	case opError:
		return false, fmt.Errorf("the server sent ERROR %d %q", binary.BigEndian.Uint16(b[2:]), bytes.TrimRight(b[4:], "\x00"))
	default:
		return false, fmt.Errorf("the server sent opcode %d", op)
	}
	return false, nil
}

// agree reads an OACK.
func (t *tftpTransfer) agree(b []byte) {
	fields := strings.Split(string(b), "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		n, _ := strconv.Atoi(fields[i+1]) // 0 shows as blocks of no size
		switch fields[i] {
		case "blksize":
			t.blockSize = n
		case "windowsize":
			t.window = max(n, 1)
		}
	}
}

// data takes a block. One that is not the next is answered with the last one in order, once for each window: something was lost.
func (t *tftpTransfer) data(number int64, b []byte) (done bool, err error) {
	if number != (t.block+1)&0xffff {
		if t.unacked++; t.unacked > t.window {
			t.unacked = t.window
		}
		return false, nil
	}
	if t.want == nil {
		t.got = append(t.got, b...)
	} else if err := compare(t.want, t.size, b); err != nil {
		return false, err
	}
	t.block++
	t.unacked++
	t.size += len(b)
	return len(b) < t.blockSize, nil
}

// compare compares a part of a file, from the given offset on, with what the whole holds.
func compare(want []byte, at int, b []byte) error {
	if at+len(b) > len(want) {
		return fmt.Errorf("the file goes on after its %d bytes", len(want))
	}
	if bytes.Equal(want[at:at+len(b)], b) {
		return nil
	}
	for i := range b {
		if b[i] != want[at+i] {
			at += i
			break
		}
	}
	return fmt.Errorf("byte %d is wrong", at)
}

// linger answers the last block again, should it come again.
func (t *tftpTransfer) linger() {
	_ = t.conn.SetReadDeadline(time.Now().Add(lingers)) // an error shows when something is read
	for {
		n, from, err := t.conn.ReadFromUDPAddrPort(t.buffer)
		if err != nil {
			return
		}
		if n >= 4 && binary.BigEndian.Uint16(t.buffer) == opData && plain(from) == t.from && t.send(t.from) != nil {
			return
		}
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		packet string
		want   request
		wantOK bool
	}{
		"read, no options":        {"\x00\x01a\x00octet\x00", request{opcode: opRead, name: "a", mode: Octet}, true},
		"write":                   {"\x00\x02a\x00octet\x00", request{opcode: opWrite, name: "a", mode: Octet}, true},
		"mode in capitals":        {"\x00\x01a\x00NetASCII\x00", request{opcode: opRead, name: "a", mode: NetASCII}, true},
		"mode mail":               {"\x00\x01a\x00mail\x00", request{opcode: opRead, name: "a", mode: "mail"}, true},
		"empty name":              {"\x00\x01\x00octet\x00", request{opcode: opRead, mode: Octet}, true},
		"mode without its NUL":    {"\x00\x01a\x00octet", request{opcode: opRead, name: "a", mode: Octet}, true},
		"name without its NUL":    {"\x00\x01bootxoctet\x00", request{opcode: opRead, name: "bootx", mode: Octet}, true},
		"name ends like the mode": {"\x00\x01octet\x00octet\x00", request{opcode: opRead, name: "octet", mode: Octet}, true},
		"name with trailing 0xFF": {"\x00\x01a\xff\x00octet\x00", request{opcode: opRead, name: "a\xff", mode: Octet}, true},
		"name with a NUL more":    {"\x00\x01a.efi\x00\x00octet\x00", request{opcode: opRead, name: "a.efi", mode: Octet}, true},
		"name with three NULs, options": {
			"\x00\x01a\x00\x00\x00octet\x00tsize\x000\x00",
			request{opcode: opRead, name: "a", mode: Octet, options: []Option{{"tsize", "0"}}}, true,
		},
		"mode that is not one": {"\x00\x01a\x00Binary\x00", request{opcode: opRead, name: "a", mode: "binary"}, true},
		"empty options": {
			"\x00\x01a\x00octet\x00\x00\x00\x00\x00",
			request{opcode: opRead, name: "a", mode: Octet, options: []Option{{}, {}}}, true,
		},
		"name without its NUL, options": {
			"\x00\x01bootxoctet\x00tsize\x000\x00",
			request{opcode: opRead, name: "bootx", mode: Octet, options: []Option{{"tsize", "0"}}}, true,
		},
		"options in their order": {
			"\x00\x01/boot\x00octet\x00tsize\x000\x00BlkSize\x001468\x00",
			request{opcode: opRead, name: "/boot", mode: Octet, options: []Option{{"tsize", "0"}, {"BlkSize", "1468"}}}, true,
		},
		"last value without its NUL": {
			"\x00\x01a\x00octet\x00tsize\x000",
			request{opcode: opRead, name: "a", mode: Octet, options: []Option{{"tsize", "0"}}}, true,
		},
		"option without a value":  {"\x00\x01a\x00octet\x00tsize\x00", request{opcode: opRead, name: "a", mode: Octet}, true},
		"nothing":                 {"", request{}, false},
		"opcode only":             {"\x00\x01", request{}, false},
		"name only":               {"\x00\x01a\x00", request{}, false},
		"name without NUL, alone": {"\x00\x01a", request{}, false},
		"empty mode":              {"\x00\x01a\x00\x00", request{}, false},
		"NULs only":               {"\x00\x01" + strings.Repeat("\x00", 100), request{}, false},
		"data":                    {"\x00\x03a\x00octet\x00", request{}, false},
		"error":                   {"\x00\x05\x00\x00octet\x00", request{}, false},
		"opcode little-endian":    {"\x01\x00a\x00octet\x00", request{}, false},
		"longer than any request": {"\x00\x01" + strings.Repeat("a", maxRequestLen) + "\x00octet\x00", request{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := parseRequest([]byte(tc.packet))
			if ok != tc.wantOK {
				t.Fatalf("parseRequest() ok = %v, want %v", ok, tc.wantOK)
			}
			if !ok {
				return
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(request{})); diff != "" {
				t.Errorf("parseRequest() (-want +got):\n%s", diff)
			}
		})
	}
}

// A request that was cut anywhere is refused or read as far as it goes: what is read was sent.
func TestParseRequestCutAtEveryByte(t *testing.T) {
	whole := "\x00\x01/boot/grub.cfg\x00octet\x00blksize\x001024\x00tsize\x000\x00"
	for n := range len(whole) {
		r, ok := parseRequest([]byte(whole[:n]))
		if wantOK := n > len("\x00\x01/boot/grub.cfg\x00"); ok != wantOK {
			t.Errorf("cut to %d bytes: ok = %v, want %v", n, ok, wantOK)
			continue
		}
		if !ok {
			continue
		}
		if r.name != "/boot/grub.cfg" || !strings.HasPrefix("octet", string(r.mode)) {
			t.Errorf("cut to %d bytes: name %q, mode %q", n, r.name, r.mode)
		}
		for _, o := range r.options {
			if !strings.Contains(whole, o.Name+"\x00"+o.Value) {
				t.Errorf("cut to %d bytes: option %v was not sent", n, o)
			}
		}
	}
}

// More options than any client sends are not read.
func TestParseRequestBoundsOptions(t *testing.T) {
	r, ok := parseRequest([]byte("\x00\x01a\x00octet\x00" + strings.Repeat("\x00", 2000)))
	if !ok || len(r.options) != maxOptions {
		t.Errorf("ok = %v, %d options, want %d", ok, len(r.options), maxOptions)
	}
}

// Every length that a datagram may have is read to an end.
func TestParseAnyLength(t *testing.T) {
	const longest = 65_507
	for name, fill := range map[string]byte{"NUL": 0, "text": 'o', "0xFF": 0xff} {
		t.Run(name, func(t *testing.T) {
			packet := bytes.Repeat([]byte{fill}, longest)
			for _, opcode := range []uint16{0, opRead, opWrite, opData, opACK, opError, opOACK, 0xffff} {
				binary.BigEndian.PutUint16(packet, opcode)
				for n := 0; n <= longest; n += 1 + n/40 {
					if _, ok := parseRequest(packet[:n]); ok && (n > maxRequestLen || opcode != opRead && opcode != opWrite) {
						t.Errorf("opcode %d, %d bytes: taken for a request", opcode, n)
					}
					if _, ok := parseReply(packet[:n]); ok != (n >= headerLen && (opcode == opACK || opcode == opError)) {
						t.Errorf("opcode %d, %d bytes: reply: %v", opcode, n, ok)
					}
				}
				parseRequest(packet)
				parseReply(packet)
			}
		})
	}
}

// An ERROR or ACK that was cut anywhere is refused or read as far as it goes.
func TestParseReplyCutAtEveryByte(t *testing.T) {
	const whole = "\x00\x05\x00\x08User aborted the transfer\x00"
	for n := range len(whole) + 1 {
		r, ok := parseReply([]byte(whole[:n]))
		if ok != (n >= headerLen) {
			t.Errorf("cut to %d bytes: ok = %v", n, ok)
		}
		if ok && (r.err == nil || r.err.Code != CodeOptionRefused || r.err.Message != strings.TrimRight(whole[headerLen:n], "\x00")) {
			t.Errorf("cut to %d bytes: %+v", n, r)
		}
	}
}

// Firmware prints what an ERROR says, and has little room for it.
func TestErrorTextIsPrintableAndShort(t *testing.T) {
	for c := range rune(0x300) {
		packet := appendError(nil, &Error{Message: strings.Repeat(string(c)+string([]byte{byte(c)}), 200)})
		text, end := packet[headerLen:len(packet)-1], packet[len(packet)-1]
		if len(text) > maxMessageLen || end != 0 {
			t.Errorf("%q: %d bytes, and the last is %d", c, len(text), end)
		}
		if i := bytes.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
			t.Errorf("%q: byte %#x is sent", c, text[i])
		}
	}
}

func TestParseReply(t *testing.T) {
	for name, tc := range map[string]struct {
		packet string
		want   reply
		wantOK bool
	}{
		"ack":                       {"\x00\x04\x12\x34", reply{block: 0x1234}, true},
		"ack with trailing garbage": {"\x00\x04\x00\x01garbage", reply{block: 1}, true},
		"error":                     {"\x00\x05\x00\x08User aborted\x00", reply{err: &Error{CodeOptionRefused, "User aborted"}}, true},
		"error without NUL":         {"\x00\x05\x00\x00closed", reply{err: &Error{CodeUndefined, "closed"}}, true},
		"error without a message":   {"\x00\x05\x00\x00", reply{err: &Error{}}, true},
		"ack cut":                   {"\x00\x04\x12", reply{}, false},
		"data":                      {"\x00\x03\x00\x01x", reply{}, false},
		"nothing":                   {"", reply{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := parseReply([]byte(tc.packet))
			if ok != tc.wantOK {
				t.Fatalf("parseReply() ok = %v, want %v", ok, tc.wantOK)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(reply{})); diff != "" {
				t.Errorf("parseReply() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAppend(t *testing.T) {
	longest := strings.Repeat("x", maxMessageLen)
	for name, tc := range map[string]struct {
		got  []byte
		want string
	}{
		"oack":                       {newOACK([]Option{{"a", "8"}, {"b", ""}}), "\x00\x06a\x008\x00b\x00\x00"},
		"error":                      {appendError(nil, &Error{CodeNotFound, "no file"}), "\x00\x05\x00\x01no file\x00"},
		"error, control characters":  {appendError(nil, &Error{0, "a\x00b\r\nc\x1b[1m\x7f"}), "\x00\x05\x00\x00abc[1m\x00"},
		"error, not ASCII":           {appendError(nil, &Error{0, "é\xff"}), "\x00\x05\x00\x00??\x00"},
		"error, as long as it may":   {appendError(nil, &Error{0, longest}), "\x00\x05\x00\x00" + longest + "\x00"},
		"error, longer than it may":  {appendError(nil, &Error{0, longest + longest}), "\x00\x05\x00\x00" + longest + "\x00"},
		"error, appended to a bytes": {appendError([]byte("ab"), &Error{}), "ab\x00\x05\x00\x00\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, string(tc.got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

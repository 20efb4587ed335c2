// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
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
		"data":                       {appendDataHeader(nil, 0xfffe), "\x00\x03\xff\xfe"},
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

// Whatever comes, parsing ends without a panic, invents nothing, and its result can be negotiated and answered.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "\x00\x01", "\x00\x01a\x00octet\x00", "\x00\x01aoctet\x00tsize\x000\x00", "\x00\x02a\x00mail\x00",
		"\x00\x01/x\x00OCTET\x00blksize\x001468\x00windowsize\x004\x00timeout\x005\x00tsize\x000\x00",
		"\x00\x01x\x00octet\x00blksize\x00-1\x00blksize\x000x10\x00", "\x00\x04\x00\x01", "\x00\x05\x00\x08no\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		if r, ok := parseReply(packet); ok && r.err != nil {
			if again := appendError(nil, r.err); len(again) > headerLen+maxMessageLen+1 {
				t.Errorf("ERROR of %d bytes", len(again))
			}
		}
		r, ok := parseRequest(packet)
		if !ok {
			return
		}
		if strings.Contains(r.name, "\x00") || r.mode == "" || !strings.Contains(string(packet), r.name) {
			t.Errorf("name %q, mode %q of packet %q", r.name, r.mode, packet)
		}
		agreed := negotiate(r.options, limits{blockSize: 1468, window: 64}, 1<<40)
		if agreed.blockSize < minBlockSize || agreed.blockSize > 1468 || agreed.window < 1 || agreed.window > 64 {
			t.Errorf("agreed on %+v of packet %q", agreed, packet)
		}
		if len(agreed.accepted) > 4 {
			t.Errorf("accepted %d options, and there are 4", len(agreed.accepted))
		}
	})
}

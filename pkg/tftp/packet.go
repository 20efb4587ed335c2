// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// The opcodes of RFC 1350, section 5, and RFC 2347.
const (
	opRead  uint16 = 1
	opWrite uint16 = 2
	opData  uint16 = 3
	opACK   uint16 = 4
	opError uint16 = 5
	opOACK  uint16 = 6
)

const (
	// headerLen is the length of opcode and block number, in bytes.
	headerLen = 4
	// maxRequestLen is the longest request that is read, in bytes. RFC 2347 allows 512; firmware with long paths and
	// many options is not worth refusing.
	maxRequestLen = 2048
	// maxOptions is how many options of a request are read: several times as many as any client sends.
	maxOptions = 32
	// maxMessageLen is the longest ERROR message sent, in bytes: EDK2 keeps 127 with the NUL.
	maxMessageLen = 126
)

// Mode is the transfer mode of a request, in lower case.
type Mode string

// The transfer modes of RFC 1350 that are served.
const (
	Octet    Mode = "octet"    // the bytes as they are
	NetASCII Mode = "netascii" // line ends become CR LF, CR becomes CR NUL (RFC 764)
)

// An Option is a name and a value as they stand in a packet (RFC 2347).
type Option struct {
	Name, Value string
}

// ErrorCode is the code of an ERROR packet.
type ErrorCode uint16

// The error codes of RFC 1350 and RFC 2347. The zero value is "see the message".
const (
	CodeUndefined       ErrorCode = 0
	CodeNotFound        ErrorCode = 1
	CodeAccessViolation ErrorCode = 2
	CodeDiskFull        ErrorCode = 3
	CodeIllegal         ErrorCode = 4
	CodeUnknownTransfer ErrorCode = 5
	CodeFileExists      ErrorCode = 6
	CodeNoSuchUser      ErrorCode = 7
	CodeOptionRefused   ErrorCode = 8
)

// An Error is what an ERROR packet says. A [Handler] returns one to choose what the client is told; in a [Record] it may be
// what the client told, and then Message is not to be trusted.
type Error struct {
	Code    ErrorCode
	Message string
}

// Error returns code and message.
func (e *Error) Error() string { return fmt.Sprintf("TFTP error %d: %q", e.Code, e.Message) }

// wire returns the message as it is sent: printable ASCII only, cut to what firmware can hold.
func (e *Error) wire() string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f:
			return -1
		case r > 0x7f:
			return '?'
		}
		return r
	}, e.Message)
	return clean[:min(len(clean), maxMessageLen)]
}

// A request is a parsed RRQ or WRQ.
type request struct {
	opcode  uint16
	name    string
	mode    Mode // not necessarily one that is known
	options []Option
}

// parseRequest reads an RRQ or WRQ. ok is false for anything else.
//
// Three faults of firmware are forgiven: a last string without its NUL; a name without one, so that the mode sticks to it
// ("bootxoctet"); and a name with more than one. An option without a value is dropped.
func parseRequest(packet []byte) (r request, ok bool) {
	if len(packet) < 2 || len(packet) > maxRequestLen {
		return request{}, false
	}
	r.opcode = binary.BigEndian.Uint16(packet)
	if r.opcode != opRead && r.opcode != opWrite {
		return request{}, false
	}
	name, rest, ok := bytes.Cut(packet[2:], []byte{0})
	if !ok {
		return request{}, false
	}
	mode, after, _ := bytes.Cut(bytes.TrimLeft(rest, "\x00"), []byte{0})
	r.name, r.mode = string(name), Mode(strings.ToLower(string(mode)))
	if !r.mode.known() {
		if head, stuck := cutMode(r.name); stuck != "" {
			r.name, r.mode, after = head, stuck, rest
		}
	}
	if r.mode == "" {
		return request{}, false
	}
	r.options = parseOptions(after)
	return r, true
}

func (m Mode) known() bool { return m == Octet || m == NetASCII || m == "mail" }

// cutMode cuts a served mode off the end of s. mode is empty if there is none.
func cutMode(s string) (name string, mode Mode) {
	for _, m := range []Mode{Octet, NetASCII} {
		at := len(s) - len(m)
		if at > 0 && strings.EqualFold(s[at:], string(m)) {
			return s[:at], m
		}
	}
	return s, ""
}

// parseOptions reads pairs of strings, each ended by NUL, as many as are worth reading.
func parseOptions(b []byte) []Option {
	var options []Option
	for len(b) > 0 && len(options) < maxOptions {
		name, rest, ok := bytes.Cut(b, []byte{0})
		if !ok || len(rest) == 0 {
			break
		}
		value, after, _ := bytes.Cut(rest, []byte{0})
		options = append(options, Option{string(name), string(value)})
		b = after
	}
	return options
}

// A reply is what a client may say in a transfer: an ACK, or an ERROR if err is set.
type reply struct {
	block uint16
	err   *Error
}

// parseReply reads an ACK or ERROR. ok is false for anything else.
func parseReply(packet []byte) (r reply, ok bool) {
	if len(packet) < headerLen {
		return reply{}, false
	}
	number := binary.BigEndian.Uint16(packet[2:])
	switch binary.BigEndian.Uint16(packet) {
	case opACK:
		return reply{block: number}, true
	case opError:
		message, _, _ := bytes.Cut(packet[headerLen:], []byte{0})
		return reply{err: &Error{Code: ErrorCode(number), Message: string(message)}}, true
	}
	return reply{}, false
}

// newOACK returns an OACK packet.
func newOACK(options []Option) []byte {
	b := binary.BigEndian.AppendUint16(nil, opOACK)
	for _, o := range options {
		b = append(append(b, o.Name...), 0)
		b = append(append(b, o.Value...), 0)
	}
	return b
}

// appendError appends an ERROR packet.
func appendError(b []byte, e *Error) []byte {
	b = binary.BigEndian.AppendUint16(b, opError)
	b = binary.BigEndian.AppendUint16(b, uint16(e.Code))
	return append(append(b, e.wire()...), 0)
}

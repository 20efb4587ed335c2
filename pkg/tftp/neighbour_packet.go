// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"encoding/binary"
	"net/netip"
)

// What neighbours tell each other. Each datagram begins with notesMagic and a kind. Another program, or a version that does
// it otherwise, has another magic.
const notesMagic = "TFn1"

// The kinds of notes.
const (
	noteHello   = 'h' // I am here: one byte of flags
	noteBye     = 'b' // I am gone
	notePackets = 'p' // clients' packets, each as a handed
)

// The flags of a hello.
const (
	helloAnswer   = 1 << iota // answer at once
	helloDraining             // I begin no transfers
	helloStrays               // I have transfers whose packets may reach others
)

const (
	notesHead  = len(notesMagic) + 1
	handedHead = 1 + 1 + 1 + 1 + 8 + 16 + 2 + 4 + 16 + 16 + 2
	// maxNotes is the longest datagram, in bytes. Linux limits what one may hold by net.core.wmem_default, 208 KiB.
	maxNotes = 48 << 10
	// maxHops is how often a request may be handed on: to each place that it may be asked for, and on if that drains.
	maxHops = 2 * maxNeighbours
)

// A handed is a client's packet that one server hands to another.
type handed struct {
	request bool   // it is a request, which must be answered by exactly one
	hops    uint8  // how often it may still be handed on
	origin  uint8  // who got it, and will get what the client says next
	home    uint8  // who answers the request if nobody knows it
	ask     uint64 // who has still to be asked whether he knows it, a bit each
	from    peer
	to      destination
	data    []byte
}

// The flags of a handed.
const (
	handedRequest = 1 << iota
	handedAsked
	handedLocal
	handedFlags = 1<<iota - 1
)

// appendHanded appends a packet to a note.
func appendHanded(b []byte, h *handed) []byte {
	flags := byte(0)
	for _, f := range [...]struct {
		set  bool
		flag byte
	}{{h.request, handedRequest}, {h.to.asked.IsValid(), handedAsked}, {h.to.local.IsValid(), handedLocal}} {
		if f.set {
			flags |= f.flag
		}
	}
	b = append(b, flags, h.hops, h.home, h.origin)
	b = binary.BigEndian.AppendUint64(b, h.ask)
	b = append(b, h.from.ip[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(h.from.port))
	b = binary.BigEndian.AppendUint32(b, h.from.scope)
	b = appendAddr(b, h.to.asked)
	b = appendAddr(b, h.to.local)
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.data)))
	return append(b, h.data...)
}

func appendAddr(b []byte, a netip.Addr) []byte {
	var ip [16]byte
	if a.IsValid() {
		ip = a.As16()
	}
	return append(b, ip[:]...)
}

// parseHanded reads one packet of a note, and returns what follows. ok is false for anything else, of which nothing is used.
func parseHanded(b []byte) (h handed, rest []byte, ok bool) {
	if len(b) < handedHead || b[0]&^handedFlags != 0 || b[3] >= maxNeighbours || b[2] >= maxNeighbours || b[1] > maxHops {
		return handed{}, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[handedHead-2:]))
	if n > maxRequestLen+1 || len(b) < handedHead+n {
		return handed{}, nil, false
	}
	h.request, h.hops, h.home, h.origin = b[0]&handedRequest != 0, b[1], b[2], b[3]
	h.ask = binary.BigEndian.Uint64(b[4:])
	copy(h.from.ip[:], b[12:])
	h.from.port = uint32(binary.BigEndian.Uint16(b[28:]))
	h.from.scope = binary.BigEndian.Uint32(b[30:])
	if h.from.scope != 0 && !isLinkLocal(&h.from.ip) {
		return handed{}, nil, false
	}
	h.to.asked = parseAddr(b[34:50], b[0]&handedAsked != 0)
	h.to.local = parseAddr(b[50:66], b[0]&handedLocal != 0)
	h.data = b[handedHead : handedHead+n]
	return h, b[handedHead+n:], true
}

func parseAddr(b []byte, there bool) netip.Addr {
	if !there {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte(b)).Unmap()
}

// note returns a datagram of a kind, for more to be appended.
func note(kind byte, more ...byte) []byte { return append(append([]byte(notesMagic), kind), more...) }

// parseNote returns the kind of a datagram, and what it says. ok is false for anything else.
func parseNote(b []byte) (kind byte, body []byte, ok bool) {
	if len(b) < notesHead || len(b) > maxNotes || string(b[:len(notesMagic)]) != notesMagic {
		return 0, nil, false
	}
	kind, body = b[len(notesMagic)], b[notesHead:]
	switch kind {
	case noteHello:
		ok = len(body) == 1
	case noteBye:
		ok = len(body) == 0
	case notePackets:
		ok = true
	}
	return kind, body, ok
}

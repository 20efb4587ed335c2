// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Opcodes of RFC 1350 and RFC 2347. The generator has a codec of its own, so that a mistake in pkg/tftp can't hide itself.
const (
	opRead  = 1
	opData  = 3
	opACK   = 4
	opError = 5
	opOACK  = 6
)

// headerLen is that of DATA and ACK.
const headerLen = 4

// defaultBlockSize holds where no block size was agreed on.
const defaultBlockSize = 512

// An ask is what a client asks for beside the file.
type ask struct {
	BlockSize  int  // 0: the option is left out
	WindowSize int  // 0 or 1: left out
	Size       bool // asks for tsize
}

func (a ask) none() bool { return a.BlockSize == 0 && a.WindowSize < 2 && !a.Size }

// newRequest is an RRQ.
func newRequest(name string, a ask) []byte {
	b := []byte{0, opRead}
	b = append(b, name+"\x00octet\x00"...)
	if a.Size {
		b = append(b, "tsize\x000\x00"...)
	}
	if a.BlockSize > 0 {
		b = fmt.Appendf(b, "blksize\x00%d\x00", a.BlockSize)
	}
	if a.WindowSize > 1 {
		b = fmt.Appendf(b, "windowsize\x00%d\x00", a.WindowSize)
	}
	return b
}

func appendACK(b []byte, block uint16) []byte {
	return binary.BigEndian.AppendUint16(append(b, 0, opACK), block)
}

func appendError(b []byte, code uint16, message string) []byte {
	b = binary.BigEndian.AppendUint16(append(b, 0, opError), code)
	return append(append(b, message...), 0)
}

// refused says whether a packet is an ERROR: it is never answered with another.
func refused(packet []byte) bool { return len(packet) > 1 && packet[0] == 0 && packet[1] == opError }

// serverError turns an ERROR packet into an error.
func serverError(packet []byte) error {
	if len(packet) < headerLen {
		return fmt.Errorf("ERROR of %d bytes", len(packet))
	}
	message, _, _ := bytes.Cut(packet[headerLen:], []byte{0})
	return fmt.Errorf("ERROR %d %q", binary.BigEndian.Uint16(packet[2:]), message)
}

// An agreement is what an OACK says. 0: the option is not in it.
type agreement struct {
	blockSize, windowSize int
	size                  int64 // -1: not in it
}

// agree reads an OACK and holds it against what was asked.
func (a ask) agree(packet []byte) (agreement, error) {
	agreed := agreement{size: -1}
	text, ended := strings.CutSuffix(string(packet[2:]), "\x00")
	words := strings.Split(text, "\x00")
	if !ended || len(words)%2 != 0 {
		return agreed, fmt.Errorf("OACK with %d words", len(words))
	}
	for i := 0; i < len(words); i += 2 {
		name := strings.ToLower(words[i])
		value, err := strconv.ParseInt(words[i+1], 10, 64)
		if err != nil {
			return agreed, fmt.Errorf("OACK with %s=%q", name, words[i+1])
		}
		switch {
		case name == "blksize" && 8 <= value && value <= int64(a.BlockSize):
			agreed.blockSize = int(value)
		case name == "windowsize" && 1 <= value && value <= int64(a.WindowSize) && a.WindowSize > 1:
			agreed.windowSize = int(value)
		case name == "tsize" && a.Size:
			agreed.size = value
		default:
			return agreed, fmt.Errorf("OACK with %s=%d, asked was %+v", name, value, a)
		}
	}
	return agreed, nil
}

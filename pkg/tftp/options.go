// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultBlockSize = 512   // bytes, without an option (RFC 1350)
	minBlockSize     = 8     // bytes (RFC 2348)
	maxBlockSize     = 65464 // bytes (RFC 2348)
	maxWindowSize    = 65535 // blocks (RFC 7440)
	maxTimeout       = 255   // seconds (RFC 2349)
	maxValueLen      = 20    // bytes: as many as the largest tsize has

	// maxWindow is the largest window that is agreed to, in blocks. With less than half of the 65536 block numbers on
	// their way, an ACK of long ago can't be taken for one of a block that is to come.
	maxWindow = 1<<15 - 1
)

// terms are what client and server agreed on.
type terms struct {
	blockSize int           // bytes
	window    int           // blocks
	timeout   time.Duration // 0: the client named none
	accepted  []Option      // as the OACK has them; empty: no OACK
}

// limits bound what a server agrees to.
type limits struct {
	blockSize int // bytes
	window    int // blocks
}

// negotiate decides on the options that a client asked for. size is the file's, in bytes; negative: not told to the client.
//
// Only what was asked is accepted, in the order asked and never with a larger value; a value that makes no sense is as
// good as not asked. The timeout is the client's to choose: U-Boot ends a transfer if it comes back changed, so that it
// is repeated or left out. GRUB compares names byte by byte, so that they go back as they came. A name that comes a
// second time is ignored (RFC 2347 allows one).
//
// Left out are multicast (RFC 2090), utimeout, which no boot loader asks for and the measured round trip makes pointless,
// and Windows' msftwindow: with it each ACK names the size of the next window, and without it the client is content with
// windowsize.
func negotiate(asked []Option, most limits, size int64) terms {
	t := terms{blockSize: defaultBlockSize, window: 1}
	seen := make([]string, 0, 4)
	for _, o := range asked {
		name := strings.ToLower(o.Name)
		switch name {
		case "blksize", "windowsize", "timeout", "tsize":
		default:
			continue
		}
		if slices.Contains(seen, name) {
			continue
		}
		seen = append(seen, name)
		n, ok := number(o.Value)
		if !ok {
			continue
		}
		switch {
		case name == "blksize" && n >= minBlockSize && n <= maxBlockSize:
			t.blockSize = min(int(n), most.blockSize)
			t.accept(o.Name, strconv.Itoa(t.blockSize))
		case name == "windowsize" && n >= 1 && n <= maxWindowSize:
			t.window = min(int(n), most.window, maxWindow)
			t.accept(o.Name, strconv.Itoa(t.window))
		case name == "timeout" && n >= 1 && n <= maxTimeout:
			t.timeout = time.Duration(n) * time.Second
			t.accept(o.Name, o.Value)
		case name == "tsize" && size >= 0:
			// The value asked with means nothing, but is 0 from all that follow RFC 2349.
			t.accept(o.Name, strconv.FormatInt(size, 10))
		}
	}
	return t
}

func (t *terms) accept(name, value string) {
	t.accepted = append(t.accepted, Option{name, value})
}

// number reads a decimal number without a sign. Zeros may lead, but not so many that a timeout, which goes back as it came,
// makes the OACK longer than a packet may be.
func number(s string) (uint64, bool) {
	if len(s) > maxValueLen {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

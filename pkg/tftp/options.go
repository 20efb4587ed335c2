// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
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
func negotiate(asked []Option, most limits, size int64) terms {
	t := terms{blockSize: defaultBlockSize, window: 1}
	seen := make(map[string]bool, len(asked))
	for _, o := range asked {
		name := strings.ToLower(o.Name)
		if seen[name] {
			continue
		}
		seen[name] = true
		switch name {
		case "blksize":
			if n, ok := number(o.Value, minBlockSize, maxBlockSize); ok {
				t.blockSize = min(n, most.blockSize)
				t.accept(o.Name, strconv.Itoa(t.blockSize))
			}
		case "windowsize":
			if n, ok := number(o.Value, 1, maxWindowSize); ok {
				t.window = min(n, most.window)
				t.accept(o.Name, strconv.Itoa(t.window))
			}
		case "timeout":
			if n, ok := number(o.Value, 1, maxTimeout); ok {
				t.timeout = time.Duration(n) * time.Second
				t.accept(o.Name, o.Value)
			}
		case "tsize":
			// The value asked with means nothing, but is 0 from all that follow RFC 2349.
			if _, err := strconv.ParseUint(o.Value, 10, 64); err == nil && size >= 0 {
				t.accept(o.Name, strconv.FormatInt(size, 10))
			}
		}
	}
	return t
}

func (t *terms) accept(name, value string) {
	t.accepted = append(t.accepted, Option{name, value})
}

// number reads a decimal number without a sign between least and most.
func number(s string, least, most int) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < uint64(least) || n > uint64(most) {
		return 0, false
	}
	return int(n), true
}

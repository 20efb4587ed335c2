// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"testing"
)

// Files of more blocks than there are numbers arrive whole, in both ways of counting on.
func TestRollover(t *testing.T) {
	oack := []Option{{"blksize", "8"}}
	for name, tc := range map[string]struct {
		terms      terms
		size       int
		skipZero   bool
		loader     loader
		lose       map[int]bool
		loseACK    map[int]bool
		wantResent int64
	}{
		"from 65535 to 0, twice":             {terms: terms{blockSize: 8, window: 1}, size: 140_000 * 8},
		"from 65535 to 1, twice":             {terms: terms{blockSize: 8, window: 1}, size: 140_000 * 8, skipZero: true},
		"to 0 within a window":               {terms: terms{blockSize: 8, window: 7, accepted: oack}, size: 70_000*8 + 1},
		"to 1 within a window":               {terms: terms{blockSize: 8, window: 7, accepted: oack}, size: 70_000*8 + 1, skipZero: true},
		"to 0 at the end of a window":        {terms: terms{blockSize: 8, window: 5, accepted: oack}, size: 70_000 * 8},
		"the largest window, to 0":           {terms: terms{blockSize: 8, window: maxWindow, accepted: oack}, size: 200_000 * 8},
		"the largest window, to 1":           {terms: terms{blockSize: 8, window: maxWindow, accepted: oack}, size: 200_000 * 8, skipZero: true},
		"the last block has number 65535":    {terms: terms{blockSize: 8, window: 1}, size: 65_535*8 - 1},
		"the last block has number 0":        {terms: terms{blockSize: 8, window: 1}, size: 65_536*8 - 1},
		"the last block has number 1, again": {terms: terms{blockSize: 8, window: 1}, size: 65_536*8 - 1, skipZero: true},
		"block 65535 lost": {
			terms: terms{blockSize: 8, window: 1}, size: 66_000 * 8, lose: lost(65_535), wantResent: 1,
		},
		"block 65536 lost, to 0": {
			terms: terms{blockSize: 8, window: 1}, size: 66_000 * 8, lose: lost(65_536), wantResent: 1,
		},
		"block 65536 lost, to 1": {
			terms: terms{blockSize: 8, window: 1}, size: 66_000 * 8, lose: lost(65_536), wantResent: 1, skipZero: true,
		},
		"ACK of block 65536 lost, to 0": {
			terms: terms{blockSize: 8, window: 1}, size: 66_000 * 8, loseACK: lost(65_536), wantResent: 1,
		},
		"ACK of block 65535 lost, to 1": {
			terms: terms{blockSize: 8, window: 1}, size: 66_000 * 8, loseACK: lost(65_535), wantResent: 1, skipZero: true,
		},
		"block 65536 lost at the end of a window": {
			terms: terms{blockSize: 8, window: 8, accepted: oack}, size: 66_000 * 8, lose: lost(1 + 65_536), wantResent: 8,
		},
		"block 65538 lost, second in a window, to 1": {
			terms: terms{blockSize: 8, window: 8, accepted: oack}, size: 66_000 * 8, lose: lost(1 + 65_538), wantResent: 7,
			skipZero: true,
		},
		"each ACK twice": {terms: terms{blockSize: 8, window: 1}, size: 66_000 * 8, loader: loader{every: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sc := scene{
				terms: tc.terms, file: contents(tc.size), skipZero: tc.skipZero, loader: tc.loader,
				down: link{delay: 50 * us, lose: tc.lose}, up: link{delay: 50 * us, lose: tc.loseACK},
			}

			n, err := sc.play()

			if err != nil {
				t.Fatal(err)
			}
			if n.server.outcome != OutcomeComplete || n.server.resent != tc.wantResent {
				t.Errorf("%q, %d packets sent again, want %d", n.server.outcome, n.server.resent, tc.wantResent)
			}
			if !bytes.Equal(n.loader.got, sc.file) {
				t.Errorf("loader got %d bytes that are not the file's %d", len(n.loader.got), len(sc.file))
			}
		})
	}
}

func TestNumber(t *testing.T) {
	for name, tc := range map[string]struct {
		skipZero bool
		want     map[int64]uint16
	}{
		"to 0": {false, map[int64]uint16{0: 0, 1: 1, 65_535: 65_535, 65_536: 0, 65_537: 1, 131_072: 0, 1 << 40: 0}},
		"to 1": {true, map[int64]uint16{0: 0, 1: 1, 65_535: 65_535, 65_536: 1, 65_537: 2, 131_070: 65_535, 131_071: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			x := transfer{skipZero: tc.skipZero}
			for block, want := range tc.want {
				if got := x.number(block); got != want {
					t.Errorf("number(%d) = %d, want %d", block, got, want)
				}
			}
		})
	}
}

// What a number means depends on the block that it comes after.
func TestAhead(t *testing.T) {
	for name, skipZero := range map[string]bool{"to 0": false, "to 1": true} {
		t.Run(name, func(t *testing.T) {
			for _, acked := range []int64{-1, 0, 1, 65_534, 65_535, 65_536, 65_537, 131_069, 131_070, 131_071, 131_072, 1 << 33} {
				x := transfer{skipZero: skipZero, acked: acked}
				for _, ahead := range []int64{0, 1, 2, 7, 63, maxWindow} {
					if acked < 0 && ahead == 0 {
						continue // nothing has that number
					}
					if got := x.ahead(x.number(acked + ahead)); got != ahead {
						t.Errorf("%d + %d has number %d, which is taken to be %d ahead", acked, ahead, x.number(acked+ahead), got)
					}
				}
				for _, ago := range []int64{1, 2, 63, maxWindow} {
					if got := x.ahead(x.number(acked - ago)); acked > ago && got <= maxWindow {
						t.Errorf("%d - %d is taken to be %d ahead", acked, ago, got)
					}
				}
			}
		})
	}
	x := transfer{skipZero: true, acked: 65_530}
	if got := x.ahead(0); got <= maxWindow {
		t.Errorf("number 0, which no block has, is taken to be %d ahead", got)
	}
}

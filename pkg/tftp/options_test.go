// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The rules; what each client asks for is in TestQuirks.
func TestNegotiate(t *testing.T) {
	plain := terms{blockSize: 512, window: 1}
	for name, tc := range map[string]struct {
		asked []Option
		most  limits // zero: 1468 bytes, 64 blocks
		size  int64  // zero: 1000 bytes
		empty bool   // the size is 0
		want  terms
	}{
		"no options": {want: plain},
		"all, in the order asked": {
			asked: []Option{{"windowsize", "4"}, {"tsize", "0"}, {"timeout", "5"}, {"blksize", "1024"}},
			want: terms{
				blockSize: 1024, window: 4, timeout: 5 * time.Second,
				accepted: []Option{{"windowsize", "4"}, {"tsize", "1000"}, {"timeout", "5"}, {"blksize", "1024"}},
			},
		},
		"what nobody knows is left out of the middle": {
			asked: []Option{{"tsize", "0"}, {"rollover", "1"}, {"", ""}, {"multicast", ""}, {"blksize", "600"}},
			want:  terms{blockSize: 600, window: 1, accepted: []Option{{"tsize", "1000"}, {"blksize", "600"}}},
		},
		"only what nobody knows: no OACK": {
			asked: []Option{{"", ""}, {"rollover", "1"}, {"utimeout", "100000"}, {"msftwindow", "31416"}, {"multicast", ""}},
			want:  plain,
		},
		"names in any case come back as they were": {
			asked: []Option{{"BLKSIZE", "512"}, {"TSize", "0"}},
			want:  terms{blockSize: 512, window: 1, accepted: []Option{{"BLKSIZE", "512"}, {"TSize", "1000"}}},
		},
		"second value of an option": {
			asked: []Option{{"blksize", "600"}, {"BlkSize", "700"}},
			want:  terms{blockSize: 600, window: 1, accepted: []Option{{"blksize", "600"}}},
		},
		"nonsense, then the same again": {asked: []Option{{"blksize", "x"}, {"blksize", "600"}}, want: plain},

		"smallest block": {
			asked: []Option{{"blksize", "8"}},
			want:  terms{blockSize: 8, window: 1, accepted: []Option{{"blksize", "8"}}},
		},
		"largest block": {
			asked: []Option{{"blksize", "65464"}}, most: limits{blockSize: 65464, window: 1},
			want: terms{blockSize: 65464, window: 1, accepted: []Option{{"blksize", "65464"}}},
		},
		"block above the limit": {
			asked: []Option{{"blksize", "65464"}},
			want:  terms{blockSize: 1468, window: 1, accepted: []Option{{"blksize", "1468"}}},
		},
		"block above a small limit": {
			asked: []Option{{"blksize", "1468"}}, most: limits{blockSize: 128, window: 1},
			want: terms{blockSize: 128, window: 1, accepted: []Option{{"blksize", "128"}}},
		},
		"limit below 512, not asked: RFC 1350 has no other size": {most: limits{blockSize: 128, window: 1}, want: plain},
		"limit beyond all bounds": {
			asked: []Option{{"blksize", "1024"}, {"windowsize", "8"}}, most: limits{blockSize: math.MaxInt, window: math.MaxInt},
			want: terms{blockSize: 1024, window: 8, accepted: []Option{{"blksize", "1024"}, {"windowsize", "8"}}},
		},
		"window above the limit": {
			asked: []Option{{"windowsize", "65535"}},
			want:  terms{blockSize: 512, window: 64, accepted: []Option{{"windowsize", "64"}}},
		},
		"window of 1": {
			asked: []Option{{"windowsize", "1"}},
			want:  terms{blockSize: 512, window: 1, accepted: []Option{{"windowsize", "1"}}},
		},
		"window of as many blocks as have numbers": {
			asked: []Option{{"windowsize", "65535"}}, most: limits{blockSize: 512, window: 65535},
			want: terms{blockSize: 512, window: 32767, accepted: []Option{{"windowsize", "32767"}}},
		},
		"smallest timeout": {
			asked: []Option{{"timeout", "1"}},
			want:  terms{blockSize: 512, window: 1, timeout: time.Second, accepted: []Option{{"timeout", "1"}}},
		},
		"largest timeout": {
			asked: []Option{{"timeout", "255"}},
			want:  terms{blockSize: 512, window: 1, timeout: 255 * time.Second, accepted: []Option{{"timeout", "255"}}},
		},
		"size 0": {
			asked: []Option{{"tsize", "0"}}, empty: true,
			want: terms{blockSize: 512, window: 1, accepted: []Option{{"tsize", "0"}}},
		},
		"size beyond 32 bits": {
			asked: []Option{{"tsize", "0"}}, size: 1 << 40,
			want: terms{blockSize: 512, window: 1, accepted: []Option{{"tsize", "1099511627776"}}},
		},
		"size asked with a number": {
			asked: []Option{{"tsize", "18446744073709551615"}},
			want:  terms{blockSize: 512, window: 1, accepted: []Option{{"tsize", "1000"}}},
		},
		"size asked with nonsense": {asked: []Option{{"tsize", "x"}}, want: plain},
		"size not known":           {asked: []Option{{"tsize", "0"}}, size: UnknownSize, want: plain},
		"size not known, but the rest is": {
			asked: []Option{{"tsize", "0"}, {"blksize", "600"}}, size: UnknownSize,
			want: terms{blockSize: 600, window: 1, accepted: []Option{{"blksize", "600"}}},
		},

		"zeros lead": {
			asked: []Option{{"blksize", "0600"}, {"timeout", "0005"}},
			want: terms{
				blockSize: 600, window: 1, timeout: 5 * time.Second,
				accepted: []Option{{"blksize", "600"}, {"timeout", "0005"}},
			},
		},
		"zeros lead for ever":        {asked: []Option{{"timeout", strings.Repeat("0", 1000) + "5"}}, want: plain},
		"blksize 0":                  {asked: []Option{{"blksize", "0"}}, want: plain},
		"blksize below 8":            {asked: []Option{{"blksize", "7"}}, want: plain},
		"blksize above 65464":        {asked: []Option{{"blksize", "65465"}}, want: plain},
		"blksize negative":           {asked: []Option{{"blksize", "-1"}}, want: plain},
		"blksize with a plus":        {asked: []Option{{"blksize", "+512"}}, want: plain},
		"blksize in hex":             {asked: []Option{{"blksize", "0x10"}}, want: plain},
		"blksize with an underscore": {asked: []Option{{"blksize", "1_024"}}, want: plain},
		"blksize in words":           {asked: []Option{{"blksize", "abc"}}, want: plain},
		"blksize with a space":       {asked: []Option{{"blksize", " 512"}}, want: plain},
		"blksize with a line end":    {asked: []Option{{"blksize", "512\n"}}, want: plain},
		"blksize not whole":          {asked: []Option{{"blksize", "512.0"}}, want: plain},
		"blksize in other digits":    {asked: []Option{{"blksize", "٥١٢"}}, want: plain},
		"blksize empty":              {asked: []Option{{"blksize", ""}}, want: plain},
		"blksize 99999999999":        {asked: []Option{{"blksize", "99999999999"}}, want: plain},
		"blksize beyond any integer": {asked: []Option{{"blksize", "99999999999999999999"}}, want: plain},
		"windowsize 0":               {asked: []Option{{"windowsize", "0"}}, want: plain},
		"windowsize above 65535":     {asked: []Option{{"windowsize", "65536"}}, want: plain},
		"windowsize negative":        {asked: []Option{{"windowsize", "-4"}}, want: plain},
		"timeout 0":                  {asked: []Option{{"timeout", "0"}}, want: plain},
		"timeout above 255":          {asked: []Option{{"timeout", "256"}}, want: plain},
		"timeout negative":           {asked: []Option{{"timeout", "-1"}}, want: plain},
		"timeout not whole":          {asked: []Option{{"timeout", "0.5"}}, want: plain},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.most == (limits{}) {
				tc.most = limits{blockSize: 1468, window: 64}
			}
			if tc.size == 0 && !tc.empty {
				tc.size = 1000
			}
			got := negotiate(tc.asked, tc.most, tc.size)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(terms{})); diff != "" {
				t.Errorf("negotiate() (-want +got):\n%s", diff)
			}
			checkTerms(t, tc.asked, tc.most, tc.size, got)
		})
	}
}

// checkTerms fails the test if terms break a rule, whatever was asked for.
func checkTerms(t *testing.T, asked []Option, most limits, size int64, got terms) {
	t.Helper()
	rest := asked // what may still be accepted, for the order is that of asking
	for _, o := range got.accepted {
		at := 0
		for at < len(rest) && rest[at].Name != o.Name {
			at++
		}
		if at == len(rest) {
			t.Errorf("%v was not asked for, or not in this order: %q", o, asked)
			return
		}
		value := rest[at].Value
		rest = rest[at+1:]
		was, ok := number(value)
		is, _ := number(o.Value)
		switch name := strings.ToLower(o.Name); {
		case !ok:
			t.Errorf("%v accepted, %q asked", o, value)
		case name == "timeout" && o.Value != value:
			t.Errorf("%v is not the %q that was asked for", o, value)
		case name == "tsize" && (size < 0 || is != uint64(size)):
			t.Errorf("%v, and the size is %d", o, size)
		case name != "tsize" && is > was:
			t.Errorf("%v is more than the %q that was asked for", o, value)
		case name == "blksize" && (is != uint64(got.blockSize) || got.blockSize > most.blockSize):
			t.Errorf("%v, and blocks of %d, at most %d", o, got.blockSize, most.blockSize)
		case name == "windowsize" && (is != uint64(got.window) || got.window > most.window):
			t.Errorf("%v, and windows of %d, at most %d", o, got.window, most.window)
		}
	}
	if got.blockSize < minBlockSize || got.blockSize > maxBlockSize || got.window < 1 || got.window > maxWindow {
		t.Errorf("agreed on %+v", got)
	}
	if n := len(newOACK(got.accepted)); n > defaultBlockSize {
		t.Errorf("OACK of %d bytes, want %d at most", n, defaultBlockSize)
	}
}

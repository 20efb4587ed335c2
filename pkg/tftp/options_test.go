// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNegotiate(t *testing.T) {
	plain := terms{blockSize: 512, window: 1}
	for name, tc := range map[string]struct {
		asked []Option
		most  limits // zero: 1468 bytes, 64 blocks
		size  int64  // zero: 1000 bytes
		want  terms
	}{
		"no options": {want: plain},
		"UEFI, size probe": {
			asked: []Option{{"tsize", "0"}, {"blksize", "1468"}, {"windowsize", "4"}},
			want: terms{
				blockSize: 1468, window: 4,
				accepted: []Option{{"tsize", "1000"}, {"blksize", "1468"}, {"windowsize", "4"}},
			},
		},
		"UEFI, read without tsize": {
			asked: []Option{{"blksize", "1468"}, {"windowsize", "4"}},
			want:  terms{blockSize: 1468, window: 4, accepted: []Option{{"blksize", "1468"}, {"windowsize", "4"}}},
		},
		"early UEFI, blksize 65464": {
			asked: []Option{{"blksize", "65464"}},
			want:  terms{blockSize: 1468, window: 1, accepted: []Option{{"blksize", "1468"}}},
		},
		"shim": {
			asked: []Option{{"blksize", "512"}, {"windowsize", "4"}},
			want:  terms{blockSize: 512, window: 4, accepted: []Option{{"blksize", "512"}, {"windowsize", "4"}}},
		},
		"GRUB": {
			asked: []Option{{"blksize", "1024"}, {"tsize", "0"}},
			want:  terms{blockSize: 1024, window: 1, accepted: []Option{{"blksize", "1024"}, {"tsize", "1000"}}},
		},
		"PXELINUX": {
			asked: []Option{{"tsize", "0"}, {"blksize", "1408"}},
			want:  terms{blockSize: 1408, window: 1, accepted: []Option{{"tsize", "1000"}, {"blksize", "1408"}}},
		},
		"iPXE, multicast too": {
			asked: []Option{{"blksize", "1432"}, {"tsize", "0"}, {"multicast", ""}},
			want:  terms{blockSize: 1432, window: 1, accepted: []Option{{"blksize", "1432"}, {"tsize", "1000"}}},
		},
		"U-Boot, timeout comes back unchanged": {
			asked: []Option{{"timeout", "5"}, {"blksize", "16384"}, {"windowsize", "16"}},
			want: terms{
				blockSize: 1468, window: 16, timeout: 5 * time.Second,
				accepted: []Option{{"timeout", "5"}, {"blksize", "1468"}, {"windowsize", "16"}},
			},
		},
		"Raspberry Pi": {
			asked: []Option{{"tsize", "0"}, {"blksize", "1024"}},
			want:  terms{blockSize: 1024, window: 1, accepted: []Option{{"tsize", "1000"}, {"blksize", "1024"}}},
		},
		"Windows, its own option left out": {
			asked: []Option{{"tsize", "0"}, {"blksize", "4096"}, {"windowsize", "4"}, {"msftwindow", "31416"}},
			want: terms{
				blockSize: 1468, window: 4,
				accepted: []Option{{"tsize", "1000"}, {"blksize", "1468"}, {"windowsize", "4"}},
			},
		},
		"legacy PXE ROM": {
			asked: []Option{{"blksize", "1456"}},
			want:  terms{blockSize: 1456, window: 1, accepted: []Option{{"blksize", "1456"}}},
		},
		"network gear, limit raised": {
			asked: []Option{{"blksize", "8192"}}, most: limits{blockSize: 65464, window: 64},
			want: terms{blockSize: 8192, window: 1, accepted: []Option{{"blksize", "8192"}}},
		},
		"u-root": {
			asked: []Option{{"blksize", "1450"}, {"windowsize", "64"}},
			want:  terms{blockSize: 1450, window: 64, accepted: []Option{{"blksize", "1450"}, {"windowsize", "64"}}},
		},
		"names in any case come back as they were": {
			asked: []Option{{"BLKSIZE", "512"}, {"TSize", "0"}},
			want:  terms{blockSize: 512, window: 1, accepted: []Option{{"BLKSIZE", "512"}, {"TSize", "1000"}}},
		},
		"window above the limit": {
			asked: []Option{{"windowsize", "65535"}},
			want:  terms{blockSize: 512, window: 64, accepted: []Option{{"windowsize", "64"}}},
		},
		"smallest block": {
			asked: []Option{{"blksize", "8"}},
			want:  terms{blockSize: 8, window: 1, accepted: []Option{{"blksize", "8"}}},
		},
		"limit below 512, not asked": {most: limits{blockSize: 128, window: 1}, want: plain},
		"second value of an option": {
			asked: []Option{{"blksize", "600"}, {"BlkSize", "700"}},
			want:  terms{blockSize: 600, window: 1, accepted: []Option{{"blksize", "600"}}},
		},
		"largest timeout": {
			asked: []Option{{"timeout", "255"}},
			want:  terms{blockSize: 512, window: 1, timeout: 255 * time.Second, accepted: []Option{{"timeout", "255"}}},
		},
		"tsize asked with a number": {
			asked: []Option{{"tsize", "18446744073709551615"}},
			want:  terms{blockSize: 512, window: 1, accepted: []Option{{"tsize", "1000"}}},
		},
		"tsize asked with nonsense":     {asked: []Option{{"tsize", "x"}}, want: plain},
		"tsize of a size not known":     {asked: []Option{{"tsize", "0"}}, size: UnknownSize, want: plain},
		"blksize below 8":               {asked: []Option{{"blksize", "7"}}, want: plain},
		"blksize above 65464":           {asked: []Option{{"blksize", "65465"}}, want: plain},
		"blksize negative":              {asked: []Option{{"blksize", "-1"}}, want: plain},
		"blksize with a plus":           {asked: []Option{{"blksize", "+512"}}, want: plain},
		"blksize in hex":                {asked: []Option{{"blksize", "0x10"}}, want: plain},
		"blksize in words":              {asked: []Option{{"blksize", "abc"}}, want: plain},
		"blksize with a space":          {asked: []Option{{"blksize", " 512"}}, want: plain},
		"blksize empty":                 {asked: []Option{{"blksize", ""}}, want: plain},
		"blksize beyond any integer":    {asked: []Option{{"blksize", "99999999999999999999"}}, want: plain},
		"windowsize 0":                  {asked: []Option{{"windowsize", "0"}}, want: plain},
		"windowsize above 65535":        {asked: []Option{{"windowsize", "65536"}}, want: plain},
		"timeout 0":                     {asked: []Option{{"timeout", "0"}}, want: plain},
		"timeout above 255":             {asked: []Option{{"timeout", "256"}}, want: plain},
		"options that nobody knows":     {asked: []Option{{"", ""}, {"rollover", "1"}, {"utimeout", "1"}}, want: plain},
		"nonsense, then the same again": {asked: []Option{{"blksize", "x"}, {"blksize", "600"}}, want: plain},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.most == (limits{}) {
				tc.most = limits{blockSize: 1468, window: 64}
			}
			if tc.size == 0 {
				tc.size = 1000
			}
			got := negotiate(tc.asked, tc.most, tc.size)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(terms{})); diff != "" {
				t.Errorf("negotiate() (-want +got):\n%s", diff)
			}
		})
	}
}

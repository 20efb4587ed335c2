// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"math/rand/v2"
	"testing"
	"time"
)

const us = time.Microsecond

// lan is a way of 50 us at 1 Gb/s. Of its packets some are lost, and some are overtaken by one or two others.
func lan(loss, late float64) link {
	return link{delay: 50 * us, spacing: 12 * us, loss: loss, late: late, lateBy: 20 * us}
}

// A lossy or shuffling network, and EDK2's way of acknowledging each block that comes out of order, must not make the server
// send much more than what was lost. The bounds are for the bytes sent, over those of the file, in the worst of the seeds.
func TestStorm(t *testing.T) {
	slow, slowest := edk2(), edk2()
	slow.work, slowest.work = 100*us, ms
	for name, tc := range map[string]struct {
		window int
		way    link // down and up
		loader loader
		want   float64
	}{
		"windows of 4":                                {4, lan(0, 0), edk2(), 1.01},
		"windows of 4, 1 % overtaken":                 {4, lan(0, 0.01), edk2(), 1.05},
		"windows of 4, 1 % lost":                      {4, lan(0.01, 0), edk2(), 1.1},
		"windows of 4, 1 % lost, 1 % overtaken":       {4, lan(0.01, 0.01), edk2(), 1.3},
		"windows of 4, 5 % lost, 1 % overtaken":       {4, lan(0.05, 0.01), edk2(), 1.4},
		"windows of 4, 5 % lost, 5 % overtaken":       {4, lan(0.05, 0.05), edk2(), 2},
		"slow loader, 1 % lost, 1 % overtaken":        {4, lan(0.01, 0.01), slow, 1.3},
		"slow loader, 5 % lost, 5 % overtaken":        {4, lan(0.05, 0.05), slow, 2},
		"slowest loader, 1 % lost, 1 % overtaken":     {4, lan(0.01, 0.01), slowest, 1.3},
		"U-Boot, windows of 4, 1 % lost":              {4, lan(0.01, 0.01), uboot(), 1.3},
		"u-root, windows of 4, 1 % lost":              {4, lan(0.01, 0.01), uroot(), 1.3},
		"windows of 16, 1 % lost, 1 % overtaken":      {16, lan(0.01, 0.01), edk2(), 1.4},
		"windows of 16, slow, 5 % far overtaken":      {16, link{delay: 50 * us, spacing: 12 * us, late: 0.05, lateBy: 100 * us}, slow, 2.3},
		"windows of 64, 1 % lost":                     {64, lan(0.01, 0), edk2(), 2.5},
		"windows of 64, slow, 5 % far overtaken":      {64, link{delay: 50 * us, spacing: 12 * us, late: 0.05, lateBy: 100 * us}, slow, 6},
		"windows of 4, each shuffled":                 {4, link{delay: 50 * us, spacing: 12 * us, jitter: 30 * us}, edk2(), 2},
		"windows of 16, 1 % doubled":                  {16, link{delay: 50 * us, spacing: 12 * us, twice: 0.01}, edk2(), 1.2},
		"lock-step, 5 % doubled, lost and overtaken":  {1, link{delay: 50 * us, loss: 0.05, twice: 0.05, late: 0.05, lateBy: ms}, edk2(), 1.2},
		"RTT 1 ms, windows of 4, 1 % lost, overtaken": {4, link{delay: ms / 2, spacing: 12 * us, loss: 0.01, late: 0.01, lateBy: ms}, edk2(), 1.3},
		"RTT 1 ms, windows of 4, 5 % lost, overtaken": {4, link{delay: ms / 2, spacing: 12 * us, loss: 0.05, late: 0.01, lateBy: ms}, edk2(), 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := contents(1 << 19)
			worst, longest := 0.0, time.Duration(0)
			for seed := range uint64(10) {
				n, err := scene{
					terms: terms{blockSize: 1468, window: tc.window, accepted: []Option{{"blksize", "1468"}}},
					file:  file, down: tc.way, up: tc.way, loader: tc.loader, seed: seed,
				}.play()
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if !n.loader.complete {
					t.Errorf("seed %d: loader has %d blocks, outcome %q", seed, n.loader.blocks, n.server.outcome)
				}
				worst = max(worst, float64(n.server.bytes)/float64(len(file)))
				longest = max(longest, n.now)
			}
			t.Logf("bytes sent: at most %.3f of the file's; took at most %v", worst, longest)
			if worst > tc.want {
				t.Errorf("bytes sent: %.3f of the file's, want %.2f at most", worst, tc.want)
			}
		})
	}
}

// One block overtakes another, or one is lost, and nothing else ever happens: the server sends what was not taken again, and
// is then in step with a loader that counts its windows anew from each ACK.
func TestOneMishapIsOverSoon(t *testing.T) {
	for name, tc := range map[string]struct {
		window int
		loader loader
	}{
		"EDK2":                {4, edk2()},
		"EDK2, slow":          {4, loader{work: 100 * us}},
		"EDK2, windows of 16": {16, edk2()},
		"U-Boot":              {16, uboot()},
		"u-root":              {64, uroot()},
	} {
		t.Run(name, func(t *testing.T) {
			for packet := 2; packet < 2+2*tc.window; packet++ {
				for _, lost := range []bool{true, false} {
					way := link{delay: 50 * us, spacing: 12 * us}
					if lost {
						way.lose = map[int]bool{packet: true}
					} else {
						way.slow = map[int]time.Duration{packet: 20 * us}
					}
					n, err := scene{
						terms: terms{blockSize: 512, window: tc.window, accepted: []Option{{"blksize", "512"}}},
						file:  contents(512 * 300), down: way, up: link{delay: 50 * us}, loader: tc.loader,
					}.play()
					if err != nil {
						t.Fatalf("packet %d: %v", packet, err)
					}
					if most := int64(2 * tc.window); n.server.outcome != OutcomeComplete || n.server.resent > most {
						t.Errorf("packet %d, lost %v: %q, %d blocks sent again, want %d at most",
							packet, lost, n.server.outcome, n.server.resent, most)
					}
				}
			}
		})
	}
}

// The time that 4 MiB take in lock-step, with a loader that has no timer, over a network that loses packets both ways.
func TestPassiveLoader(t *testing.T) {
	for name, tc := range map[string]struct {
		loss float64
		want time.Duration // on average
	}{
		"1 % lost each way": {0.01, 5 * time.Second},
		"5 % lost each way": {0.05, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := contents(4 << 20)
			const seeds = 10
			var sum, longest time.Duration
			for seed := range uint64(seeds) {
				way := link{delay: 50 * us, loss: tc.loss}
				n, err := scene{
					terms: terms{blockSize: 1468, window: 1, accepted: []Option{{"blksize", "1468"}}},
					file:  file, down: way, up: way, seed: seed,
				}.play()
				if err != nil || !n.loader.complete {
					t.Fatalf("seed %d: %v, loader has all: %v", seed, err, n.loader.complete)
				}
				took := n.loader.completeAt
				sum += took
				longest = max(longest, took)
			}
			t.Logf("on average %v, at most %v", sum/seeds, longest)
			if sum/seeds > tc.want {
				t.Errorf("took %v on average, want %v at most", sum/seeds, tc.want)
			}
		})
	}
}

// Anything may happen to any kind of loader: the transfer ends, sends nothing that was not asked for, and the file arrives.
func TestAnyNetwork(t *testing.T) {
	loaders := map[string]func() loader{
		"EDK2": edk2, "GRUB": grub, "PXELINUX": pxelinux, "iPXE": ipxe, "U-Boot": uboot, "u-root": uroot,
		"passive":       func() loader { return loader{} },
		"passive, slow": func() loader { return loader{work: 300 * us} },
		"silent":        func() loader { return loader{silent: true} },
		"probe":         func() loader { return loader{abort: map[int]ErrorCode{1: CodeOptionRefused}} },
	}
	for name, kind := range loaders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			worst := 0.0
			for seed := range uint64(100) {
				r := rand.New(rand.NewPCG(seed, 2))
				sc := anyScene(r)
				sc.loader = kind()
				n, err := sc.play()
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				blocks, o := len(sc.file)/8+1, n.server.outcome
				all := o == OutcomeComplete || o == OutcomeLastACKLost
				switch {
				case name == "silent" && o != OutcomeTimeout, name == "probe" && all:
					t.Errorf("seed %d: %q", seed, o)
				case name != "silent" && name != "probe" && (!all || !n.loader.complete):
					t.Errorf("seed %d: %q, loader has %d of %d blocks", seed, o, n.loader.blocks, blocks)
				}
				// To go back for a block costs a window. More than each block's window is sent only to one that is gone.
				most := 40 + (blocks+40)*(1+sc.terms.window)
				worst = max(worst, float64(n.server.packets)/float64(blocks))
				if n.server.packets > most {
					t.Errorf("seed %d: %d packets for %d blocks, want %d at most", seed, n.server.packets, blocks, most)
				}
			}
			t.Logf("at most %.1f packets a block", worst)
		})
	}
}

// anyScene returns a scene without a loader.
func anyScene(r *rand.Rand) scene {
	way := func() link {
		l := link{
			delay: time.Duration(r.IntN(20_000)) * us, spacing: time.Duration(r.IntN(100)) * us,
			loss: r.Float64() * 0.08, twice: r.Float64() * 0.05, late: r.Float64() * 0.1,
		}
		l.lateBy = time.Duration(r.Float64() * 2 * float64(l.delay))
		if r.IntN(4) == 0 {
			l.jitter = l.delay
		}
		return l
	}
	sc := scene{
		terms: terms{blockSize: 8, window: 1}, file: contents(r.IntN(8 * 300)),
		down: way(), up: way(), seed: r.Uint64(), skipZero: r.IntN(2) == 0, unsized: r.IntN(3) == 0,
	}
	if r.IntN(3) > 0 {
		sc.terms.accepted = []Option{{"blksize", "8"}}
		sc.terms.window = []int{1, 4, 16, 64}[r.IntN(4)]
	}
	if r.IntN(2) == 0 { // data comes in pieces of 64 blocks
		late := time.Duration(r.IntN(2000)) * ms
		sc.there = func(block int64) time.Duration { return time.Duration(block/64) * late }
	}
	return sc
}

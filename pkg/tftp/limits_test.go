// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// booksOf returns the books of a server with the given options.
func booksOf(t testing.TB, o Options) *books {
	t.Helper()
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return newBooks(o)
}

// moment returns a time that is d after the one at which all of these tests begin.
func moment(d time.Duration) time.Time { return time.Unix(1_000_000_000, 0).Add(d) }

func TestAdmit(t *testing.T) {
	const second = time.Second
	// A visit is a request, or the end of one of the same address.
	type visit struct {
		from string
		at   time.Duration
		ends bool
		want string // the reason to drop it; empty: it is admitted
	}
	for name, tc := range map[string]struct {
		options Options
		visits  []visit
	}{
		"no limits": {
			visits: []visit{{from: "192.0.2.1:1"}, {from: "192.0.2.1:2"}, {from: "[2001:db8::1]:1"}},
		},
		"transfers": {
			options: Options{MaxTransfers: 2},
			visits: []visit{
				{from: "192.0.2.1:1"}, {from: "192.0.2.2:1"}, {from: "192.0.2.3:1", want: "transfers"},
				{from: "192.0.2.1:1", ends: true}, {from: "192.0.2.3:1"}, {from: "192.0.2.1:1", want: "transfers"},
			},
		},
		"transfers of a client": {
			options: Options{MaxTransfersPerClient: 2},
			visits: []visit{
				{from: "192.0.2.1:1"}, {from: "192.0.2.1:2"}, {from: "192.0.2.1:3", want: "client-transfers"},
				{from: "192.0.2.2:3"}, {from: "192.0.2.1:1", ends: true}, {from: "192.0.2.1:3"},
				{from: "192.0.2.1:4", want: "client-transfers"},
			},
		},
		"an IPv6 client is a /64": {
			options: Options{MaxTransfersPerClient: 1},
			visits: []visit{
				{from: "[2001:db8:0:1::1]:1"}, {from: "[2001:db8:0:1:ffff::2]:1", want: "client-transfers"},
				{from: "[2001:db8:0:2::1]:1"}, {from: "[2001:db8:0:1:abcd::]:1", ends: true}, {from: "[2001:db8:0:1::2]:1"},
			},
		},
		"neighbours on a link are clients of their own": {
			options: Options{MaxTransfersPerClient: 1},
			visits: []visit{
				{from: "[fe80::1%eth0]:1"}, {from: "[fe80::2%eth0]:1"}, {from: "[fe80::1%eth1]:1"},
				{from: "[fe80::1%eth0]:2", want: "client-transfers"},
			},
		},
		"rate": {
			options: Options{MaxRequestsPerSecond: 2},
			visits: []visit{
				{from: "192.0.2.1:1"}, {from: "192.0.2.2:1"}, {from: "192.0.2.3:1", want: "rate"},
				{from: "192.0.2.3:1", at: second / 2}, {from: "192.0.2.4:1", at: second / 2, want: "rate"},
				{from: "192.0.2.4:1", at: 2 * second}, {from: "192.0.2.5:1", at: 2 * second},
				{from: "192.0.2.6:1", at: 2 * second, want: "rate"},
			},
		},
		"a clock that is a little behind": {
			options: Options{MaxRequestsPerSecond: 1},
			visits:  []visit{{from: "192.0.2.1:1", at: second}, {from: "192.0.2.2:1", at: second - 1, want: "rate"}},
		},
		"rate of a client": {
			options: Options{MaxRequestsPerClient: 1},
			visits: []visit{
				{from: "192.0.2.1:1"}, {from: "192.0.2.1:2", want: "client-rate"}, {from: "192.0.2.2:1"},
				{from: "[2001:db8::1]:1"}, {from: "[2001:db8::2]:1", want: "client-rate"},
				{from: "192.0.2.1:2", at: second},
			},
		},
		"the excess of one client takes nothing from others": {
			options: Options{MaxRequestsPerClient: 1, MaxRequestsPerSecond: 2},
			visits: []visit{
				{from: "192.0.2.1:1"}, {from: "192.0.2.1:2", want: "client-rate"}, {from: "192.0.2.1:3", want: "client-rate"},
				{from: "192.0.2.2:1"}, {from: "192.0.2.3:1", want: "rate"},
			},
		},
		"a request that a cap drops does not count for the rate": {
			options: Options{MaxTransfers: 1, MaxRequestsPerSecond: 2},
			visits: []visit{
				{from: "192.0.2.1:1"}, {from: "192.0.2.2:1", want: "transfers"}, {from: "192.0.2.1:1", ends: true},
				{from: "192.0.2.2:1"},
			},
		},
		"networks": {
			options: Options{AllowedNetworks: []netip.Prefix{
				netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10"),
			}},
			visits: []visit{
				{from: "192.0.2.255:1"}, {from: "192.0.3.0:1", want: "network"}, {from: "[fe80::1%eth0]:1"},
				{from: "[2001:db8::1]:1", want: "network"},
			},
		},
		"every IPv4 address, as IPv6 has it": {
			options: Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("::ffff:0:0/96")}},
			visits:  []visit{{from: "192.0.2.1:1"}, {from: "[2001:db8::1]:1", want: "network"}},
		},
		"sources": {
			options: Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
			visits:  []visit{{from: "192.0.2.1:69", want: "source"}, {from: "224.0.0.1:1", want: "source"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := booksOf(t, tc.options)
			for i, v := range tc.visits {
				from := netip.MustParseAddrPort(v.from)
				if v.ends {
					b.release(from.Addr())
					continue
				}
				reason, ok := b.admit(from, moment(v.at))
				var got string
				if !ok {
					got = reason.String()
				}
				if got != v.want {
					t.Errorf("visit %d of %s at %v: dropped for %q, want %q", i, v.from, v.at, got, v.want)
				}
			}
		})
	}
}

// TestBooksEndAtZero admits and releases at random, compares with plain counting, and looks at what is left at the end.
func TestBooksEndAtZero(t *testing.T) {
	const most, mostOfOne = 40, 3
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		b := booksOf(t, Options{MaxTransfers: most, MaxTransfersPerClient: mostOfOne})
		var held []netip.Addr
		counts := map[netip.Addr]int{}
		for step := range 5000 {
			if len(held) > 0 && random.IntN(2) == 0 {
				i := random.IntN(len(held))
				b.release(held[i])
				counts[clientOf(held[i])]--
				held[i] = held[len(held)-1]
				held = held[:len(held)-1]
				continue
			}
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(30))})
			if random.IntN(2) == 0 {
				addr = netip.AddrFrom16([16]byte{0x20, 1, 7: byte(random.IntN(10)), 15: byte(random.IntN(256))})
			}
			_, ok := b.admit(netip.AddrPortFrom(addr, 2070), moment(0))
			if want := len(held) < most && counts[clientOf(addr)] < mostOfOne; ok != want {
				t.Fatalf("seed %d, step %d: admitted %v, want %v", seed, step, ok, want)
			}
			if ok {
				held = append(held, addr)
				counts[clientOf(addr)]++
			}
		}
		for _, addr := range held {
			b.release(addr)
		}
		if b.transfers != 0 || len(b.perClient) != 0 {
			t.Errorf("seed %d: at the end %d transfers are counted, and for clients %v", seed, b.transfers, b.perClient)
		}
	}
}

// TestBooksAreShared is for the race detector, and holds the caps against several shards at once.
func TestBooksAreShared(t *testing.T) {
	const most = 50
	b := booksOf(t, Options{
		MaxTransfers: most, MaxTransfersPerClient: 5, MaxRequestsPerSecond: 1 << 20, MaxRequestsPerClient: 1 << 20,
	})
	var shards sync.WaitGroup
	for shard := range uint64(8) {
		shards.Go(func() {
			random := rand.New(rand.NewPCG(shard, 1))
			var held []netip.Addr
			for range 3000 {
				addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(20))})
				now := moment(time.Duration(random.IntN(1000)) * time.Millisecond)
				switch random.IntN(4) {
				case 0:
					b.proved(addr, now)
				case 1:
					b.afford(addr, 20, 0, 516, now)
				default:
					if _, ok := b.admit(netip.AddrPortFrom(addr, 2070), now); ok {
						held = append(held, addr)
					}
				}
				if len(held) > 3 {
					b.release(held[0])
					held = held[1:]
				}
				b.mu.Lock()
				if b.transfers > most {
					t.Errorf("%d transfers, want %d at most", b.transfers, most)
				}
				b.mu.Unlock()
			}
			for _, addr := range held {
				b.release(addr)
			}
		})
	}
	shards.Wait()
	if b.transfers != 0 || len(b.perClient) != 0 {
		t.Errorf("at the end %d transfers are counted, and for clients %v", b.transfers, b.perClient)
	}
}

func TestAfford(t *testing.T) {
	const minute = time.Minute
	client, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	type packet struct {
		to                 netip.Addr
		asked, answered, n int
		at                 time.Duration
		want               bool
	}
	for name, tc := range map[string]struct {
		proved  netip.Addr // at the start
		packets []packet   // the budget is 2048 bytes at once
	}{
		"three times the request is free": {
			packets: []packet{
				{to: client, asked: 20, n: 60, want: true}, {to: client, asked: 2000, n: 6000, want: true},
				{to: client, asked: 10, answered: 10, n: 20, want: true}, {to: client, asked: 700, n: 2100 + 2048, want: true},
				{to: client, asked: 20, n: 60, want: true}, {to: client, asked: 20, n: 61},
			},
		},
		"what is beyond is charged once": {
			packets: []packet{
				{to: client, asked: 20, n: 516, want: true}, {to: client, asked: 20, answered: 516, n: 516, want: true}, // 456 + 516
				{to: other, asked: 20, n: 516, want: true}, {to: other, asked: 20, answered: 516, n: 516, want: true}, // 1944
				{to: other, asked: 20, n: 165}, {to: other, asked: 20, n: 164, want: true}, {to: other, asked: 20, n: 61},
			},
		},
		"the budget comes back": {
			packets: []packet{
				{to: client, n: 2048, want: true}, {to: client, n: 1}, {to: client, n: 513, at: time.Second / 2},
				{to: client, n: 512, at: time.Second / 2, want: true}, {to: client, n: 2049, at: minute},
				{to: client, n: 2048, at: minute, want: true},
			},
		},
		"who answered before is exempt, for ten minutes": {
			proved: client,
			packets: []packet{
				{to: client, n: 100_000, want: true}, {to: other, n: 100_000}, {to: client, n: 100_000, at: 10*minute - 1, want: true},
				{to: client, n: 100_000, at: 10 * minute},
			},
		},
		"not so its neighbours in a /64": {
			proved:  netip.MustParseAddr("2001:db8::1"),
			packets: []packet{{to: netip.MustParseAddr("2001:db8::2"), n: 100_000}, {to: netip.MustParseAddr("2001:db8::1"), n: 100_000, want: true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := booksOf(t, Options{MaxUnprovenBytesPerSecond: 1024})
			if tc.proved.IsValid() {
				b.proved(tc.proved, moment(0))
			}
			for i, p := range tc.packets {
				if got := b.afford(p.to, p.asked, p.answered, p.n, moment(p.at)); got != p.want {
					t.Errorf("packet %d of %d bytes to %v at %v: afforded %v, want %v", i, p.n, p.to, p.at, got, p.want)
				}
			}
		})
	}
}

// TestForgedAddressesFillNothing has more addresses come by than are remembered, and one that comes by again and again.
func TestForgedAddressesFillNothing(t *testing.T) {
	b := booksOf(t, Options{MaxRequestsPerClient: 1, MaxTransfers: 1 << 20})
	faithful := netip.MustParseAddr("2001:db8::1")
	b.proved(faithful, moment(0))
	for i := range 5 * rememberAtMost {
		forged := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		b.proved(forged, moment(0))
		if _, ok := b.admit(netip.AddrPortFrom(forged, 2070), moment(0)); !ok {
			t.Fatalf("%v was dropped", forged)
		}
		if i%1000 == 0 && !b.afford(faithful, 0, 0, 1<<30, moment(0)) {
			t.Fatalf("the address that answered is forgotten after %d others", i)
		}
	}
	for name, n := range map[string]int{
		"addresses that answered": len(b.proven.young) + len(b.proven.old),
		"rates":                   len(b.rates.young) + len(b.rates.old),
	} {
		if n > rememberAtMost || n < rememberAtMost/2 {
			t.Errorf("%d %s are remembered, want %d to %d", n, name, rememberAtMost/2, rememberAtMost)
		}
	}
}

func TestRecentKeepsTheNewest(t *testing.T) {
	const size = 10
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
	for last := range 30 {
		r := newRecent[int](size)
		for i := range last + 1 {
			r.put(addr(i), -1)
			r.put(addr(i), i)
		}
		for i := max(0, last+1-size/2); i <= last; i++ {
			if got, ok := r.get(addr(i)); got != i || !ok {
				t.Errorf("of %d addresses, number %d has %d, %v", last+1, i, got, ok)
			}
		}
	}
}

func TestAnswerable(t *testing.T) {
	for source, want := range map[string]bool{
		"192.0.2.1:2070": true, "[2001:db8::1]:68": true, "[fe80::1%eth0]:1024": true, "127.0.0.1:1": true,
		"192.0.2.1:0": false, "192.0.2.1:7": false, "192.0.2.1:19": false, "192.0.2.1:53": false, "192.0.2.1:69": false,
		"192.0.2.1:123": false, "[2001:db8::1]:69": false, "224.0.0.1:2070": false, "[ff02::1]:2070": false,
		"255.255.255.255:2070": false, "0.0.0.0:2070": false, "[::]:2070": false,
	} {
		if got := answerable(netip.MustParseAddrPort(source)); got != want {
			t.Errorf("answerable(%s) = %v, want %v", source, got, want)
		}
	}
	if answerable(netip.AddrPortFrom(netip.Addr{}, 2070)) {
		t.Error("no address at all is answerable")
	}
}

func TestClientOf(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":             "192.0.2.1",
		"2001:db8:1:2:3:4:5:6":  "2001:db8:1:2::",
		"fd00::1":               "fd00::",
		"fe80::1%eth0":          "fe80::1%eth0",
		"2001:db8:1:2:3::%eth0": "2001:db8:1:2::",
	} {
		if got := clientOf(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("clientOf(%s) = %v, want %s", addr, got, want)
		}
	}
}

func BenchmarkAdmitAndRelease(b *testing.B) {
	for name, o := range map[string]Options{
		"defaults":   {},
		"all limits": {MaxTransfersPerClient: 1000, MaxRequestsPerSecond: 1 << 20, MaxRequestsPerClient: 1 << 20},
	} {
		b.Run(name, func(b *testing.B) {
			books := booksOf(b, o)
			now := time.Now()
			client := netip.MustParseAddrPort("192.0.2.1:2070")
			b.ReportAllocs()
			for i := range b.N {
				if reason, ok := books.admit(client, now.Add(time.Duration(i)*time.Millisecond)); !ok {
					b.Fatal(reason)
				}
				books.release(client.Addr())
			}
		})
	}
}

func TestDropReasonsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for r := range dropReasons {
		if text := fmt.Sprint(r); text == "" || seen[text] {
			t.Errorf("reason %d is %q, which is empty or not the first", uint8(r), text)
		}
		seen[r.String()] = true
	}
}

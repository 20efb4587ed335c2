// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkWireSend is the cost of a packet, by how many are sent to a client at once. On loopback it includes that of the
// delivery, up to a client that drops all.
func BenchmarkWireSend(b *testing.B) {
	header, block := make([]byte, headerLen), make([]byte, 1468)
	for _, name := range []string{"segments", "batches", "singly", "portable"} {
		for _, window := range []int{1, 4, 16, 64} {
			b.Run(fmt.Sprintf("%s/window=%d", name, window), func(b *testing.B) {
				w := openWired(b, wireKinds()[name], "udp", ":0")
				routes := make([]*route, 16)
				for i := range routes {
					client := newProbe(b)
					client.send(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.port), "question")
					_, _, routes[i] = w.take(b)
					dropAll(b, client.conn)
				}
				b.ReportAllocs()
				packets := 0
				for b.Loop() {
					for _, r := range routes {
						for range window {
							w.queue(r, header, block, nil)
						}
					}
					w.flush()
					packets += window * len(routes)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
			})
		}
	}
}

// dropAll attaches a filter that lets nothing through.
func dropAll(b *testing.B, conn *net.UDPConn) {
	b.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	none := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	if err := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(none)), Filter: &none[0]})
	}); err != nil {
		b.Fatal(err)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// systemWires returns the ways of a linuxWire, and the smallest one.
func systemWires() map[string]func(*net.UDPConn) (wire, error) {
	in := func(mode sendMode) func(*net.UDPConn) (wire, error) {
		return func(conn *net.UDPConn) (wire, error) { return newWireInMode(conn, kernel{}, mode) }
	}
	return map[string]func(*net.UDPConn) (wire, error){
		"segments": in(sendSegments),
		"batches":  in(sendBatches),
		"singly":   in(sendSingly),
		"poll":     func(conn *net.UDPConn) (wire, error) { return newPollWire(conn, batch, kernel{}) },
		"one":      func(conn *net.UDPConn) (wire, error) { return newLinuxWire(conn, 1, kernel{}) },
	}
}

// brokenCalls refuses messages. Like the system, it sends those before the first that it refuses, and does not tell why it
// stopped until it is asked again.
type brokenCalls struct {
	kernel

	refuse  func(refused int, m *unix.Msghdr) syscall.Errno // refused is how often it did
	refused int
}

func (b *brokenCalls) sendmsg(fd uintptr, m *unix.Msghdr) syscall.Errno {
	if errno := b.refuse(b.refused, m); errno != 0 {
		b.refused++
		return errno
	}
	return b.kernel.sendmsg(fd, m)
}

func (b *brokenCalls) sendmmsg(fd uintptr, m []mmsghdr) (int, syscall.Errno) {
	if errno := b.refuse(b.refused, &m[0].Msghdr); errno != 0 {
		b.refused++
		return 0, errno
	}
	n := 1
	for n < len(m) && b.refuse(b.refused, &m[n].Msghdr) == 0 {
		n++
	}
	return b.kernel.sendmmsg(fd, m[:n])
}

// segmented says whether a message is to be cut into packets.
func segmented(m *unix.Msghdr) bool {
	for rest := unsafe.Slice(m.Control, m.Controllen); len(rest) > 0; {
		h, _, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return false
		}
		if h.Level == unix.SOL_UDP && h.Type == unix.UDP_SEGMENT {
			return true
		}
		rest = next
	}
	return false
}

// Three clients are sent a window each. What the system refuses of one does the others no harm.
func TestWireIsRefused(t *testing.T) {
	const window = 3
	whole := []string{"a0", "a1", "a2"}
	port := func(m *unix.Msghdr) uint32 { return peerOf((*unix.RawSockaddrInet6)(unsafe.Pointer(m.Name))).port }
	for name, tc := range map[string]struct {
		mode sendMode
		// refuse is told how often it did, and whether a message is the second client's.
		refuse   func(refused int, second bool, m *unix.Msghdr) syscall.Errno
		wantLost int // of the second client's packets, the first ones
		wantMode sendMode
	}{
		"nothing": {
			sendSegments, func(int, bool, *unix.Msghdr) syscall.Errno { return 0 }, 0, sendSegments,
		},
		"segments, by the network card": {
			sendSegments,
			func(_ int, _ bool, m *unix.Msghdr) syscall.Errno { return when(segmented(m), unix.EIO) }, 0, sendBatches,
		},
		"segments, by the second client's network card": {
			sendSegments,
			func(_ int, second bool, m *unix.Msghdr) syscall.Errno { return when(second && segmented(m), unix.EIO) },
			0, sendBatches,
		},
		"segments, as they don't fit the way": {
			sendSegments,
			func(_ int, second bool, m *unix.Msghdr) syscall.Errno {
				return when(second && segmented(m), unix.EINVAL)
			},
			0, sendSegments,
		},
		"segments, as they are too large": {
			sendSegments,
			func(_ int, second bool, m *unix.Msghdr) syscall.Errno {
				return when(second && segmented(m), unix.EMSGSIZE)
			},
			0, sendSegments,
		},
		"segments, and then the first single packet": {
			sendSegments, func(refused int, second bool, _ *unix.Msghdr) syscall.Errno {
				return when(second && refused < 2, unix.EINVAL)
			}, 1, sendSegments,
		},
		"a client, for good, in segments": {
			sendSegments, func(_ int, second bool, _ *unix.Msghdr) syscall.Errno { return when(second, unix.ENETUNREACH) },
			window, sendSegments,
		},
		"a client, for good, in batches": {
			sendBatches, func(_ int, second bool, _ *unix.Msghdr) syscall.Errno { return when(second, unix.EIO) },
			window, sendBatches,
		},
		"a client, for good, singly": {
			sendSingly, func(_ int, second bool, _ *unix.Msghdr) syscall.Errno { return when(second, unix.EPERM) },
			window, sendSingly,
		},
		"a packet, for want of memory": {
			sendBatches, func(refused int, second bool, _ *unix.Msghdr) syscall.Errno {
				return when(second && refused == 0, unix.ENOBUFS)
			}, 1, sendBatches,
		},
		"a packet, by a firewall that is not ready": {
			sendBatches, func(refused int, second bool, _ *unix.Msghdr) syscall.Errno {
				return when(second && refused == 0, unix.EPERM)
			}, 0, sendBatches,
		},
		"a packet, by a firewall": {
			sendBatches, func(refused int, second bool, _ *unix.Msghdr) syscall.Errno {
				return when(second && refused < 2, unix.EPERM)
			}, 1, sendBatches,
		},
		"a packet, for a signal": {
			sendSingly, func(refused int, _ bool, _ *unix.Msghdr) syscall.Errno { return when(refused < 5, unix.EINTR) },
			0, sendSingly,
		},
		"a packet, as there is no room yet": {
			sendBatches, func(refused int, second bool, _ *unix.Msghdr) syscall.Errno {
				return when(second && refused < 3, unix.EAGAIN)
			}, 0, sendBatches,
		},
		"a client, as there is never room": {
			sendBatches, func(_ int, second bool, _ *unix.Msghdr) syscall.Errno { return when(second, unix.EAGAIN) },
			window, sendBatches,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var secondPort uint32
			broken := &brokenCalls{refuse: func(refused int, m *unix.Msghdr) syscall.Errno {
				return tc.refuse(refused, port(m) == secondPort, m)
			}}
			w := openWired(t, func(conn *net.UDPConn) (wire, error) { return newWireInMode(conn, broken, tc.mode) }, "udp", ":0")
			var clients [3]*probe
			for i := range clients {
				clients[i] = newProbe(t)
				clients[i].send(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.port), "question")
				_, _, r := w.take(t)
				if i == 1 {
					secondPort = r.peer.port
				}
				for _, s := range whole {
					w.queue(r, []byte(s), nil, nil)
				}
			}
			w.flush()
			secondPort = 0 // it is well again
			for i, c := range clients {
				r := &route{peer: peer{ip: netip.MustParseAddr("127.0.0.1").As16(),
					port: uint32(c.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())}}
				w.queue(r, []byte("end"), nil, nil)
				w.flush()
				want := append(slices.Clone(whole), "end")
				if i == 1 {
					want = want[tc.wantLost:]
				}
				var got []string
				for len(got) == 0 || got[len(got)-1] != "end" {
					packet, _ := c.hear()
					got = append(got, packet)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("client %d heard (-want +got):\n%s", i+1, diff)
				}
			}
			if got := w.wire.(*linuxWire).mode; got != tc.wantMode {
				t.Errorf("then sends by %v, want %v", got, tc.wantMode)
			}
		})
	}
}

func when(b bool, errno syscall.Errno) syscall.Errno {
	if b {
		return errno
	}
	return 0
}

// How many calls a flush takes, and how many bytes the messages of each have.
func TestWireGroups(t *testing.T) {
	window := func(n, length int) [][]byte { return slices.Repeat([][]byte{make([]byte, length)}, n) }
	for name, tc := range map[string]struct {
		mode    sendMode
		packets [][]byte // to each of two clients
		want    [][]int
	}{
		"segments, a window":       {sendSegments, window(16, 1000), [][]int{{16_000, 16_000}}},
		"segments, a short end":    {sendSegments, append(window(3, 1000), make([]byte, 7)), [][]int{{3007, 3007}}},
		"segments, a long end":     {sendSegments, append(window(3, 1000), make([]byte, 1001)), [][]int{{3000, 1001, 3000, 1001}}},
		"segments, at most 64":     {sendSegments, window(70, 100), [][]int{{6400, 600, 6400, 600}}},
		"segments, at most 65 000": {sendSegments, window(8, 8192), [][]int{{57_344, 8192, 57_344, 8192}}},
		"batches":                  {sendBatches, window(3, 1000), [][]int{{1000, 1000, 1000, 1000, 1000, 1000}}},
		"batches, at most 64":      {sendBatches, window(33, 1), [][]int{slices.Repeat([]int{1}, 64), {1, 1}}},
		"singly":                   {sendSingly, window(2, 1000), [][]int{{1000}, {1000}, {1000}, {1000}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := &countedCalls{}
			w := openWired(t, func(conn *net.UDPConn) (wire, error) { return newWireInMode(conn, c, tc.mode) }, "udp", ":0")
			for range 2 {
				client := newProbe(t)
				client.send(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.port), "question")
				_, _, r := w.take(t)
				for _, p := range tc.packets {
					w.queue(r, p[:1], p[1:], nil)
				}
			}
			w.flush()
			if diff := cmp.Diff(tc.want, c.bytes); diff != "" {
				t.Errorf("bytes in messages in calls (-want +got):\n%s", diff)
			}
			for _, v := range w.wire.(*linuxWire).vectors[:3*len(tc.packets)] {
				if v.Base != nil {
					t.Fatal("the wire holds on to payloads")
				}
			}
		})
	}
}

// countedCalls notes the length of each message of each call.
type countedCalls struct {
	kernel

	bytes [][]int
}

func (c *countedCalls) sendmsg(fd uintptr, m *unix.Msghdr) syscall.Errno {
	c.bytes = append(c.bytes, []int{lengthOf(m)})
	return c.kernel.sendmsg(fd, m)
}

func (c *countedCalls) sendmmsg(fd uintptr, m []mmsghdr) (int, syscall.Errno) {
	var lengths []int
	for i := range m {
		lengths = append(lengths, lengthOf(&m[i].Msghdr))
	}
	c.bytes = append(c.bytes, lengths)
	return c.kernel.sendmmsg(fd, m)
}

func lengthOf(m *unix.Msghdr) (n int) {
	for _, v := range unsafe.Slice(m.Iov, m.Iovlen) {
		n += int(v.Len)
	}
	return n
}

func newWireInMode(conn *net.UDPConn, c calls, mode sendMode) (wire, error) {
	w, err := newLinuxWire(conn, batch, c)
	if err != nil {
		return nil, err
	}
	w.mode = min(w.mode, mode)
	return w, nil
}

// Link-local clients are told apart by interface, and are sent to by it.
func TestWireAddresses(t *testing.T) {
	ip := func(s string) [16]byte { return netip.MustParseAddr(s).As16() }
	any4, any6 := socket{four: true}, socket{}
	for name, tc := range map[string]struct {
		socket     socket
		route      route
		wantName   unix.Sockaddr
		wantSource any // nil: the system chooses
	}{
		"IPv4": {
			any4, route{peer{ip("192.0.2.7"), 1069, 0}, ip("192.0.2.1")},
			&unix.SockaddrInet4{Port: 1069, Addr: [4]byte{192, 0, 2, 7}}, unix.Inet4Pktinfo{Spec_dst: [4]byte{192, 0, 2, 1}},
		},
		"IPv4, from anywhere": {
			any4, route{peer: peer{ip("192.0.2.7"), 1069, 0}},
			&unix.SockaddrInet4{Port: 1069, Addr: [4]byte{192, 0, 2, 7}}, nil,
		},
		"IPv4, from where it is bound": {
			socket{four: true, bound: ip("192.0.2.1")}, route{peer{ip("192.0.2.7"), 1069, 0}, ip("192.0.2.1")},
			&unix.SockaddrInet4{Port: 1069, Addr: [4]byte{192, 0, 2, 7}}, nil,
		},
		"IPv4, from anywhere, although bound": {
			socket{four: true, bound: ip("192.0.2.1")}, route{peer: peer{ip("192.0.2.7"), 1069, 0}},
			&unix.SockaddrInet4{Port: 1069, Addr: [4]byte{192, 0, 2, 7}}, nil,
		},
		"IPv4 on a dual-stack socket": {
			any6, route{peer{ip("192.0.2.7"), 1069, 0}, ip("192.0.2.1")},
			&unix.SockaddrInet6{Port: 1069, Addr: ip("192.0.2.7")}, unix.Inet6Pktinfo{Addr: ip("192.0.2.1")},
		},
		"IPv6": {
			any6, route{peer{ip("2001:db8::7"), 65535, 0}, ip("2001:db8::1")},
			&unix.SockaddrInet6{Port: 65535, Addr: ip("2001:db8::7")}, unix.Inet6Pktinfo{Addr: ip("2001:db8::1")},
		},
		"IPv6, from anywhere": {
			any6, route{peer: peer{ip("2001:db8::7"), 1069, 0}},
			&unix.SockaddrInet6{Port: 1069, Addr: ip("2001:db8::7")}, nil,
		},
		"link-local": {
			any6, route{peer{ip("fe80::7"), 1069, 3}, ip("fe80::1")},
			&unix.SockaddrInet6{Port: 1069, Addr: ip("fe80::7"), ZoneId: 3}, unix.Inet6Pktinfo{Addr: ip("fe80::1"), Ifindex: 3},
		},
		"link-local, from a global address": {
			any6, route{peer{ip("fe80::7"), 1069, 3}, ip("2001:db8::1")},
			&unix.SockaddrInet6{Port: 1069, Addr: ip("fe80::7"), ZoneId: 3}, unix.Inet6Pktinfo{Addr: ip("2001:db8::1")},
		},
		"link-local, asked by multicast": {
			any6, route{peer: peer{ip("febf::7"), 1069, 3}},
			&unix.SockaddrInet6{Port: 1069, Addr: ip("febf::7"), ZoneId: 3}, nil,
		},
		// The interface is not known, and the system takes no such source without.
		"global, asked at a link-local address": {
			any6, route{peer{ip("2001:db8::7"), 1069, 0}, ip("fe80::1")},
			&unix.SockaddrInet6{Port: 1069, Addr: ip("2001:db8::7")}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newOutbox(1, nil, tc.socket, nil, sendSegments)
			b.queue(&tc.route, []byte("packet"), nil, nil)
			if diff := cmp.Diff(tc.wantName, sockaddrOf(&b.names[0]), cmpopts.IgnoreUnexported(unix.SockaddrInet4{}, unix.SockaddrInet6{})); diff != "" {
				t.Errorf("name (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantSource, sourceOf(&b.headers[0].Msghdr)); diff != "" {
				t.Errorf("source (-want +got):\n%s", diff)
			}
			if got := peerOf(&b.names[0]); got != tc.route.peer {
				t.Errorf("peerOf() = %v, want %v", got, tc.route.peer)
			}
		})
	}
}

func sockaddrOf(name *unix.RawSockaddrInet6) unix.Sockaddr {
	port := int(name.Port>>8 | name.Port<<8)
	if name.Family == unix.AF_INET {
		return &unix.SockaddrInet4{Port: port, Addr: (*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr}
	}
	return &unix.SockaddrInet6{Port: port, Addr: name.Addr, ZoneId: name.Scope_id}
}

// sourceOf returns the control message of m that says where it comes from.
func sourceOf(m *unix.Msghdr) any {
	if m.Controllen == 0 {
		return nil
	}
	h, data, _, err := unix.ParseOneSocketControlMessage(unsafe.Slice(m.Control, m.Controllen))
	switch {
	case err != nil:
		return err
	case h.Level == unix.SOL_IP && h.Type == unix.IP_PKTINFO:
		return *(*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
	case h.Level == unix.SOL_IPV6 && h.Type == unix.IPV6_PKTINFO:
		return *(*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
	}
	return h
}

// Only a global address has no interface: what comes from elsewhere must not make one client look like two.
func TestPeerScope(t *testing.T) {
	for name, tc := range map[string]struct {
		addr string
		want uint32
	}{
		"link-local": {"fe80::7", 9}, "the last of those": {"febf::7", 9}, "global": {"2001:db8::7", 0}, "site-local": {"fec0::7", 0},
		"IPv4": {"::ffff:192.0.2.7", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := peerOf(&unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: netip.MustParseAddr(tc.addr).As16(), Scope_id: 9})
			if got.scope != tc.want {
				t.Errorf("scope = %d, want %d", got.scope, tc.want)
			}
		})
	}
}

// A look without a wait goes nowhere near the poller, whose deadlines allocate.
func TestWirePolls(t *testing.T) {
	w := openWired(t, func(conn *net.UDPConn) (wire, error) { return openWire(conn, batch) }, "udp", ":0")
	if n := testing.AllocsPerRun(100, func() {
		if datagrams, err := w.receive(0); err != nil || len(datagrams) != 0 {
			t.Errorf("receive() = %v, %v", datagrams, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestWireOverflows(t *testing.T) {
	w := openWired(t, func(conn *net.UDPConn) (wire, error) { return newPollWire(conn, batch, kernel{}) }, "udp", ":0")
	fd := w.wire.(*pollWire).socket.fd
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil { // the system makes it its least
		t.Fatal(err)
	}
	client := newProbe(t)
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.port)
	const sent = 100
	want := uint64(0)
	for range 2 {
		for range sent {
			client.send(to, "packet")
		}
		received := 0
		for {
			datagrams, err := w.receive(0)
			if err != nil {
				t.Fatal(err)
			}
			if len(datagrams) == 0 {
				break
			}
			received += len(datagrams)
		}
		want += uint64(sent - received)
		client.send(to, "one that tells of those before")
		w.take(t)
		if got := w.overflowed(); got != want || received == sent {
			t.Errorf("received %d of %d, overflowed() = %d, want %d", received, sent, got, want)
		}
	}
}

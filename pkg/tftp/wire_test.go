// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wireKinds returns what opens each kind of wire that this system has.
func wireKinds() map[string]func(conn *net.UDPConn) (wire, error) {
	kinds := systemWires()
	kinds["portable"] = func(conn *net.UDPConn) (wire, error) { return newPortableWire(conn), nil }
	return kinds
}

// A wired is a wire with its socket.
type wired struct {
	wire
	conn *net.UDPConn
	port uint16
	end  func() // closes both, once
}

func openWired(t testing.TB, open func(*net.UDPConn) (wire, error), network, address string) *wired {
	t.Helper()
	var config net.ListenConfig
	c, err := config.ListenPacket(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	conn := c.(*net.UDPConn)
	port := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	enlarge(conn)
	w, err := open(conn)
	if err != nil {
		t.Fatal(err)
	}
	wired := &wired{wire: w, conn: conn, port: port}
	wired.end = sync.OnceFunc(func() {
		_ = conn.Close()
		w.close()
	})
	t.Cleanup(wired.end)
	return wired
}

// take returns the next datagram and the way back to its sender, as copies.
func (w *wired) take(t testing.TB) (string, destination, *route) {
	t.Helper()
	datagrams, err := w.receive(patience)
	if err != nil {
		t.Fatal(err)
	}
	if len(datagrams) != 1 {
		t.Fatalf("receive() returned %d datagrams, want 1", len(datagrams))
	}
	to := w.destination(0)
	r := &route{peer: datagrams[0].from}
	if to.local.IsValid() {
		r.local = to.local.As16()
	}
	return string(datagrams[0].data), to, r
}

// A probe is a client's socket.
type probe struct {
	t    testing.TB
	conn *net.UDPConn
	buf  []byte
}

func newProbe(t testing.TB) *probe {
	t.Helper()
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &probe{t, conn, make([]byte, 1<<16)}
}

func (p *probe) send(to netip.AddrPort, packet string) {
	p.t.Helper()
	if _, err := p.conn.WriteToUDPAddrPort([]byte(packet), to); err != nil {
		p.t.Fatal(err)
	}
}

// hear returns the next packet and where it came from.
func (p *probe) hear() (string, netip.AddrPort) {
	p.t.Helper()
	n, from, err := p.conn.ReadFromUDPAddrPort(p.buf)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(p.buf[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// A request that is sent to an address is answered from there, whatever the socket is bound to.
func TestWireAnswersFromTheAddressAsked(t *testing.T) {
	type row struct{ network, bind, ask, wantAsked, wantFrom string }
	table := map[string]row{
		"IPv4":                            {"udp4", "0.0.0.0:0", "127.0.0.1", "127.0.0.1", "127.0.0.1"},
		"IPv4, another address":           {"udp4", "0.0.0.0:0", "127.0.0.2", "127.0.0.2", "127.0.0.2"},
		"IPv4, broadcast":                 {"udp4", "0.0.0.0:0", "127.255.255.255", "127.255.255.255", "127.0.0.1"},
		"IPv4, bound to the address":      {"udp4", "127.0.0.2:0", "127.0.0.2", "127.0.0.2", "127.0.0.2"},
		"dual, IPv4":                      {"udp", ":0", "127.0.0.1", "127.0.0.1", "127.0.0.1"},
		"dual, IPv4, another address":     {"udp", ":0", "127.0.0.2", "127.0.0.2", "127.0.0.2"},
		"dual, IPv4, broadcast":           {"udp", ":0", "127.255.255.255", "127.255.255.255", "127.0.0.1"},
		"dual, IPv6":                      {"udp", ":0", "::1", "::1", "::1"},
		"IPv6 only":                       {"udp6", "[::]:0", "::1", "::1", "::1"},
		"IPv6, bound to the address":      {"udp6", "[::1]:0", "::1", "::1", "::1"},
		"IPv4 in its form in IPv6, bound": {"udp", "[::ffff:127.0.0.2]:0", "127.0.0.2", "127.0.0.2", "127.0.0.2"},
	}
	for _, a := range linkLocals(t) { // where there are any
		table["link-local "+a.String()] = row{"udp", ":0", a.String(), a.WithZone("").String(), a.String()}
	}
	for name, tc := range table {
		t.Run(name, func(t *testing.T) {
			for name, open := range wireKinds() {
				t.Run(name, func(t *testing.T) {
					w := openWired(t, open, tc.network, tc.bind)
					client := newProbe(t)
					client.send(netip.AddrPortFrom(netip.MustParseAddr(tc.ask), w.port), "question")
					packet, to, r := w.take(t)
					if packet != "question" {
						t.Errorf("received %q", packet)
					}
					if to.asked.String() != tc.wantAsked {
						t.Errorf("asked = %v, want %s", to.asked, tc.wantAsked)
					}
					if got := client.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port(); uint32(got) != r.peer.port {
						t.Errorf("client's port = %d, want %d", r.peer.port, got)
					}
					w.queue(r, []byte("answer"), nil, nil)
					w.flush()
					answer, from := client.hear()
					if want := netip.AddrPortFrom(netip.MustParseAddr(tc.wantFrom), w.port); answer != "answer" || from != want {
						t.Errorf("client heard %q from %v, want it from %v", answer, from, want)
					}
				})
			}
		})
	}
}

// linkLocals returns this host's addresses of that kind, with their zones.
func linkLocals(t *testing.T) (addrs []netip.Addr) {
	t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		all, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			if addr := netip.MustParsePrefix(a.String()).Addr(); addr.Is6() && addr.IsLinkLocalUnicast() {
				addrs = append(addrs, addr.WithZone(i.Name))
			}
		}
	}
	return addrs
}

// Packets arrive as they were queued, in that order, however the wire groups them.
func TestWireSends(t *testing.T) {
	// Each packet is a header, whose bytes tell them apart, and two parts.
	window := func(n, one, two int) (packets [][3]string) {
		for i := range n {
			packets = append(packets, [3]string{fmt.Sprintf("%04d", i), strings.Repeat("a", one), strings.Repeat("b", two)})
		}
		return packets
	}
	join := func(windows ...[][3]string) (packets [][3]string) {
		for _, w := range windows {
			packets = append(packets, w...)
		}
		return packets
	}
	for name, packets := range map[string][][3]string{
		"a header alone":                      window(1, 0, 0),
		"a header of many bytes":              {{strings.Repeat("x", 600), "", ""}, {"y", "", ""}},
		"a block in one part":                 window(1, 512, 0),
		"a block in two parts":                window(1, 500, 12),
		"a block in the second part":          window(1, 0, 512),
		"a window":                            window(16, 1468, 0),
		"a window in two parts":               window(16, 1000, 468),
		"a window with a short last block":    join(window(15, 1468, 0), window(1, 7, 0)),
		"a window with an empty last block":   join(window(15, 512, 0), window(1, 0, 0)),
		"a window after a short block":        join(window(3, 512, 0), window(1, 7, 0), window(3, 512, 0)),
		"a window of short blocks at the end": join(window(3, 512, 0), window(3, 7, 0)),
		"longer and longer":                   join(window(2, 8, 0), window(2, 16, 3), window(2, 32, 0)),
		"more than a message may hold":        window(130, 8, 0),
		"more bytes than a message may hold":  window(10, 8192, 0),
		"blocks that become fragments":        window(2, 60_000, 5000),
	} {
		t.Run(name, func(t *testing.T) {
			for name, open := range wireKinds() {
				t.Run(name, func(t *testing.T) {
					w := openWired(t, open, "udp", ":0")
					for _, host := range []string{"127.0.0.1", "::1"} {
						client := newProbe(t)
						client.send(netip.AddrPortFrom(netip.MustParseAddr(host), w.port), "question")
						_, _, r := w.take(t)
						var want, got []string
						for _, p := range packets {
							header := []byte(p[0])
							w.queue(r, header, []byte(p[1]), []byte(p[2]))
							clear(header) // it belongs to the caller again
							want = append(want, p[0]+p[1]+p[2])
						}
						w.flush()
						for range want {
							packet, _ := client.hear()
							got = append(got, packet)
						}
						if diff := cmp.Diff(want, got); diff != "" {
							t.Errorf("to %s (-want +got):\n%s", host, diff)
						}
					}
				})
			}
		})
	}
}

// More clients than fit one call of the system, and more packets than are queued at once; each gets its own.
func TestWireSendsToManyClients(t *testing.T) {
	const clients, window = batch + 6, 20
	block := bytes.Repeat([]byte("x"), 50)
	for name, open := range wireKinds() {
		t.Run(name, func(t *testing.T) {
			w := openWired(t, open, "udp", ":0")
			probes, routes, asked := make([]*probe, clients), make([]*route, clients), make([]netip.AddrPort, clients)
			for i := range probes {
				probes[i] = newProbe(t)
				addr := netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + i)})
				if i%2 == 1 {
					addr = netip.IPv6Loopback()
				}
				asked[i] = netip.AddrPortFrom(addr, w.port)
				probes[i].send(asked[i], "question")
				_, _, routes[i] = w.take(t)
			}
			for i, r := range routes {
				for n := range window {
					w.queue(r, fmt.Appendf(nil, "%02d/%02d", i, n), block, block)
				}
			}
			w.flush()
			for i, p := range probes {
				for n := range window {
					want := fmt.Sprintf("%02d/%02d%s%s", i, n, block, block)
					if got, from := p.hear(); got != want || from != asked[i] {
						t.Fatalf("client %d heard %q from %v, want %q from %v", i, got, from, want, asked[i])
					}
				}
			}
		})
	}
}

// A socket with one client needs no address.
func TestWireOfOneClient(t *testing.T) {
	for name, open := range wireKinds() {
		t.Run(name, func(t *testing.T) {
			client := newProbe(t)
			remote := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), client.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
			conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 3)}, net.UDPAddrFromAddrPort(remote))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			w, err := open(conn)
			if err != nil {
				t.Fatal(err)
			}
			r := &route{peer: peer{ip: remote.Addr().As16(), port: uint32(remote.Port())}, local: netip.MustParseAddr("127.0.0.3").As16()}
			for _, s := range []string{"one", "two", "3"} {
				w.queue(r, []byte(s), nil, nil)
			}
			w.flush()
			for _, want := range []string{"one", "two", "3"} {
				if got, from := client.hear(); got != want || from.Addr().String() != "127.0.0.3" {
					t.Errorf("client heard %q from %v, want %q", got, from, want)
				}
			}
			client.send(conn.LocalAddr().(*net.UDPAddr).AddrPort(), "thanks")
			datagrams, err := w.receive(patience)
			if err != nil || len(datagrams) != 1 || string(datagrams[0].data) != "thanks" || datagrams[0].from != r.peer {
				t.Errorf("receive() = %v, %v", datagrams, err)
			}

			// That the client has gone is no reason to fail.
			_ = client.conn.Close()
			for range 3 {
				w.queue(r, []byte("are you there?"), nil, nil)
				w.flush()
				if datagrams, err := w.receive(0); err != nil || len(datagrams) != 0 {
					t.Errorf("receive() = %v, %v", datagrams, err)
				}
			}
		})
	}
}

func TestWireReceives(t *testing.T) {
	for name, open := range wireKinds() {
		t.Run(name, func(t *testing.T) {
			w := openWired(t, open, "udp", ":0")
			client := newProbe(t)
			to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.port)
			for name, packet := range map[string]string{
				"nothing at all":      "",
				"the longest request": strings.Repeat("x", maxRequestLen),
				"a longer one":        strings.Repeat("x", maxRequestLen+1),
			} {
				client.send(to, packet)
				if got, _, _ := w.take(t); got != packet {
					t.Errorf("%s: received %d bytes, want %d", name, len(got), len(packet))
				}
			}
			client.send(to, strings.Repeat("x", 9000))
			if got, _, _ := w.take(t); len(got) != maxRequestLen+1 {
				t.Errorf("of 9000 bytes received %d, want %d", len(got), maxRequestLen+1)
			}

			// Clients of both families in turn.
			for _, host := range []string{"127.0.0.2", "::1", "127.0.0.2", "::1", "127.0.0.3"} {
				client.send(netip.AddrPortFrom(netip.MustParseAddr(host), w.port), "question")
				if _, to, _ := w.take(t); to.asked.String() != host || to.local != to.asked {
					t.Errorf("asked %v, answers from %v, want %s", to.asked, to.local, host)
				}
			}

			// All that has come in before it looks. More would need a larger queue than some systems allow.
			const many = 500
			for i := range many {
				client.send(to, fmt.Sprint("packet ", i))
			}
			for next := 0; next < many; {
				datagrams, err := w.receive(patience)
				if err != nil || len(datagrams) == 0 {
					t.Fatalf("receive() = %v, %v after %d datagrams", datagrams, err, next)
				}
				for i, d := range datagrams {
					if want := fmt.Sprint("packet ", next); string(d.data) != want {
						t.Fatalf("received %q, want %q", d.data, want)
					}
					if got := w.destination(i).asked; got != to.Addr() {
						t.Fatalf("datagram %d was sent to %v, want %v", next, got, to.Addr())
					}
					next++
				}
			}
			if n := w.overflowed(); n != 0 {
				t.Errorf("overflowed() = %d", n)
			}
		})
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

const arpHead = "IP address       HW type     Flags       HW address            Mask     Device\n"

func TestNeighbours(t *testing.T) {
	const table = arpHead +
		"10.0.0.1         0x1         0x2         52:54:00:aa:bb:01     *        br0\n" +
		"10.0.0.2         0x1         0x0         52:54:00:aa:bb:02     *        br0\n" +
		"10.0.0.3         0x20        0x2         52:54:00:aa:bb:03     *        ib0\n" +
		"10.0.0.4         0x1         0x6         52:54:00:aa:bb:04     *        br0\n" +
		"10.0.0.5         0x1\n" +
		"10.0.0.6         0x1         what        52:54:00:aa:bb:06     *        br0\n" +
		"10.0.0.7         0x1         0x2         00:00                 *        br0"
	file := filepath.Join(t.TempDir(), "arp")
	if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		file, client string
		want         string
	}{
		"there":            {file, "10.0.0.1", "52:54:00:aa:bb:01"},
		"as IPv6":          {file, "::ffff:10.0.0.1", "52:54:00:aa:bb:01"},
		"set by hand":      {file, "10.0.0.4", "52:54:00:aa:bb:04"},
		"no answer yet":    {file, "10.0.0.2", ""},
		"no Ethernet":      {file, "10.0.0.3", ""},
		"a short line":     {file, "10.0.0.5", ""},
		"no flags":         {file, "10.0.0.6", ""},
		"no MAC address":   {file, "10.0.0.7", ""},
		"beyond a router":  {file, "192.0.2.1", ""},
		"IPv6":             {file, "2001:db8::1", ""},
		"nobody":           {file, "", ""},
		"there is no file": {file + "x", "10.0.0.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := &Neighbours{file: tc.file}
			client, _ := netip.ParseAddr(tc.client) // the zero one, too
			var got string
			if mac := n.MAC(client); !mac.IsZero() {
				got = mac.String()
			}
			if got != tc.want {
				t.Errorf("MAC(%s) = %q, want %q", tc.client, got, tc.want)
			}
		})
	}
}

// A machine asks in the moment in which it comes into the table, and another one may get its address.
func TestNeighboursChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Neighbours{file: filepath.Join(t.TempDir(), "arp")}
		client := netip.MustParseAddr("10.0.0.1")
		write := func(mac string) {
			if err := os.WriteFile(n.file, []byte(arpHead+"10.0.0.1 0x1 0x2 "+mac+" * br0\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		check := func(when, want string) {
			t.Helper()
			if got := n.MAC(client); got.String() != want {
				t.Errorf("%s: %s, want %s", when, got, want)
			}
		}
		const none, first, second = "00:00:00:00:00:00", "52:54:00:aa:bb:01", "52:54:00:aa:bb:02"
		check("before", none)
		write(first)
		check("in the same moment", none)
		time.Sleep(neighboursPause + 1) //nolint:forbidigo // virtual time
		check("then", first)
		write(second)
		check("soon after", first)
		time.Sleep(neighboursLife + 1) //nolint:forbidigo // virtual time
		check("later", second)
	})
}

// Who does not tell who it is may be known to the network.
func TestNeighbourBoots(t *testing.T) {
	client := netip.MustParseAddrPort("10.0.0.1:2070")
	for name, tc := range map[string]struct {
		mac         index.MAC // in the neighbour table
		boot        func(s *scene)
		wantMachine index.Key
		wantCause   CauseID
	}{
		"firmware that gets no answer": {
			mac:         mac1(),
			boot:        func(s *scene) { s.loader("pxelinux.0", ended(OutcomeNeverAcknowledged, 0, ""), sentAgain(4, 6)) },
			wantMachine: node1, wantCause: CauseAnswersLost,
		},
		"nobody's": {
			mac:       index.MAC{2, 0, 0, 0, 0, 9},
			boot:      func(s *scene) { s.loader("pxelinux.0", ended(OutcomeNeverAcknowledged, 0, ""), sentAgain(4, 6)) },
			wantCause: CauseAnswersLost,
		},
		"not in the table": {
			boot:      func(s *scene) { s.loader("pxelinux.0", ended(OutcomeNeverAcknowledged, 0, ""), sentAgain(4, 6)) },
			wantCause: CauseAnswersLost,
		},
		"a system that runs there fetches a file": {
			mac:       mac1(),
			boot:      func(s *scene) { s.loader("backup.tar", refusedAs(RefusedNoFile, "no such file")) },
			wantCause: CauseLoaderMissing,
		},
		"what a request tells beats it": {
			mac: index.MAC{0x52, 0x54, 0, 0xaa, 0xbb, 2}, // of lab/node-02
			boot: func(s *scene) {
				s.config(render.PXELINUX)
				s.kernel()
				s.initrd(ended(OutcomeSilent, 1_000_000, ""))
			},
			wantMachine: node1, wantCause: CauseTransferBrokeOff,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			asked := 0
			s.tracker.o.Neighbour = func(a netip.Addr) index.MAC {
				asked++
				if a != client.Addr() {
					t.Errorf("asked about %s", a)
				}
				return tc.mac
			}
			tc.boot(s)
			s.wait(time.Hour)
			all := s.tracker.Attempts()
			if len(all) != 1 || all[0].Machine != tc.wantMachine || all[0].Cause == nil || all[0].Cause.ID != tc.wantCause {
				t.Errorf("boots are %+v, want one of %q with the cause %s", all, tc.wantMachine, tc.wantCause)
			}
			if asked > 1 {
				t.Errorf("one boot asked the table %d times", asked)
			}
		})
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
)

// A stub is a socket that counts what comes in, and answers with a fixed packet if there is one.
type stub struct {
	conn   *net.UDPConn
	answer []byte
	done   sync.WaitGroup

	mu    sync.Mutex
	asked []string
}

func newStub(t *testing.T, answer string) *stub {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{conn: conn, answer: []byte(answer)}
	s.done.Go(func() {
		packet := make([]byte, 1024)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(packet)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.asked = append(s.asked, string(packet[:n]))
			s.mu.Unlock()
			if len(s.answer) > 0 && packet[1] == 1 { // a read request
				_, _ = conn.WriteToUDPAddrPort(s.answer, from) // lost if the other end is gone
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close() // ends the goroutine
		s.done.Wait()
	})
	return s
}

// requests returns how many read requests came in.
func (s *stub) requests() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, packet := range s.asked {
		if strings.HasPrefix(packet, "\x00\x01"+boot.ProbeName+"\x00octet\x00") {
			n++
		}
	}
	return n
}

func TestTFTPProbe(t *testing.T) {
	for name, tc := range map[string]struct {
		answer       string
		wantErr      string // part of it; empty: none
		wantRequests int
	}{
		"a server that answers":        {answer: "\x00\x03\x00\x01", wantRequests: 1},
		"a server that is silent":      {wantErr: "timeout", wantRequests: probeTries},
		"a server that is not netboot": {answer: "\x00\x05\x00\x01no such file\x00", wantErr: "no such file", wantRequests: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub(t, tc.answer)
			p := newTFTPProbe(s.conn.LocalAddr().(*net.UDPAddr).AddrPort(), "", false)
			if tc.answer != "" {
				p.patience = patience // the answer comes, if late where others have all the processors
			}
			var callers sync.WaitGroup
			for range 20 {
				callers.Go(func() {
					err := p.check()
					if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
						t.Errorf("check() error = %v, want %q in it", err, tc.wantErr)
					}
				})
			}
			callers.Wait()
			if got := s.requests(); got != tc.wantRequests {
				t.Errorf("%d requests for 20 checks, want %d", got, tc.wantRequests)
			}
		})
	}
	if err := (*tftpProbe)(nil).check(); err != nil {
		t.Errorf("without a TFTP server: %v", err)
	}
}

func TestTFTPProbeAsksWhereTheServerListens(t *testing.T) {
	for listens, want := range map[string][2]string{
		"0.0.0.0:69":        {"127.0.0.1:69", "127.0.0.1/32"},
		"[::]:6969":         {"127.0.0.1:6969", "127.0.0.1/32"},
		"192.0.2.1:69":      {"192.0.2.1:69", "192.0.2.1/32"},
		"[2001:db8::1]:69":  {"[2001:db8::1]:69", "2001:db8::1/128"},
		"[fe80::1%eth0]:69": {"[fe80::1%eth0]:69", "fe80::1/128"},
	} {
		p := newTFTPProbe(netip.MustParseAddrPort(listens), "", false)
		if got := [2]string{p.server.String(), p.network().String()}; got != want {
			t.Errorf("a server on %s is asked at, from: %v, want %v", listens, got, want)
		}
	}
}

// reReceived matches when the probe's request and its ACK have come in.
var reReceived = regexp.MustCompile(`(?m)^netboot_tftp_received_packets_total ([2-9]|\d\d)`)

// ready waits until /readyz says so.
func (s *service) ready() {
	s.t.Helper()
	eventually(s.t, func() string {
		if status, body := s.getHTTP(s.api, "/readyz"); status != http.StatusOK {
			return fmt.Sprintf("/readyz says %d %q", status, body)
		}
		return ""
	})
}

func TestReadyWhateverTheFlags(t *testing.T) {
	t.Parallel()
	dir, _ := sample(t)
	for name, args := range map[string][]string{
		"all addresses":         {"--tftp-bind-address=[::]:0", "--tftp-allowed-networks=192.0.2.0/24"},
		"a port for a transfer": {"--tftp-ports=ephemeral"},
		"several sockets":       {"--tftp-shards=3"},
		"tight limits":          {"--tftp-max-requests-per-client=1", "--tftp-max-transfers-per-client=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start(t, append([]string{"--manifests", dir}, args...)...).ready()
		})
	}
}

// TestReadyMeansThatTFTPAnswers holds that probes get through to a server that allows other networks only, and leave no trace.
func TestReadyMeansThatTFTPAnswers(t *testing.T) {
	t.Parallel()
	dir, _ := sample(t)
	s := start(t, "--manifests", dir, "--tftp-allowed-networks=192.0.2.0/24", "-v=1")
	s.ready()
	var metrics string
	eventually(t, func() string {
		_, metrics = s.getHTTP(s.api, "/metrics")
		if reReceived.MatchString(metrics) && strings.Contains(metrics, "\nnetboot_tftp_active_transfers 0\n") {
			return ""
		}
		return "the probe has not come to its end"
	})
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "netboot_tftp_requests_total") && !strings.HasSuffix(line, " 0\n") {
			t.Errorf("the probe is counted as a request: %s", line)
		}
	}
	if log := s.logged(); strings.Contains(log, boot.ProbeName) {
		t.Errorf("the log tells of the probe:\n%s", log)
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
	"github.com/netboot-operator/netboot-operator/pkg/web"
)

// told is an observer that keeps what it is told.
type told struct {
	mu  sync.Mutex
	all []attempt.Event
}

// Observe implements boot.Observer.
func (o *told) Observe(e attempt.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, e)
}

// end waits for the end of a request from a client.
func (o *told) end(t *testing.T, client string) attempt.Event {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		o.mu.Lock()
		for _, e := range o.all {
			if e.Ended && e.Client.String() == client {
				o.mu.Unlock()
				return e
			}
		}
		o.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("no request of %s ends", client)
		}
	}
}

// TestHTTPOutcomes has clients of the real HTTP server do with a file what machines do.
func TestHTTPOutcomes(t *testing.T) {
	const size = 64 << 20
	observer := &told{}
	s := newLab(t, func(o *boot.Options) { o.Observer, o.Undelivered = observer, web.Undelivered })
	if err := os.WriteFile(filepath.Join(s.files, "large"), make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	large := index.Artifact{URLs: []string{"file:///large"}}
	s.index.PutProfile(&index.Profile{Key: "lab/large", Platforms: []index.Platform{{Architecture: "amd64", Kernel: &large}}})

	server, err := web.New(s.handler, web.Options{StallTimeout: 200 * time.Millisecond, ShutdownGrace: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error)
	go func() { ended <- server.Serve(ctx, listener, nil) }()
	defer func() {
		stop()
		wantNil(t, <-ended)
	}()

	type end struct {
		Kind    attempt.Kind
		Outcome attempt.Outcome
		Reason  string
		Whole   bool
	}
	get := "GET " + large.Path() + " HTTP/1.1\r\nHost: x\r\n"
	for name, tc := range map[string]struct {
		request string
		read    int64 // of the answer; -1: all of it
		stays   bool  // with the connection open
		want    end
	}{
		"takes all of it": {get + "Connection: close\r\n\r\n", -1, false, end{attempt.KindArtifact, attempt.OutcomeServed, "", true}},
		"asks for its size": {
			"HEAD " + large.Path() + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", -1, false,
			end{attempt.KindArtifact, attempt.OutcomeProbe, "", false},
		},
		"takes a part": {
			get + "Range: bytes=100-299\r\nConnection: close\r\n\r\n", -1, false, end{attempt.KindArtifact, attempt.OutcomePart, "", true},
		},
		"goes away in the middle": {
			get + "\r\n", 5 << 20, false, end{attempt.KindArtifact, attempt.OutcomeCut, "the connection was closed", false},
		},
		"takes no more in the middle": {
			get + "\r\n", 5 << 20, true, end{attempt.KindArtifact, attempt.OutcomeSilent, "the client took nothing more", false},
		},
		"asks for what is not there": {
			"GET /pxelinux.cfg/01-52-54-00-aa-bb-ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", -1, false,
			end{attempt.KindConfig, attempt.OutcomeRefused, "no Machine has MAC address 52:54:00:aa:bb:ff", false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := io.WriteString(c, tc.request); err != nil {
				t.Fatal(err)
			}
			if tc.read < 0 {
				_, err = io.Copy(io.Discard, c)
			} else {
				_, err = io.CopyN(io.Discard, c, tc.read)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !tc.stays {
				_ = c.Close()
			}
			e := observer.end(t, c.LocalAddr().String())
			got := end{e.Kind, e.Outcome, e.Reason, e.Bytes > 0 && e.Bytes == e.Size}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("end of the request (-want +got):\n%s%s", diff, fmt.Sprintf("%d of %d bytes", e.Bytes, e.Size))
			}
		})
	}
}

// TestAnswersThatNeverBegin: what is told of an artifact when it is asked for ends, too, where nothing is sent after all.
func TestAnswersThatNeverBegin(t *testing.T) {
	observer := &told{}
	s := newLab(t, func(o *boot.Options) { o.Observer = observer })
	profile := s.index.Profile("lab/debian")
	client := netip.MustParseAddrPort("192.0.2.7:2070")
	body, err := s.handler.ServeTFTP(t.Context(), &tftp.Request{
		Name: strings.TrimPrefix(profile.Platforms[0].Kernel.Path(), "/"), Mode: tftp.Octet, Client: client,
		Options: []tftp.Option{{Name: "blksize", Value: "1432"}, {Name: "tsize", Value: "0"}},
	})
	wantNil(t, err)
	wantNil(t, body.Closer.Close())
	observer.mu.Lock()
	defer observer.mu.Unlock()
	if n := len(observer.all); n != 2 || observer.all[0].Ended || !observer.all[1].Ended || observer.all[0].ID != observer.all[1].ID {
		t.Fatalf("%+v", observer.all)
	}
	if e := observer.all[1]; e.Outcome != attempt.OutcomeReplaced || e.Kind != attempt.KindArtifact || !e.ByIPXE {
		t.Errorf("%+v", e)
	}
}

// TestFilesOfAMachineCount: what is below a machine's own path is what it boots, and is told so.
func TestFilesOfAMachineCount(t *testing.T) {
	observer := &told{}
	s := newLab(t, func(o *boot.Options) { o.Observer = observer })
	s.index.Put(s.installer("1", index.Netboot, true))
	type what struct {
		Kind       attempt.Kind
		Action     index.Action
		Once       bool
		CompleteOn attempt.CompleteOn
		BootID     string
	}
	for name, want := range map[string]what{
		"overlays/vc4.dtbo": {attempt.KindFile, index.Netboot, true, attempt.CompleteOnCallback, "1"},
		"none":              {attempt.KindFile, "", false, "", "1"},
	} {
		observer.mu.Lock()
		observer.all = nil
		observer.mu.Unlock()
		_, _ = s.askTFTP(t, "", mac(installer).Hyphens()+"/"+name)
		observer.mu.Lock()
		e := observer.all[0]
		observer.mu.Unlock()
		if diff := cmp.Diff(want, what{e.Kind, e.Action, e.Once, e.CompleteOn, e.BootID}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

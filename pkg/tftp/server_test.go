// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
)

func TestFetch(t *testing.T) {
	served := files{
		"empty": nil, "small": contents(100), "even": contents(1024), "big": contents(300_001), "text": []byte("a\nb\r\n"),
	}
	type accepted map[string]string
	for name, tc := range map[string]struct {
		file, mode   string
		blockSize    int // to ask for; 0: no options
		wantBlocks   int64
		wantBytes    int64
		wantAccepted accepted
	}{
		"empty file":            {"empty", "octet", 0, 1, 0, accepted{}},
		"empty file, options":   {"empty", "octet", 1468, 1, 0, accepted{"blksize": "1468", "tsize": "0"}},
		"one block":             {"small", "octet", 0, 1, 100, accepted{}},
		"even number of blocks": {"even", "octet", 0, 3, 1024, accepted{}},
		"many blocks":           {"big", "octet", 0, 586, 300_001, accepted{}},
		"larger blocks":         {"big", "octet", 1400, 215, 300_001, accepted{"blksize": "1400", "tsize": "300001"}},
		"blocks up to the cap":  {"big", "octet", 20_000, 38, 300_001, accepted{"blksize": "8000", "tsize": "300001"}},
		"netascii":              {"text", "netascii", 512, 1, 8, accepted{"blksize": "512", "tsize": "8"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := loopback(t, served, Options{MaxBlockSize: 8000})
			got, err := fetch(t, f.addr, tc.file, tc.mode, tc.blockSize)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, served[tc.file]) {
				t.Errorf("got %d bytes that are not the file's %d", len(got), len(served[tc.file]))
			}
			r := f.record(t)
			if r.Outcome != OutcomeComplete || r.Err != nil || r.Blocks != tc.wantBlocks || r.Bytes != tc.wantBytes {
				t.Errorf("record = %+v, want %d blocks, %d bytes", r, tc.wantBlocks, tc.wantBytes)
			}
			if r.Duration <= 0 || r.Request.Name != tc.file || r.Request.Local != f.addr.Addr() {
				t.Errorf("record = %+v", r)
			}
			gotAccepted := accepted{} // the client asks in any order
			for _, o := range r.Accepted {
				gotAccepted[o.Name] = o.Value
			}
			if diff := cmp.Diff(tc.wantAccepted, gotAccepted); diff != "" {
				t.Errorf("accepted options (-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	const badMode = "\x00\x05\x00\x04mode is not octet or netascii\x00"
	for name, tc := range map[string]struct {
		handler func() (*Body, error)
		packet  string // default: a read request
		want    string
		outcome Outcome // empty: not recorded
		wantLog string
	}{
		"file not there": {
			handler: func() (*Body, error) { return nil, &fs.PathError{Op: "open", Path: "/secret", Err: fs.ErrNotExist} },
			want:    "\x00\x05\x00\x01file not found\x00", outcome: OutcomeNotFound,
		},
		"handler's own words": {
			handler: func() (*Body, error) { return nil, fmt.Errorf("why: %w", &Error{CodeNotFound, "no \"a\"\n here"}) },
			want:    "\x00\x05\x00\x01no \"a\" here\x00", outcome: OutcomeNotFound,
		},
		"handler's own code": {
			handler: func() (*Body, error) { return nil, &Error{CodeAccessViolation, "not yours"} },
			want:    "\x00\x05\x00\x02not yours\x00", outcome: OutcomeRefused,
		},
		"our fault stays with us": {
			handler: func() (*Body, error) { return nil, errors.New("open /secret: disk on fire") },
			want:    "\x00\x05\x00\x00internal error\x00", outcome: OutcomeFailed, wantLog: "disk on fire",
		},
		"panic": {
			handler: func() (*Body, error) { panic("boom") },
			want:    "\x00\x05\x00\x00internal error\x00", outcome: OutcomeFailed, wantLog: "panic: boom",
		},
		"neither file nor error": {
			handler: func() (*Body, error) { return nil, nil },
			want:    "\x00\x05\x00\x00internal error\x00", outcome: OutcomeFailed, wantLog: "neither a body nor an error",
		},
		"empty file, which is not even read": {
			handler: func() (*Body, error) { return &Body{File: brokenFile{}, Size: 0}, nil }, packet: "\x00\x01a\x00octet\x00",
			want: "\x00\x03\x00\x01", outcome: OutcomeComplete,
		},
		"file that can't be read": {
			handler: func() (*Body, error) { return &Body{File: brokenFile{}, Size: 1}, nil }, packet: "\x00\x01a\x00octet\x00",
			want: "\x00\x05\x00\x00internal error\x00", outcome: OutcomeFailed, wantLog: "disk on fire",
		},
		"write request":         {packet: "\x00\x02a\x00octet\x00", want: "\x00\x05\x00\x02read only\x00"},
		"mode mail":             {packet: "\x00\x01a\x00mail\x00", want: badMode, outcome: OutcomeRefused},
		"mode that is not one":  {packet: "\x00\x01a\x00binary\x00", want: badMode, outcome: OutcomeRefused},
		"write request in mail": {packet: "\x00\x02a\x00mail\x00", want: "\x00\x05\x00\x02read only\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder // written before the record is sent, read after
			handler := HandlerFunc(func(context.Context, *Request) (*Body, error) { return tc.handler() })
			f := loopback(t, handler, Options{Log: funcr.New(func(_, args string) { log.WriteString(args) }, funcr.Options{})})
			if tc.packet == "" {
				tc.packet = "\x00\x01a\x00octet\x00"
			}
			c := newClient(t)
			c.send(f.addr, tc.packet)
			from := c.want(tc.want)
			if from != f.addr {
				t.Errorf("the answer came from %v, want %v", from, f.addr)
			}
			if tc.outcome == "" {
				return
			}
			c.send(from, "\x00\x04\x00\x01") // the empty file waits for it
			if r := f.record(t); r.Outcome != tc.outcome {
				t.Errorf("outcome = %q, want %q", r.Outcome, tc.outcome)
			}
			if !strings.Contains(log.String(), tc.wantLog) || (tc.wantLog == "") != (log.Len() == 0) {
				t.Errorf("log = %q, want %q in it", log.String(), tc.wantLog)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	f := loopback(t, files{}, Options{})
	for name, packet := range map[string]string{
		"nothing":        "",
		"one byte":       "\x00",
		"read, no name":  "\x00\x01",
		"read, no mode":  "\x00\x01a\x00",
		"data":           "\x00\x03\x00\x01data",
		"ack":            "\x00\x04\x00\x01",
		"error":          "\x00\x05\x00\x01file not found\x00",
		"oack":           "\x00\x06blksize\x00512\x00",
		"opcode 0":       "\x00\x00a\x00octet\x00",
		"opcode 7":       "\x00\x07a\x00octet\x00",
		"longer than ok": "\x00\x01a\x00octet\x00" + strings.Repeat("x", 60_000),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			c.send(f.addr, packet)
			c.wantSilence(f)
		})
	}
}

// Whatever comes, the server goes on serving.
func TestHostileDatagrams(t *testing.T) {
	f := loopback(t, files{"good": contents(5000)}, Options{ShutdownGrace: time.Millisecond}) // some of what c begins goes on at the end
	c := newClient(t)
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 600 {
		random := make([]byte, n)
		for i := range random {
			random[i] = byte(r.Uint32())
		}
		packets := []string{string(random), "\x00\x01" + string(random), "\x00\x02" + string(random)}
		packets = append(packets, "\x00\x01"+strings.Repeat("a", n), "\x00\x01"+strings.Repeat("\x00", n))
		packets = append(packets, "\x00\x01good\x00octet\x00blksize\x00"+string(random), "\x00\x05"+string(random))
		for _, p := range packets {
			c.send(f.addr, p)
		}
		if n%100 != 0 {
			continue
		}
		if got, err := fetch(t, f.addr, "good", "octet", 512); err != nil || !bytes.Equal(got, contents(5000)) {
			t.Fatalf("after packets of %d bytes: %d bytes, %v", n, len(got), err)
		}
	}
}

func TestRepeatedRequest(t *testing.T) {
	const request = "\x00\x01a\x00octet\x00tsize\x000\x00"
	t.Run("while the handler works: answered once", func(t *testing.T) {
		calls, open := make(chan string, 10), make(chan struct{})
		f := loopback(t, HandlerFunc(func(_ context.Context, r *Request) (*Body, error) {
			if r.Name == "no such file" {
				return nil, fs.ErrNotExist
			}
			calls <- r.Name
			<-open
			return Bytes([]byte("x")), nil
		}), Options{})
		c := newClient(t)
		for range 5 {
			c.send(f.addr, request)
		}
		c.wantSilence(f)
		close(open)
		from := c.want("\x00\x06tsize\x001\x00")
		c.send(f.addr, request) // the client has not answered: perhaps the OACK is lost
		c.want("\x00\x06tsize\x001\x00")
		c.send(from, "\x00\x04\x00\x00")
		c.want("\x00\x03\x00\x01x")
		c.send(from, "\x00\x04\x00\x01")
		if len(calls) != 1 {
			t.Errorf("handler was called %d times, want once", len(calls))
		}
	})
	t.Run("after the transfer: a new one", func(t *testing.T) {
		f := loopback(t, files{"a": []byte("x")}, Options{})
		c := newClient(t)
		for range 3 {
			c.send(f.addr, request)
			from := c.want("\x00\x06tsize\x001\x00")
			c.send(from, "\x00\x04\x00\x00")
			c.want("\x00\x03\x00\x01x")
			c.send(from, "\x00\x04\x00\x01")
			if r := f.record(t); r.Outcome != OutcomeComplete {
				t.Errorf("outcome = %q", r.Outcome)
			}
		}
	})
	t.Run("when the client was silent for a while: it has started again", func(t *testing.T) {
		f := loopback(t, files{"a": contents(2000)}, Options{RetransmitTimeout: 50 * time.Millisecond})
		c := newClient(t)
		c.send(f.addr, request)
		c.want("\x00\x06tsize\x002000\x00")
		c.send(f.addr, "\x00\x04\x00\x00")
		for range 2 { // block 1, and again after the timeout
			if packet, _ := c.hear(); !strings.HasPrefix(packet, "\x00\x03\x00\x01") {
				t.Fatalf("packet = %q", packet)
			}
		}
		c.send(f.addr, request)
		for {
			if packet, _ := c.hear(); packet == "\x00\x06tsize\x002000\x00" {
				break
			}
		}
		c.send(f.addr, "\x00\x05\x00\x00enough\x00")
		for _, want := range []Outcome{OutcomeReplaced, OutcomeProbe} {
			if r := f.record(t); r.Outcome != want {
				t.Errorf("outcome = %q, want %q", r.Outcome, want)
			}
		}
	})
}

// lpxelinux.0 uses one port for all its requests.
func TestAnotherRequestFromTheSamePort(t *testing.T) {
	for name, first := range map[string]string{
		"replaces a transfer":          "big",
		"replaces a handler's waiting": "slow",
	} {
		t.Run(name, func(t *testing.T) {
			waiting := make(chan struct{}, 1)
			f := loopback(t, HandlerFunc(func(ctx context.Context, r *Request) (*Body, error) {
				waiting <- struct{}{}
				if r.Name == "slow" {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return Bytes([]byte(r.Name)), nil
			}), Options{})
			c := newClient(t)
			c.send(f.addr, "\x00\x01"+first+"\x00octet\x00")
			<-waiting
			if first == "big" {
				c.want("\x00\x03\x00\x01big")
			}
			c.send(f.addr, "\x00\x01other\x00octet\x00")
			from := c.want("\x00\x03\x00\x01other")
			c.send(from, "\x00\x04\x00\x01")
			got := map[string]Outcome{}
			for range 2 {
				r := f.record(t)
				got[r.Request.Name] = r.Outcome
			}
			if diff := cmp.Diff(map[string]Outcome{first: OutcomeReplaced, "other": OutcomeComplete}, got); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
		})
	}
}

// brokenFile can't be read.
type brokenFile struct{}

func (brokenFile) ReadAt([]byte, int64) (int, error) { return 0, errors.New("disk on fire") }

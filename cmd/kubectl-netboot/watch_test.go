// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/live"
)

// sending is a transfer of worker-a that is so far.
func sending(bytes int64) live.Transfer {
	return live.Transfer{
		Client: "192.0.2.7:2070", Machine: "lab/node-07", File: "vmlinuz", Protocol: "TFTP", Bytes: bytes, Size: 100 << 20, StartTime: at("11:59:50"),
	}
}

func told(node, instance string, seen time.Time, items ...live.Transfer) answer[live.Transfers] {
	return answer[live.Transfers]{
		server: server{namespace: "netboot-system", name: "netboot-" + instance, node: node},
		told:   live.Transfers{Node: node, Instance: instance, Time: seen, Items: items},
	}
}

func TestMergeTransfers(t *testing.T) {
	w := &watcher{begun: map[transferKey]transferMark{}}
	first := w.mergeTransfers([]answer[live.Transfers]{
		told("worker-b", "B", now(), live.Transfer{Client: "192.0.2.9:1", File: "x", Protocol: "TFTP", Size: -1, StartTime: at("11:59:40")}),
		told("worker-a", "A", now(), sending(10<<20)),
		told("worker-a", "A", now(), sending(10<<20)), // a second pod of the node, in an upgrade: the same process answers for it
		{server: server{namespace: "netboot-system", name: "netboot-C", node: "worker-c"}, err: context.DeadlineExceeded},
	})
	files := func(p *picture) (all []string) {
		for _, t := range p.Transfers {
			all = append(all, t.Node+" "+t.File+" "+t.progress()+" "+t.speed())
		}
		return all
	}
	want := []string{"worker-b x 0 B -", "worker-a vmlinuz 10% of 100.0 MiB 1.0 MiB/s"}
	if diff := cmp.Diff(want, files(first)); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	if len(first.Servers) != 4 || first.Servers[3].Error == "" {
		t.Errorf("servers: %+v", first.Servers)
	}
	// Two seconds later by the clock of the server, whatever ours says.
	second := w.mergeTransfers([]answer[live.Transfers]{told("worker-a", "A", now().Add(2*time.Second), sending(50<<20))})
	if diff := cmp.Diff([]string{"worker-a vmlinuz 50% of 100.0 MiB 20.0 MiB/s"}, files(second)); diff != "" {
		t.Errorf("the second picture (-want +got):\n%s", diff)
	}
	w.wanted = map[string]bool{"lab/node-08": true}
	if third := w.mergeTransfers([]answer[live.Transfers]{told("worker-a", "A", now(), sending(50<<20))}); len(third.Transfers) != 0 {
		t.Errorf("other Machines are shown: %+v", third.Transfers)
	}
}

// TestMergeBootsTakesTheLatest: a boot that two pods served is told by the one that heard of it last.
func TestMergeBootsTakesTheLatest(t *testing.T) {
	boots := func(node string, last time.Time, stage string) answer[live.Attempts] {
		return answer[live.Attempts]{told: live.Attempts{Node: node, Time: now(), Items: []live.Attempt{
			{Machine: "lab/node-07", StartTime: at("11:59:00"), LastTime: last, Stage: stage},
		}}}
	}
	got := (&watcher{}).mergeBoots([]answer[live.Attempts]{
		boots("worker-a", at("11:59:01"), "Loader"), boots("worker-b", at("11:59:20"), "Kernel"), boots("worker-c", at("11:59:10"), "Config"),
	})
	if len(got.Boots) != 1 || got.Boots[0].Node != "worker-b" || got.Boots[0].Stage != "Kernel" {
		t.Errorf("boots: %+v", got.Boots)
	}
}

// A sender is a standalone netboot whose transfer goes on by 25% each time that it is asked, and is gone after the end.
func sender(t *testing.T) string {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := asked.Add(1) - 1
		content := live.Transfers{Node: "worker-a", Instance: "A", Time: now().Add(time.Duration(n) * time.Second), Items: []live.Transfer{}}
		if n <= 4 {
			content.Items = append(content.Items, sending(25<<20*n))
		}
		_ = json.NewEncoder(w).Encode(content)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// follow watches until its output has a text, and returns the output.
func follow(t *testing.T, end string, terminal func() (int, int, bool), args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
	defer cancel()
	out := &until{end: end, reached: cancel}
	var errs strings.Builder
	p := &program{out: out, err: &errs, now: now, terminal: terminal}
	if code := p.run(ctx, append([]string{"watch", "--interval=100ms", "--server=" + sender(t)}, args...)); code != 0 {
		t.Errorf("exit code %d: %s", code, &errs)
	}
	if !strings.Contains(out.text.String(), end) {
		t.Errorf("%q was never printed:\n%s", end, out.text.String())
	}
	return out.text.String()
}

// An until calls reached when a text was written to it. The Builder is no embedded one: its WriteString would pass by Write.
type until struct {
	text    strings.Builder
	end     string
	reached func()
}

// Write implements io.Writer.
func (u *until) Write(b []byte) (int, error) {
	n, err := u.text.Write(b)
	if strings.Contains(u.text.String(), u.end) {
		u.reached()
	}
	return n, err
}

func TestWatchWritesLinesWhereThereIsNoTerminal(t *testing.T) {
	got := follow(t, "over\n", func() (int, int, bool) { return 0, 0, false })
	const what = " worker-a lab/node-07 192.0.2.7:2070 TFTP vmlinuz: "
	want := "2026-11-23T12:00:00Z" + what + "0% of 100.0 MiB, -, 0 resent\n" +
		"2026-11-23T12:00:01Z" + what + "25% of 100.0 MiB, 25.0 MiB/s, 0 resent\n" +
		"2026-11-23T12:00:02Z" + what + "50% of 100.0 MiB, 25.0 MiB/s, 0 resent\n" +
		"2026-11-23T12:00:03Z" + what + "75% of 100.0 MiB, 25.0 MiB/s, 0 resent\n" +
		"2026-11-23T12:00:04Z" + what + "100% of 100.0 MiB, 25.0 MiB/s, 0 resent\n" +
		"2026-11-23T12:00:05Z" + strings.TrimSuffix(what, ": ") + ": over\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWatchMovesBarsOnATerminal(t *testing.T) {
	got := follow(t, "Nothing is on its way.", func() (int, int, bool) { return 100, 24, true })
	const up = "\x1b[3A\x1b[J" // over the three lines of the picture before
	pictures := strings.Split(got, up)
	if len(pictures) != 6 {
		t.Fatalf("%d pictures, want 6:\n%q", len(pictures), got)
	}
	for i, want := range []string{
		"[....................]", "[#####...............]", "[##########..........]", "[###############.....]", "[####################]",
	} {
		if !strings.Contains(pictures[i], want) {
			t.Errorf("picture %d without %s:\n%s", i, want, pictures[i])
		}
		for line := range strings.Lines(pictures[i]) {
			if len(line) > 100 {
				t.Errorf("picture %d: %q does not fit the terminal", i, line)
			}
		}
	}
}

// TestScreenFitsTheTerminal: what scrolls away could not be drawn over.
func TestScreenFitsTheTerminal(t *testing.T) {
	now := &picture{Time: now()}
	for range 50 {
		now.Transfers = append(now.Transfers, liveTransfer{Transfer: sending(1), Node: "worker-a"})
	}
	var out strings.Builder
	s := screen{out: &out, size: func() (int, int, bool) { return 80, 10, true }}
	if err := s.show(now); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 9 || !strings.HasPrefix(lines[8], "... and 4") {
		t.Errorf("%d lines on a terminal of 10:\n%s", len(lines), &out)
	}
}

func TestWatchFollowsAsJSONLines(t *testing.T) {
	got := follow(t, `"transfers":[]`, nil, "-o", "json")
	decoder := json.NewDecoder(strings.NewReader(got))
	decoder.DisallowUnknownFields()
	var speeds []int64
	for decoder.More() {
		var p picture
		if err := decoder.Decode(&p); err != nil {
			t.Fatalf("%v\n%s", err, got)
		}
		for _, transfer := range p.Transfers {
			speeds = append(speeds, transfer.BytesPerSecond)
		}
	}
	if diff := cmp.Diff([]int64{0, 25 << 20, 25 << 20, 25 << 20, 25 << 20}, speeds); diff != "" {
		t.Errorf("speeds (-want +got):\n%s", diff)
	}
}

// TestWatchToldByOnePodOnly: that a pod can't be asked hides nothing of the others.
func TestWatchToldByOnePodOnly(t *testing.T) {
	l := newLab(t)
	l.mu.Lock()
	lost := l.pods["netboot-operator-m4d9q"]
	delete(l.pods, "netboot-operator-m4d9q")
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.pods["netboot-operator-m4d9q"] = lost
	}()
	r := l.kubectl(t, "watch", "--once")
	if r.code != 0 || !strings.Contains(r.stdout, "lab/node-07") || strings.Contains(r.stdout, "lab/node-04") ||
		!strings.Contains(r.stdout, "Not seen: what pod netboot-system/netboot-operator-m4d9q on worker-b sends: ") {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

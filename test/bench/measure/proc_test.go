// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	const rest = " 0 0 0 -1 4194560 10907 0 0 0 1 41 200 3000 20 0 1 0 1462067 4788224 689 18446744073709551615"
	for name, tc := range map[string]struct {
		line    string
		want    process
		wantErr bool
	}{
		"own and waited-for time count": {
			line: "42 (in.tftpd) S 7" + rest,
			want: process{pid: 42, parent: 7, cpu: 3242 * tick, resident: 689 * int64(os.Getpagesize())},
		},
		"a name with brackets and spaces": {
			line: "42 (a) S 9 (b)) R 7" + rest,
			want: process{pid: 42, parent: 7, cpu: 3242 * tick, resident: 689 * int64(os.Getpagesize())},
		},
		"no name":            {line: "42 S 7" + rest, wantErr: true},
		"cut short":          {line: "42 (a) S 7 0 0", wantErr: true},
		"a word as a number": {line: "42 (a) S x" + rest, wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(tc.line))
			if (err != nil) != tc.wantErr {
				t.Fatalf("parseStat() error = %v, want one: %v", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(process{})); err == nil && diff != "" {
				t.Errorf("parseStat() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTree(t *testing.T) {
	all := []process{{pid: 30, parent: 20}, {pid: 1}, {pid: 10, parent: 1}, {pid: 20, parent: 10}, {pid: 21, parent: 10}, {pid: 40, parent: 1}}
	var got []int
	for _, p := range tree(all, 10) {
		got = append(got, p.pid)
	}
	if diff := cmp.Diff([]int{10, 20, 21, 30}, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if found := tree(all, 99); len(found) != 0 {
		t.Errorf("tree of a process that is not there: %v", found)
	}
}

// TestCPUTimeHoldsEndedChildren burns time in a child and its child, and lets both end.
func TestCPUTimeHoldsEndedChildren(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "sh", "-c", `sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; true`)
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	used := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	after, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got, least := after-before, used-2*tick; got < least || least <= 0 {
		t.Errorf("CPU time grew by %v, want at least the %v of the children", got, least)
	}
}

func TestMemoryPeak(t *testing.T) {
	const size = 32 << 20
	watch := WatchMemory(t.Context(), os.Getpid())
	block := make([]byte, size)
	for i := 0; i < len(block); i += 512 {
		block[i] = 1
	}
	if got := watch.Peak(); got < size {
		t.Errorf("peak %d, want at least the %d bytes that were just written", got, len(block))
	}
}

func TestHighWaterMark(t *testing.T) {
	for text, want := range map[string]int64{
		"VmPeak:\t  9000 kB\nVmHWM:\t    5212 kB\nVmRSS:\t 100 kB\n": 5212 << 10,
		"Name:\tzombie\n": 0,
	} {
		if got := highWaterMark(text); got != want {
			t.Errorf("highWaterMark(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestSNMPCounter(t *testing.T) {
	const text = "Ip: Forwarding RcvbufErrors\nIp: 1 99\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\n" +
		"Udp: 100 2 3 200 17 4\nUdpLite: InDatagrams RcvbufErrors\nUdpLite: 0 5\n"
	got, err := snmpCounter(text, "Udp", "RcvbufErrors")
	if err != nil || got != 17 {
		t.Errorf("RcvbufErrors = %d, %v, want 17", got, err)
	}
	if got, err := snmpCounter(text, "Udp", "Nothing"); err == nil {
		t.Errorf("a counter that is not there is %d", got)
	}
}

func TestCPUStat(t *testing.T) {
	got, err := cpuStat("usage_usec 19184\nuser_usec 3845\nsystem_usec 15338\n")
	if want := 19184 * time.Microsecond; err != nil || got != want {
		t.Errorf("cpuStat() = %v, %v, want %v", got, err, want)
	}
	if got, err := cpuStat("nr_periods 0\n"); err == nil {
		t.Errorf("cpuStat() without a sum = %v", got)
	}
}

func TestCgroupFolder(t *testing.T) {
	for name, tc := range map[string]struct {
		mounts, own, want string
		wantErr           bool
	}{
		"unified": {
			mounts: "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
			own:    "0::/user.slice/session.scope\n", want: "/sys/fs/cgroup/user.slice/session.scope",
		},
		"beside version 1": {
			mounts: "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
			own:    "4:memory:/a\n0::/\n", want: "/sys/fs/cgroup/unified",
		},
		"version 1 only": {mounts: "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n", own: "4:memory:/a\n", wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cgroupFolder(tc.mounts, tc.own)
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("cgroupFolder() = %q, %v, want %q, error: %v", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

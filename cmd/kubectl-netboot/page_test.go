// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the outputs of commands into docs/kubectl.md") //nolint:gochecknoglobals // a flag

const page = "../../docs/kubectl.md"

var (
	// reTyped finds a command and the output that the page shows for it.
	reTyped = regexp.MustCompile("(?s)```sh\n(kubectl netboot [^\n]*)\n```\n\n```(text|json|yaml)\n(.*?)```\n")
	reTook  = regexp.MustCompile(`\b[0-9.]+(µs|ms|s)\b`)
	reCells = regexp.MustCompile(` {2,}`)
)

// TestPage types what docs/kubectl.md says and compares what it shows.
func TestPage(t *testing.T) {
	l := newLab(t)
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	silent, closed := silentPorts(t)
	real := func(port uint16) string { return "127.0.0.1:" + strconv.Itoa(int(port)) }
	shown := strings.NewReplacer(
		real(l.tftp), "192.0.2.10:69", real(l.http), "192.0.2.10:8080", "192.0.2.10:"+strconv.Itoa(int(l.http)), "192.0.2.10:8080",
		real(silent), "192.0.2.11:69", real(closed), "192.0.2.11:8080", "Node worker-a, 127.0.0.1", "Node worker-a, 192.0.2.10", "Node 127.0.0.1", "Node 192.0.2.11",
	)
	commands := 0
	got := reTyped.ReplaceAllStringFunc(string(text), func(block string) string {
		parts := reTyped.FindStringSubmatch(block)
		args := strings.Fields(parts[1])[2:]
		for i := range args {
			if args[i] == "192.0.2.11" { // where nobody is at home
				args[i] = "127.0.0.1"
				args = append(args, "--tftp-port="+strconv.Itoa(int(silent)), "--http-port="+strconv.Itoa(int(closed)))
			}
		}
		commands++
		r := l.kubectl(t, args...)
		output := shown.Replace(r.stderr + r.stdout)
		if args[0] == "probe" {
			output = steady(output)
		}
		return "```sh\n" + parts[1] + "\n```\n\n```" + parts[2] + "\n" + output + "```\n"
	})
	if commands < 10 {
		t.Errorf("%s shows %d commands with their output, want 10 at least", page, commands)
	}
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("docs/kubectl.md is not what the commands print (-page +got):\n%s\nIf that is meant: go test ./cmd/kubectl-netboot -run TestPage -update", diff)
	}
}

// steady makes the times of a probe alike, and its columns with them.
func steady(output string) string {
	var b strings.Builder
	var rows [][]string
	for line := range strings.Lines(output) {
		if cells := reCells.Split(strings.TrimSpace(line), -1); len(cells) > 3 {
			cells[4] = reTook.ReplaceAllString(cells[4], "350µs")
			rows = append(rows, cells)
			continue
		}
		table(&b, "", rows)
		rows = nil
		b.WriteString(line)
	}
	table(&b, "", rows)
	return b.String()
}

// silentPorts returns a UDP port where nobody answers, and a TCP port where nobody listens.
func silentPorts(t *testing.T) (udp, tcp uint16) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp = listener.Addr().(*net.TCPAddr).AddrPort().Port()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Port(), tcp
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// barWidth is how many characters a bar has.
const barWidth = 20

// bar draws how much of a file is through; of what is not known, nothing.
func bar(bytes, size int64) string {
	if size <= 0 {
		return "[" + strings.Repeat("?", barWidth) + "]"
	}
	done := int(min(max(bytes, 0), size) * barWidth / size)
	return "[" + strings.Repeat("#", done) + strings.Repeat(".", barWidth-done) + "]"
}

// progress says how much of a file is through.
func (t *liveTransfer) progress() string {
	if t.Size <= 0 {
		return size(t.Bytes)
	}
	return fmt.Sprintf("%d%% of %s", min(t.Bytes, t.Size)*100/t.Size, size(t.Size))
}

func (t *liveTransfer) speed() string {
	if t.BytesPerSecond == 0 {
		return "-"
	}
	return size(t.BytesPerSecond) + "/s"
}

func (t *liveTransfer) resent() string {
	if t.Protocol != string(render.TFTP) {
		return "-"
	}
	return strconv.FormatInt(t.Retransmits, 10)
}

// row is the transfer in the table.
func (t *liveTransfer) row() []string {
	return []string{
		t.Node, cmp.Or(t.Machine, "-"), t.Client, t.Protocol, brief(t.File), bar(t.Bytes, t.Size), t.progress(), t.speed(), t.resent(),
	}
}

// row is the boot in the table.
func (b *liveBoot) row(now time.Time) []string {
	state := b.Stage
	switch {
	case b.Action == "BootLocal":
		state = "own disk"
	case !b.Over:
		state += ", under way"
	}
	return []string{
		b.Node, cmp.Or(b.Machine, "-"), orDash(b.ClientIP), orDash(b.MACAddress), state, ago(now, b.StartTime) + " ago", orDash(b.Cause),
	}
}

// table writes the picture once.
func (now *picture) table(w io.Writer) {
	switch {
	case now.Boots != nil && len(now.Boots) == 0:
		fmt.Fprintln(w, "No machine has booted of late.")
	case now.Boots != nil:
		rows := [][]string{{"NODE", "MACHINE", "CLIENT", "MAC", "STAGE", "BEGUN", "CAUSE"}}
		for i := range now.Boots {
			rows = append(rows, now.Boots[i].row(now.Time))
		}
		table(w, "", rows)
	case len(now.Transfers) == 0:
		fmt.Fprintln(w, "Nothing is on its way.")
	default:
		rows := [][]string{{"NODE", "MACHINE", "CLIENT", "OVER", "FILE", "PROGRESS", "", "RATE", "RESENT"}}
		for i := range now.Transfers {
			rows = append(rows, now.Transfers[i].row())
		}
		table(w, "", rows)
	}
	for i := range now.Boots {
		if b := &now.Boots[i]; b.Machine == "" && b.Message != "" {
			fmt.Fprintf(w, "\n%s:\n", cmp.Or(b.MACAddress, b.ClientIP))
			wrap(w, "  ", b.Message)
		}
	}
	for i := range now.Servers {
		if v := &now.Servers[i]; v.Error != "" {
			fmt.Fprintf(w, "Not seen: what pod %s/%s on %s sends: %s\n", v.Namespace, v.Pod, v.Node, v.Error)
		}
	}
}

// A screen shows each picture in the place of the one before.
type screen struct {
	out   io.Writer
	size  func() (width, height int, ok bool)
	lines int // of the last picture
}

func (s *screen) show(now *picture) error {
	var b strings.Builder
	now.table(&b)
	fmt.Fprintf(&b, "%s; Ctrl-C ends it\n", now.Time.UTC().Format(time.TimeOnly))
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	width, height, ok := s.size()
	if ok && len(lines) > height-1 { // what scrolls away can't be drawn over
		kept := max(height-2, 1)
		lines = append(lines[:kept], fmt.Sprintf("... and %d more lines", len(lines)-kept))
	}
	var out strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&out, "\x1b[%dA\x1b[J", s.lines)
	}
	for _, line := range lines {
		if ok {
			line = line[:min(len(line), width-1)] // one that is broken in two is two
		}
		out.WriteString(line + "\n")
	}
	s.lines = len(lines)
	_, err := io.WriteString(s.out, out.String())
	return err
}

// A log writes a line for each thing that changed, for files and pipes.
type log struct {
	out  io.Writer
	said map[string]string // of each transfer or boot, by what tells it apart
}

func (l *log) show(now *picture) error {
	said := map[string]string{}
	var out strings.Builder
	at := now.Time.UTC().Format(time.RFC3339)
	tell := func(key, text string) {
		said[key] = text
		if l.said[key] != text {
			fmt.Fprintln(&out, at, text)
		}
	}
	for i := range now.Transfers {
		t := &now.Transfers[i]
		what := fmt.Sprintf("%s %s %s %s %s", t.Node, cmp.Or(t.Machine, "-"), t.Client, t.Protocol, t.File)
		tell(fmt.Sprint(what, t.StartTime), fmt.Sprintf("%s: %s, %s, %s resent", what, t.progress(), t.speed(), t.resent()))
	}
	for i := range now.Boots {
		b := &now.Boots[i]
		text := strings.Join(slices.Delete(b.row(now.Time), 5, 6), " ") // without the age
		tell(fmt.Sprint(cmp.Or(b.Machine, b.MACAddress, b.ClientIP), b.StartTime), text)
	}
	for _, key := range slices.Sorted(maps.Keys(l.said)) {
		if _, still := said[key]; !still && len(now.Boots) == 0 {
			what, _, _ := strings.Cut(l.said[key], ": ")
			fmt.Fprintln(&out, at, what+": over")
		}
	}
	for i := range now.Servers {
		if v := &now.Servers[i]; v.Error != "" {
			tell("server "+v.Namespace+"/"+v.Pod, fmt.Sprintf("pod %s/%s on %s can't be asked: %s", v.Namespace, v.Pod, v.Node, v.Error))
		}
	}
	l.said = said
	_, err := io.WriteString(l.out, out.String())
	return err
}

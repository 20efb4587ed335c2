// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

func numbered(n int) Boot { return Boot{index.Key(fmt.Sprintf("lab/node-%02d", n)), "1"} }

// written returns a ledger's folder with some entries, and its content.
func written(t *testing.T) (dir string, content []byte) {
	t.Helper()
	dir = t.TempDir()
	l := open(t, dir)
	for n := range 5 {
		must(t, l.Complete(numbered(n), "Callback", at(n)))
	}
	must(t, l.Close())
	content, err := os.ReadFile(filepath.Join(dir, fileName))
	must(t, err)
	return dir, content
}

// A process may be killed, and a machine lose its power, with any part of the last line on disk.
func TestCutAnywhere(t *testing.T) {
	dir, content := written(t)
	for cut := range len(content) + 1 {
		must(t, os.WriteFile(filepath.Join(dir, fileName), content[:cut], 0o600))
		l := open(t, dir) // what has no end is no record
		whole := bytes.Count(content[:cut], []byte("}\n"))
		if got := len(l.Pending()); got != whole {
			t.Fatalf("cut at %d: %d entries, want %d", cut, got, whole)
		}
		must(t, l.Complete(numbered(9), "Callback", at(9)))
		must(t, l.Close())
		l = open(t, dir)
		if got := len(l.Pending()); got != whole+1 {
			t.Fatalf("cut at %d, one more added: %d entries, want %d", cut, got, whole+1)
		}
		must(t, l.Close())
	}
}

func TestByteChanged(t *testing.T) {
	dir, content := written(t)
	for place := range content {
		changed := bytes.Clone(content)
		changed[place] ^= 0x01
		must(t, os.WriteFile(filepath.Join(dir, fileName), changed, 0o600))
		l, err := Open(dir)
		if l == nil {
			t.Fatalf("byte %d: %v", place, err)
		}
		got := len(l.Pending())
		must(t, l.Close())
		switch {
		case content[place] == '\n': // that of two lines, or of none
			if got < 3 {
				t.Fatalf("byte %d: %d entries", place, got)
			}
		case got != 4 || err == nil || !strings.Contains(err.Error(), "1 records are damaged"):
			t.Fatalf("byte %d: %d entries and error %v, want 4, and that one is damaged", place, got, err)
		}
	}
}

func TestFolderThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if l, err := Open(file); l != nil || err == nil || !strings.Contains(err.Error(), "open the ledger of boots") {
		t.Errorf("Open() = %v, %v", l, err)
	}
}

// A disk that takes nothing fails what is added; nothing of it counts, and later all is well again.
func TestDiskFails(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	must(t, l.Begin(numbered(1), at(1)))
	good := l.file.log
	bad, err := os.Open(filepath.Join(dir, fileName)) // can't be written
	must(t, err)
	l.file.log = bad
	if err := l.Complete(numbered(1), "Callback", at(2)); err == nil || !strings.Contains(err.Error(), "write the ledger of boots") {
		t.Errorf("Complete() = %v", err)
	}
	if e := l.Entry(numbered(1)); !e.Completed.IsZero() {
		t.Errorf("%+v is completed", e)
	}
	must(t, bad.Close())
	l.file.log = good
	must(t, l.Complete(numbered(1), "Callback", at(2)))
	if e := l.Entry(numbered(1)); e.Completed.IsZero() {
		t.Errorf("%+v is not completed", e)
	}
}

// killedIn names the folder for the process of TestKilled.
const killedIn = "LEDGER_TEST_KILLED_IN"

// What was said to be on disk is there after the process was killed in the middle.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(killedIn); dir != "" {
		l := open(t, dir)
		for n := 0; ; n++ {
			must(t, l.Complete(Boot{index.Key(fmt.Sprintf("lab/node-%d", n)), "1"}, "Callback", at(n)))
			fmt.Println("done", n)
		}
	}
	dir := t.TempDir()
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$") //nolint:gosec // this program
		cmd.Env = append(os.Environ(), killedIn+"="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		done := -1
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, err := fmt.Sscanf(lines.Text(), "done %d", &done); err == nil && done == 100*(round+1) {
				must(t, cmd.Process.Kill())
			}
		}
		if err := cmd.Wait(); !errors.As(err, new(*exec.ExitError)) {
			t.Fatalf("the process ended with %v", err)
		}
		l := open(t, dir)
		for n := range done + 1 {
			if l.Entry(Boot{index.Key(fmt.Sprintf("lab/node-%d", n)), "1"}).Completed.IsZero() {
				t.Fatalf("round %d: completion %d of %d is lost", round, n, done)
			}
		}
		must(t, l.Close())
	}
}

// Whatever is in the file, it can be opened, and used.
func FuzzOpen(f *testing.F) {
	line, err := appendLine(nil, record{Kind: kindBegun, Boot: Boot{node1, "1"}, Time: at(1)})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "\n\n", string(line), string(line[:20]), strings.Repeat(string(line), 3), "00000000 {}\n", sumOf(nil) + " \n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, fileName), content, 0o600))
		l, err := Open(dir)
		if l == nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		must(t, l.Complete(Boot{"lab/other", "7"}, "Callback", at(1)))
		if l.Entry(Boot{"lab/other", "7"}).Completed.IsZero() {
			t.Error("what was added is not there")
		}
	})
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"
)

// An output is the flag -o of a command.
type output struct {
	format string
	wide   bool // the command knows wide
}

func (o *output) addFlag(cmd *cobra.Command) {
	formats := "json or yaml"
	if o.wide {
		formats = "json, yaml or wide"
	}
	cmd.Flags().StringVarP(&o.format, "output", "o", "", "`FORMAT`: "+formats+" (default: for people)")
}

func (o *output) check() error {
	formats := []string{"", "json", "yaml"}
	if o.wide {
		formats = append(formats, "wide")
	}
	if slices.Contains(formats, o.format) {
		return nil
	}
	return usagef("--output=%s: must be %s", o.format, strings.Join(formats[1:], ", "))
}

// print writes o's format of an object, or what human writes.
func (o *output) print(w io.Writer, object any, human func(w io.Writer)) error {
	var text []byte
	var err error
	switch o.format {
	case "json":
		if text, err = json.MarshalIndent(object, "", "  "); err == nil {
			text = append(text, '\n')
		}
	case "yaml":
		text, err = yaml.Marshal(object)
	default:
		var b strings.Builder
		human(&b)
		text = []byte(b.String())
	}
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// table writes rows in columns, as kubectl does. The first row is the heading.
func table(w io.Writer, indent string, rows [][]string) {
	var b strings.Builder
	columns := tabwriter.NewWriter(&b, 0, 8, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(columns, indent+strings.Join(row, "\t"))
	}
	_ = columns.Flush() // a strings.Builder takes all
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

// wrap breaks a text into lines of about 100 characters, each behind indent.
func wrap(w io.Writer, indent, text string) {
	const width = 100
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			fmt.Fprintln(w, indent+line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		fmt.Fprintln(w, indent+line)
	}
}

// ago returns how long ago something was.
func ago(now, then time.Time) string { return duration.HumanDuration(max(now.Sub(then), 0)) }

// count returns a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// size returns a number of bytes as people read it.
func size(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, unit := float64(bytes), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value /= 1024; value < 1024 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// rate returns bytes in a second; "-" where there is nothing to tell.
func rate(bytes int64, took time.Duration) string {
	if bytes <= 0 || took <= 0 {
		return "-"
	}
	return size(int64(float64(bytes)/took.Seconds())) + "/s"
}

// short returns a duration with about three digits.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// orDash returns text, or "-" for an empty one.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

var reDigest = regexp.MustCompile(`\b([0-9a-f]{12})[0-9a-f]{52}\b`)

// brief cuts the digests in a text: who needs them whole has -o json.
func brief(text string) string { return reDigest.ReplaceAllString(text, "$1…") }

// terminalOf returns what program.terminal wants to know of a file.
func terminalOf(f *os.File) func() (width, height int, ok bool) {
	return func() (int, int, bool) {
		width, height, err := term.GetSize(int(f.Fd()))
		return width, height, err == nil && width > 0 && height > 0
	}
}

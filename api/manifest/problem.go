// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"strings"
)

// A Problem is one fault of a manifest, with its place.
type Problem struct {
	File    string // relative to the folder, with slashes
	Line    int    // from 1; zero: the file as a whole
	Column  int    // from 1; zero: the line as a whole
	Object  string // "Machine lab/n7"; empty: not within an object, or not known of which
	Field   string // "spec.macAddresses[0]"; empty: the object as a whole
	Message string // in the API server's words where it has some
}

// String returns the problem in the form of a compiler, FILE:LINE:COLUMN: OBJECT: FIELD: MESSAGE, without what is empty.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	for _, n := range []int{p.Line, p.Column} {
		if n > 0 {
			fmt.Fprintf(&b, ":%d", n)
		}
	}
	for _, part := range []string{p.Object, p.Field, p.Message} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	return b.String()
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSteps(t *testing.T) {
	for name, tc := range map[string]struct {
		path string
		want []string
	}{
		"nothing":                 {"", nil},
		"fields and an item":      {"spec.macAddresses[0]", []string{"spec", "macAddresses", "0"}},
		"an item of an item":      {"a[1][2].b", []string{"a", "1", "2", "b"}},
		"a key with dots":         {"metadata.annotations[a.b/c].x", []string{"metadata", "annotations", "a.b/c", "x"}},
		"a bracket that is open":  {"a[b", []string{"a", "b"}},
		"what stands for no path": {"<nil>", []string{"<nil>"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, steps(tc.path)); diff != "" {
				t.Errorf("steps(%q) (-want +got):\n%s", tc.path, diff)
			}
		})
	}
}

// FuzzParse holds that nothing is lost when a file is split, and that each problem is within it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "---", "a: b\n---\na: b: c\n", "a: {b: [c, *x]}\n", "&a [*a]\n", "a: &x {b: 1}\nc: {<<: *x}\n", "? [a]\n: b\n",
		"a: 1\na: 2\n", "{\"a\":\t1}", "--- |\n text\n--- # x\r\n- b\n", "a: \"b\n", "%YAML 1.2\n---\na\n", "\xff\xfea\x00", "a: !!binary x\n",
	} {
		f.Add([]byte(seed), "a.b[0][c.d]")
	}
	f.Fuzz(func(t *testing.T, text []byte, path string) {
		lines := 1
		for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} { // YAML 1.1, section 5.4
			lines += bytes.Count(text, []byte(end))
		}
		var joined []byte
		for _, doc := range split(text) {
			joined = append(joined, doc.text...)
			value, tree, problems := doc.parse()
			for _, p := range problems {
				if p.Line < 1 || p.Line > lines || p.Message == "" {
					t.Errorf("%+v in a file of %d lines", p, lines)
				}
			}
			if value != nil { // the null of an empty document stands after its end
				if line, _ := doc.place(tree, path); line < 1 || line > lines {
					t.Errorf("place(%q) = line %d of %d", path, line, lines)
				}
			}
		}
		if !bytes.Equal(joined, text) {
			t.Errorf("split and joined: %q, want %q", joined, text)
		}
	})
}

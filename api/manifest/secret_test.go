// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"strings"
	"testing"
)

// TestProblemsOfSecretsQuoteNothing has files with a Secret that are wrong in all ways. Problems are logged.
func TestProblemsOfSecretsQuoteNothing(t *testing.T) {
	const head = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: lab}\n"
	validator := newValidator(t)
	for name, text := range map[string]string{
		"an alias that nobody defined":       head + "stringData: {a: *hunter2}\n",
		"an anchor that is defined twice":    head + "stringData: {a: &hunter2 x, b: *hunter2, c: &hunter2 y, d: *hunter}\n",
		"a tag":                              head + "stringData: {a: !hunter2 x}\n",
		"an escape that is none":             head + "stringData: {a: \"hunter2\\q\"}\n",
		"a character that starts nothing":    head + "stringData: {a: @hunter2}\n",
		"a block that does not end":          head + "stringData: {a: \"hunter2\n",
		"a colon too many":                   head + "stringData:\n  a: hunter2: x\n",
		"a key twice":                        head + "stringData:\n  a: hunter2\n  a: hunter2\n",
		"a directive":                        "%hunter2 x\n" + head,
		"no base64":                          head + "data: {a: hunter2}\n",
		"a number":                           head + "stringData: {a: 1, hunter2: 2}\n",
		"a mapping as a value":               head + "stringData: {a: {hunter2: 1}}\n",
		"a list as a value":                  head + "stringData: {a: [hunter2]}\n",
		"a list for all":                     head + "stringData: [hunter2]\n",
		"a text for all":                     head + "stringData: hunter2\n",
		"the fields in the wrong place":      head + "password: hunter2\n",
		"a wrong immutable":                  head + "immutable: hunter2\n",
		"a wrong kind of metadata":           "apiVersion: v1\nkind: Secret\nmetadata: {name: s, labels: {a: [hunter2]}}\n",
		"data that is no text":               head + "data: {a: 12}\n",
		"a file that starts with the secret": "hunter2\n---\n" + head,
		"the kind comes last":                "stringData: {a: *hunter2}\nmetadata: {name: s}\nkind: Secret\napiVersion: v1\n",
		"in a list":                          "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: s}\n  stringData: {a: *hunter2}\n",
		"as JSON":                            `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"a":hunter2"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{"s.yaml": text})
			_, problems, err := validator.Load(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems {
				t.Log(p)
				if strings.Contains(p.String(), "hunter2") {
					t.Errorf("the problem tells the secret: %v", p)
				}
			}
			if len(problems) == 0 {
				t.Log("no problem")
			}
		})
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// config returns a machine with one config "text".
func config(template string) *index.Machine {
	return machine(func(m *index.Machine) { m.Configs = append(m.Configs, index.Config{Name: "text", Template: template}) })
}

func TestConfigText(t *testing.T) {
	for name, tc := range map[string]struct {
		template, want string
	}{
		"no template":                        {"#!/bin/sh\n", "#!/bin/sh\n"},
		"fields":                             {"{{ .Machine.Name }} {{ .Machine.Namespace }} {{ .Profile.Namespace }}/{{ .Profile.Name }}", "n7 lab lab/debian"},
		"the interface":                      {"{{ .Machine.MAC }} {{ len .Machine.MACs }}", "52:54:00:aa:bb:01 2"},
		"architecture of the first platform": {"{{ .Machine.Architecture }}", "amd64"},
		"URLs":                               {`{{ .ServerURL }} {{ .ConfigURL "preseed" }}`, "http://192.0.2.1:8080 http://192.0.2.1:8080/m/lab/n7/preseed"},
		"base64":                             {`{{ base64 "a\x00b" }}`, "YQBi"},
		"join":                               {`{{ .Machine.MACs | join "," }}`, "52:54:00:aa:bb:01,52:54:00:aa:bb:02"},
		"indent":                             {`{{ indent 2 "a\n\nb\n" }}`, "  a\n\n  b\n"},
		"urlquery":                           {`{{ urlquery "a b&c" }}`, "a+b%26c"},
		"default":                            {`{{ index .Machine.Variables "row" | default "1" }} {{ "x" | default "y" }}`, "1 x"},
		"lower and upper":                    {`{{ lower "ÄB" }} {{ upper "ß" }}`, "äb ß"},
		"quoteShell":                         {`{{ quoteShell "it's $x" }}`, `'it'\''s $x'`},
		"quoteGRUB":                          {`{{ quoteGRUB "it's" }} {{ quoteGRUB "plain" }} {{ quoteGRUB "" }}`, `'it'\''s' plain ''`},
		"quoteJSON":                          {`{{ quoteJSON "a\"\n<" }}`, `"a\"\n\u003c"`},
		"quoteIPXE":                          {`{{ quoteIPXE "a b" }}`, "a b"},
		"quotePXELINUX":                      {`{{ quotePXELINUX "a b" }}`, "a b"},
		"printf":                             {`{{ printf "%s-%02d %q" .Machine.Name 7 "x" }}`, `n7-07 "x"`},
		"range and break":                    {`{{ range $i, $m := .Machine.MACs }}{{ if $i }}{{ break }}{{ end }}{{ $i }}={{ $m }};{{ end }}`, "0=52:54:00:aa:bb:01;"},
		"range over fields":                  {`{{ range $k, $v := .Machine.Variables }}{{ $k }}={{ $v }}{{ else }}none{{ end }}`, "rack=r12"},
		"html for XML":                       {`{{ html "<a&b>" }}`, "&lt;a&amp;b&gt;"},
	} {
		t.Run(name, func(t *testing.T) {
			got, contentType, err := render.ConfigText(config(tc.template), "text", request())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ConfigText() (-want +got):\n%s", diff)
			}
			if want := "text/plain; charset=utf-8"; contentType != want {
				t.Errorf("content type %q, want %q", contentType, want)
			}
		})
	}
}

func TestConfigTextOfAnotherType(t *testing.T) {
	text, contentType, err := render.ConfigText(machine(), "meta-data", request())
	if text != "rack: \"r12\"\n" || contentType != "application/yaml" || err != nil {
		t.Errorf("ConfigText() = %q, %q, %v", text, contentType, err)
	}
}

func TestConfigTextWithoutProfile(t *testing.T) {
	m := config("{{ .Profile.Name }}.{{ .Machine.Architecture }}")
	m.Profile = nil
	if text, _, err := render.ConfigText(m, "text", request()); text != "." || err != nil {
		t.Errorf("ConfigText() = %q, %v", text, err)
	}
}

func TestConfigTextRefused(t *testing.T) {
	if _, _, err := render.ConfigText(machine(), "nope", request()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ConfigText() of an unknown name: error = %v, want fs.ErrNotExist", err)
	}
	_, _, err := render.ConfigText(machine(), "secret", request())
	if want := `machine lab/n7: config "secret": Secret "lab/keys" does not exist`; err == nil || err.Error() != want {
		t.Errorf("ConfigText() of an unavailable text: error = %v, want %s", err, want)
	}
	if _, _, err = render.ConfigText(machine(), "preseed", render.Request{TFTPServer: "a b"}); err == nil {
		t.Error("ConfigText() for a wrong server: no error")
	}
}

// TestRunawayTemplates would not end, or fill the memory, without bounds.
func TestRunawayTemplates(t *testing.T) {
	nested := func(depth int) string {
		return strings.Repeat("{{ range $.Machine.MACs }}", depth) + strings.Repeat("{{ end }}", depth)
	}

	const work, long, calls = "the template does too much", "the result is longer than", "templates can't call others"
	for name, tc := range map[string]struct {
		template string
		want     string
	}{
		"an empty loop over a number":     {"{{ range 1000000000 }}{{ end }}", work},
		"a loop over a number's variable": {"{{ $n := 1000000000 }}{{ range $n }}{{ end }}", work},
		"a loop in an else":               {"{{ if 0 }}{{ else }}{{ range 1000000000 }}{{ end }}{{ end }}", work},
		"loops in loops over fields":      {nested(64), work},
		"loops in too many loops":         {nested(101), "nests more than 100"},
		"recursion":                       {`{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`, calls},
		"the text that calls itself":      {`{{ if 1 }}{{ template "text" }}{{ end }}`, calls},
		"a block":                         {`{{ block "x" . }}{{ template "x" }}{{ end }}`, calls},
		"too many actions":                {strings.Repeat("{{ if 1 }}", 100000), "more than 10000"},
		"a text that doubles":             {`{{ $x := "xxxxxxxx" }}` + strings.Repeat(`{{ $x = print $x $x }}`, 60), work},
		"a text that doubles by printf":   {`{{ $x := "xxxxxxxx" }}` + strings.Repeat(`{{ $x = printf "%s%s" $x $x }}`, 60), work},
		"a text that doubles by println":  {`{{ $x := "xxxxxxxx" }}` + strings.Repeat(`{{ $x = println $x $x }}`, 60), work},
		"one value printed many times": {
			`{{ $x := "` + strings.Repeat("x", 30000) + `" }}{{ $x = printf "` + strings.Repeat("%[1]s", 6000) + `" $x }}`, work,
		},
		"escapes of escapes":        {`{{ $x := "\"" }}` + strings.Repeat(`{{ $x = quoteJSON $x }}`, 60), work},
		"indented again and again":  {`{{ $x := "a\nb" }}` + strings.Repeat(`{{ $x = indent 80 $x }}`, 3) + `{{ range 1000000 }}{{ $x = indent 80 $x }}{{ end }}`, work},
		"a wide number":             {`{{ printf "%999999d" 1 }}`, "a width or precision above 99"},
		"a width from outside":      {`{{ printf "%*d" 999999 1 }}`, "a width or precision of *"},
		"an indent that is too big": {`{{ indent 1000000000 "x" }}`, "outside 0-80 spaces"},
		"a structure printed":       {`{{ print .Machine }}`, "can't print a struct"},
		"output without end":        {"{{ range 1000000000 }}" + strings.Repeat("x", 4096) + "{{ end }}", long},
		"its own charge":            {"{{ charge -1000000000 }}", `function "charge" not defined`},
	} {
		t.Run(name, func(t *testing.T) {
			text, _, err := render.ConfigText(config(tc.template), "text", request())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("ConfigText() = %d bytes, error %v; want an error with %q", len(text), err, tc.want)
			}
		})
	}
}

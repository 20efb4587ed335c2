// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"text/template"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// functions returns what templates may call besides text/template's own. Of those, the ones that build strings are
// replaced by metered ones: {{$x = print $x $x}} forty times over would fill any memory.
func (m *meter) functions() template.FuncMap {
	return template.FuncMap{
		"base64":   m.text(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }),
		"urlquery": m.text(url.QueryEscape),
		"lower":    m.text(strings.ToLower),
		"upper":    m.text(strings.ToUpper),
		"html":     m.text(template.HTMLEscapeString),
		"js":       m.text(template.JSEscapeString),

		// One for each syntax that a text may be in. Those of PXELINUX and iPXE have no quotes: an error says what
		// can't stand there.
		"quoteGRUB":     m.text(quoteGRUB),
		"quoteShell":    m.text(quoteShell),
		"quoteJSON":     m.text(quoteJSON),
		"quotePXELINUX": m.textOrError(func(s string) (string, error) { return pxelinux{}.word(s, &index.Platform{}) }),
		"quoteIPXE":     m.textOrError(func(s string) (string, error) { return ipxe{}.word(s, &index.Platform{}) }),

		"join":    m.join,
		"indent":  m.indent,
		"default": orDefault,
		"print":   m.print,
		"println": m.println,
		"printf":  m.printf,
	}
}

// text meters a function whose result is at most a few times as long as its argument.
func (m *meter) text(f func(string) string) func(string) (string, error) {
	return m.textOrError(func(s string) (string, error) { return f(s), nil })
}

func (m *meter) textOrError(f func(string) (string, error)) func(string) (string, error) {
	return func(s string) (string, error) {
		if err := m.spend(len(s)); err != nil {
			return "", err
		}
		return f(s)
	}
}

// join puts separator between texts: {{ .Machine.MACs | join "," }}.
func (m *meter) join(separator string, texts []string) (string, error) {
	work := 0
	for _, text := range texts {
		work += len(separator) + len(text)
	}
	if err := m.spend(work); err != nil {
		return "", err
	}
	return strings.Join(texts, separator), nil
}

// indent puts so many spaces before each line that is not empty.
func (m *meter) indent(spaces int, text string) (string, error) {
	if spaces < 0 || spaces > 80 {
		return "", fmt.Errorf("indent by %d: outside 0-80 spaces", spaces)
	}
	if err := m.spend(len(text) + spaces*(1+strings.Count(text, "\n"))); err != nil {
		return "", err
	}
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if strings.Trim(line, "\r\n") != "" {
			lines[i] = strings.Repeat(" ", spaces) + line
		}
	}
	return strings.Join(lines, ""), nil
}

// orDefault returns value, or fallback when value is empty: {{ index .Machine.Variables "rack" | default "r0" }}.
func orDefault(fallback, value any) any {
	if truth, _ := template.IsTrue(value); truth {
		return value
	}
	return fallback
}

func (m *meter) print(values ...any) (string, error) {
	if err := m.spendValues(1, values); err != nil {
		return "", err
	}
	return fmt.Sprint(values...), nil
}

func (m *meter) println(values ...any) (string, error) {
	if err := m.spendValues(1, values); err != nil {
		return "", err
	}
	return fmt.Sprintln(values...), nil
}

// printf is metered by the worst that a format can do: each verb prints all the values, escaped, and a padding.
func (m *meter) printf(format string, values ...any) (string, error) {
	const worstEscape, maxWidth = 6, 99
	verbs := strings.Split(format, "%")[1:]
	for _, verb := range verbs {
		flags := verb[:len(verb)-len(strings.TrimLeft(verb, "+-# 0123456789.[]*"))]
		notDigit := func(r rune) bool { return r < '0' || r > '9' }
		for _, number := range strings.FieldsFunc(flags, notDigit) {
			if len(number) > len("99") {
				return "", fmt.Errorf("printf %q: a width or precision above %d", format, maxWidth)
			}
		}
		if strings.Contains(flags, "*") {
			return "", fmt.Errorf("printf %q: a width or precision of *; write the number", format)
		}
	}
	if err := m.spend(len(format) + 2*maxWidth*len(verbs)); err != nil {
		return "", err
	}
	if err := m.spendValues(worstEscape*len(verbs), values); err != nil {
		return "", err
	}
	return fmt.Sprintf(format, values...), nil
}

// spendValues meters values that are printed so many times.
func (m *meter) spendValues(times int, values []any) error {
	const longestNumber = 330 // bytes, of a float64 without exponent
	work := 0
	for _, value := range values {
		switch v := reflect.ValueOf(value); v.Kind() {
		case reflect.String:
			work += v.Len()
		case reflect.Bool, reflect.Float64, reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint8:
			work += longestNumber
		default:
			return fmt.Errorf("can't print a %T: only texts, numbers and booleans; join makes a text of a list", value)
		}
	}
	return m.spend(times * work)
}

// quoteShell returns s as one word of a POSIX shell.
func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quoteJSON returns s as a JSON string, which is also a double-quoted string of YAML.
func quoteJSON(s string) string {
	quoted, _ := json.Marshal(s) //nolint:errchkjson // a string always encodes; what is not UTF-8 becomes U+FFFD
	return string(quoted)
}

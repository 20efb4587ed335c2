// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package index_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

func TestParseMAC(t *testing.T) {
	want := index.MAC{0x52, 0x54, 0x00, 0xaa, 0xbb, 0x0c}
	const (
		notSixPairs  = "not six pairs of hex digits"
		badSeparator = "six pairs of hex digits are separated by ':' or '-'"
	)
	for name, tc := range map[string]struct {
		text      string
		wantError string // after `MAC address "TEXT": `; empty: accepted, as want
	}{
		"colons":                     {text: "52:54:00:aa:bb:0c"},
		"hyphens":                    {text: "52-54-00-aa-bb-0c"},
		"nothing between the digits": {text: "525400aabb0c"},
		"upper case":                 {text: "52:54:00:AA:BB:0C"},
		"both cases":                 {text: "52-54-00-Aa-bB-0C"},

		"empty":                              {text: "", wantError: notSixPairs},
		"an IPv4 address in hex":             {text: "0A4D0032", wantError: notSixPairs},
		"five pairs":                         {text: "52:54:00:aa:bb", wantError: notSixPairs},
		"eight pairs, of InfiniBand":         {text: "52:54:00:aa:bb:0c:0d:0e", wantError: notSixPairs},
		"dots, as on switches":               {text: "5254.00aa.bb0c", wantError: notSixPairs},
		"dots between pairs":                 {text: "52.54.00.aa.bb.0c", wantError: badSeparator},
		"colons and hyphens":                 {text: "52:54:00-aa:bb:0c", wantError: notSixPairs},
		"a digit on the wrong side":          {text: "52:540:0:aa:bb:0c", wantError: notSixPairs},
		"a letter that is no hex digit":      {text: "52:54:00:aa:bb:0g", wantError: notSixPairs},
		"a space before it":                  {text: " 2:54:00:aa:bb:0c", wantError: notSixPairs},
		"a space after it":                   {text: "52:54:00:aa:bb:0c ", wantError: notSixPairs},
		"17 bytes that are fewer characters": {text: "５2:54:00:aa:bb:", wantError: badSeparator},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := index.ParseMAC(tc.text)
			if tc.wantError == "" {
				if err != nil || got != want {
					t.Errorf("ParseMAC(%q) = %v, %v, want %v", tc.text, got, err, want)
				}
				return
			}
			wantError := fmt.Sprintf("MAC address %q: %s", tc.text, tc.wantError)
			if err == nil || err.Error() != wantError {
				t.Errorf("ParseMAC(%q) error = %v, want %s", tc.text, err, wantError)
			}
			if !got.IsZero() {
				t.Errorf("ParseMAC(%q) = %v with an error, want the zero address", tc.text, got)
			}
		})
	}
}

func TestMACIsWrittenAsLoadersDo(t *testing.T) {
	mac := index.MAC{0x52, 0x54, 0x00, 0xaa, 0xbb, 0x0c}
	if got, want := mac.String(), "52:54:00:aa:bb:0c"; got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
	if got, want := mac.Hyphens(), "52-54-00-aa-bb-0c"; got != want {
		t.Errorf("Hyphens() = %s, want %s", got, want)
	}
	if mac.IsZero() {
		t.Error("IsZero() of an address = true")
	}
}

// What is accepted has exactly twelve hex digits, and reads the same when it is written again.
func FuzzParseMAC(f *testing.F) {
	for _, seed := range []string{
		"52:54:00:aa:bb:0c", "52-54-00-AA-BB-0C", "525400aabb0c", "", ":::::::::::::::::", "52:540:0:aa:bb:0c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mac, err := index.ParseMAC(text)
		if err != nil {
			return
		}
		digits := strings.ToLower(strings.NewReplacer(":", "", "-", "").Replace(text))
		if got := strings.ReplaceAll(mac.String(), ":", ""); got != digits {
			t.Errorf("ParseMAC(%q) = %v: other digits", text, mac)
		}
		for _, written := range []string{mac.String(), mac.Hyphens(), digits} {
			if again, err := index.ParseMAC(written); err != nil || again != mac {
				t.Errorf("ParseMAC(%q) = %v, %v, want %v", written, again, err, mac)
			}
		}
	})
}

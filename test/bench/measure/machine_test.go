// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWriteResult(t *testing.T) {
	const begin, end = "<!-- results -->\n", "<!-- end of results -->\n"
	for name, tc := range map[string]struct{ page, want string }{
		"between the marks":  {"# A\n" + begin + "old\n" + end + "end\n", "# A\n" + begin + "\nnew\n\n" + end + "end\n"},
		"no end: all of it":  {"# A\n" + begin + "old\n", "new\n"},
		"no marks":           {"old\n", "new\n"},
		"there is no file":   {"", "new\n"},
		"nothing in between": {begin + end, begin + "\nnew\n\n" + end},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "page.md")
			if tc.page != "" {
				if err := os.WriteFile(file, []byte(tc.page), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := WriteResult(file, Marks{begin, end}, "new\n"); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("page (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWordAfter(t *testing.T) {
	for name, tc := range map[string]struct{ text, before, want string }{
		"tftpd-hpa": {"tftp-hpa 5.2, with remap, with tcpwrappers\n", "tftp-hpa ", "5.2"},
		"atftpd":    {"atftp-0.8.0 (server)\n", "atftp-", "0.8.0"},
		"dnsmasq":   {"Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley\n", "Dnsmasq version ", "2.90"},
		"something": {"cannot run\n", "version ", "?"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wordAfter(tc.text, tc.before); got != tc.want {
				t.Errorf("wordAfter() = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestVersionOf(t *testing.T) {
	for release, want := range map[string]string{
		"6.18.44-host-v657": "6.18.44", "6.1.0-28-amd64": "6.1.0", "6.12": "6.12", "7.1-rc3": "7.1", "6.18.44.2": "6.18.44", "": "?", "v6": "?",
	} {
		if got := versionOf(release); got != want {
			t.Errorf("versionOf(%q) = %q, want %q", release, got, want)
		}
	}
}

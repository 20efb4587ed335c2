// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
)

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, "in the way", file)
	write(t, "in the way", dir, "occupied", "sha256")
	for name, tc := range map[string]struct {
		options artifact.Options
		want    string // DIR stands for the test's folder
	}{
		"no folder": {
			artifact.Options{}, "artifact store: no Dir: name the folder of the cache",
		},
		"a file for a folder": {
			artifact.Options{Dir: file},
			`artifact store: Dir "DIR/file": must be a folder that can be written: not a directory`,
		},
		"a folder below a file": {
			artifact.Options{Dir: file + "/cache"},
			`artifact store: Dir "DIR/file/cache": must be a folder that can be written: not a directory`,
		},
		"a folder that has a file where a folder must be": {
			artifact.Options{Dir: dir + "/occupied", FilesDir: dir},
			`artifact store: Dir "DIR/occupied": must be a folder that can be written: file exists`,
		},
		"a folder that nobody can write to": { // not even root
			artifact.Options{Dir: "/proc/self/cache"},
			`artifact store: Dir "/proc/self/cache": must be a folder that can be written: no such file or directory`,
		},
		"a missing files folder": {
			artifact.Options{Dir: dir + "/cache", FilesDir: dir + "/missing"},
			`artifact store: FilesDir "DIR/missing": no such file or directory`,
		},
		"a negative size": {
			artifact.Options{Dir: dir, MaxBytes: -1}, "artifact store: MaxBytes -1: must be 0 (16 GiB) or more",
		},
		"a negative delay": {
			artifact.Options{Dir: dir, RetryAfter: -time.Second}, "artifact store: RetryAfter -1s: outside 0-1h0m0s",
		},
		"a long delay": {
			artifact.Options{Dir: dir, RetryAfter: 2 * time.Hour}, "artifact store: RetryAfter 2h0m0s: outside 0-1h0m0s",
		},
		"an impatient timeout": {
			artifact.Options{Dir: dir, StallTimeout: time.Millisecond},
			"artifact store: StallTimeout 1ms: neither 0 nor in 1s-10m0s",
		},
		"too many attempts": {
			artifact.Options{Dir: dir, Attempts: 21}, "artifact store: number of Attempts 21: outside 0-20",
		},
		"a long backoff": {
			artifact.Options{Dir: dir, Backoff: time.Minute}, "artifact store: bound of Backoff 1m0s: outside 0-30s",
		},
		"a negative budget": {
			artifact.Options{Dir: dir, MaxCacheBytes: -1}, "artifact store: MaxCacheBytes -1: must be 0 (no limit) or more",
		},
		"a negative interval": {
			artifact.Options{Dir: dir, ScrubInterval: -1}, "artifact store: ScrubInterval -1ns: must be 0 (none) or more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := artifact.New(tc.options)
			if err == nil {
				_ = s.Close()
				t.Fatal("New() succeeded")
			}
			if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != tc.want {
				t.Errorf("New() error = %q, want %q", got, tc.want)
			}
		})
	}
}

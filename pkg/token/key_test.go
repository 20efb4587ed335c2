// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package token_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/token"
)

func TestParseKey(t *testing.T) {
	secret := strings.Repeat("s", 32)
	for name, tc := range map[string]struct {
		text string
		want string // in the error; empty: none
	}{
		"as it is written": {base64.StdEncoding.EncodeToString([]byte(secret)), ""},
		"with a line end":  {base64.StdEncoding.EncodeToString([]byte(secret)) + "\r\n", ""},
		"longer":           {base64.StdEncoding.EncodeToString([]byte(secret + secret)), ""},
		"empty":            {"\n", "it is empty"},
		"no base64":        {secret + "!", "it is not base64"},
		"too short":        {base64.StdEncoding.EncodeToString([]byte(secret[1:])), "31 bytes, less than 32"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := token.ParseKey([]byte(tc.text))
			if tc.want == "" && (err != nil || string(k.Text()) != strings.TrimSpace(tc.text)) {
				t.Errorf("ParseKey() = %s, %v", k.Text(), err)
			}
			if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), secret[1:]) || !k.IsZero()) {
				t.Errorf("ParseKey() error = %v, want %q in it", err, tc.want)
			}
		})
	}
}

// TestLoadFile starts many processes' worth of readers at once: all must get the key that the first one wrote.
func TestLoadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "token-key")
	texts := make([]string, 16)
	var loading sync.WaitGroup
	for i := range texts {
		loading.Go(func() {
			k, err := token.LoadFile(path)
			if err != nil {
				t.Error(err)
			}
			texts[i] = string(k.Text())
		})
	}
	loading.Wait()
	for _, text := range texts {
		if text != texts[0] || len(text) < 43 {
			t.Fatalf("keys differ: %q", texts)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v, want the key alone", entries, err)
	}
}

func TestLoadFileRefusesWhatIsNoKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token-key")
	if err := os.WriteFile(path, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := token.LoadFile(path); err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("LoadFile() error = %v, want the file's name and nothing of its content", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "hunter2" {
		t.Errorf("the file is now %q, %v", content, err)
	}
}

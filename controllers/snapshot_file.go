// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The files of a snapshot. What is read of Secrets never comes into the first.
const (
	objectsFile = "objects.json" // in DATA_DIR/snapshot
	secretsFile = "secrets.json" // in RUNTIME_DIR

	snapshotMagic   = "netboot-operator snapshot"
	snapshotVersion = 1
)

// Bounds of the files, in bytes. The second is meant for a folder in memory.
const (
	maxObjectsFile = 256 << 20
	maxSecretsFile = 8 << 20
)

// abandonedAfter is how old a file must be that nobody finished: another process may be writing one just now.
const abandonedAfter = 10 * time.Minute

// A snapshotHead says whose objects these are, and of when.
type snapshotHead struct {
	Time time.Time `json:"time"` // when they were last known to be the API server's
	// Server and Namespace are what was followed; an empty namespace is all.
	Server    string `json:"server"`
	Namespace string `json:"namespace,omitempty"`
}

// encodeSnapshot returns the content of a file: a line with the format's name, its version and the SHA-256 of the rest; a line
// with the head; the body.
func encodeSnapshot(head snapshotHead, body []byte) ([]byte, error) {
	rest, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	rest = append(append(append(rest, '\n'), body...), '\n')
	return append(fmt.Appendf(nil, "%s %d %x\n", snapshotMagic, snapshotVersion, sha256.Sum256(rest)), rest...), nil
}

// decodeSnapshot is the other way round. The errors tell what is wrong with the file, for the log.
func decodeSnapshot(content []byte) (head snapshotHead, body []byte, err error) {
	first, rest, _ := bytes.Cut(content, []byte("\n"))
	after, ok := strings.CutPrefix(string(first), snapshotMagic+" ")
	version, sum, both := strings.Cut(after, " ")
	switch {
	case !ok || !both:
		return head, nil, errors.New("damaged: it does not begin as a snapshot does")
	case version != strconv.Itoa(snapshotVersion):
		return head, nil, fmt.Errorf("of another version: its format is %q, and this version of netboot knows %d", version, snapshotVersion)
	case sum != hex.EncodeToString(sumOf(rest)):
		return head, nil, errors.New("damaged: its checksum is not that of its content")
	}
	line, body, _ := bytes.Cut(rest, []byte("\n"))
	if err := json.Unmarshal(line, &head); err != nil {
		return head, nil, fmt.Errorf("damaged: %w", err)
	}
	return head, body, nil
}

func sumOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

// readSnapshot reads a file into body, if it is of the same objects as want. The error wraps fs.ErrNotExist if there is none.
func readSnapshot(dir, name string, maxBytes int64, want snapshotHead, body any) (snapshotHead, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return snapshotHead{}, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	_ = f.Close() // it was only read
	if err != nil {
		return snapshotHead{}, err
	}
	if int64(len(content)) > maxBytes {
		return snapshotHead{}, fmt.Errorf("damaged: larger than %d bytes", maxBytes)
	}
	head, text, err := decodeSnapshot(content)
	if err != nil {
		return head, err
	}
	if head.Server != want.Server || head.Namespace != want.Namespace {
		return head, fmt.Errorf("of others: it is of API server %q, namespace %q, and this process follows %q, %q",
			head.Server, head.Namespace, want.Server, want.Namespace)
	}
	if err := json.Unmarshal(text, body); err != nil {
		return head, fmt.Errorf("damaged: %w", err)
	}
	return head, nil
}

// writeSnapshot replaces a file as a whole, durably, or leaves it as it is. Only its owner may read it.
func writeSnapshot(dir, name string, content []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, name+".new-*") // mode 0600; a name of its own: another process may do the same
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name())) // it may be what fills the disk
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// removeAbandoned removes what a process that was killed did not finish.
func removeAbandoned(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // there is none, or the first write tells
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().Type() == fs.FileMode(0) && strings.Contains(e.Name(), ".json.new-") && time.Since(info.ModTime()) > abandonedAfter {
			_ = os.Remove(filepath.Join(dir, e.Name())) // it takes room, that is all
		}
	}
}

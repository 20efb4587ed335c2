// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
)

// A record is a line of the file.
type record struct {
	Kind kind `json:"kind"`
	Boot
	Time    time.Time `json:"time,omitzero"`
	Arrived time.Time `json:"arrived,omitzero"` // kindBegun, kindState: when the beginning was told of
	By      string    `json:"by,omitempty"`
	Message string    `json:"message,omitempty"`

	// What the status tells (kindWritten), or what is known (kindState).
	Boots     int         `json:"boots,omitempty"`
	Unwritten int         `json:"unwritten,omitempty"`
	Completed time.Time   `json:"completed,omitzero"`
	Failed    time.Time   `json:"failed,omitzero"`
	Begun     []time.Time `json:"begun,omitempty"`
	Pending   bool        `json:"pending,omitempty"`

	turn int64
}

// kind is what a record tells.
type kind string

const (
	kindBegun     kind = "begun"
	kindCompleted kind = "completed"
	kindFailed    kind = "failed"
	kindWritten   kind = "written"
	kindForgotten kind = "forgotten"
	kindState     kind = "state" // all that was known of a boot when the file was made anew
)

// sumLen is the length of a line's checksum: hex digits of CRC-32C, which tells a line that was cut or overwritten.
const sumLen = 8

var errDamaged = errors.New("damaged")

func sumOf(content []byte) string {
	return fmt.Sprintf("%0*x", sumLen, crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)))
}

// appendLine appends the line of a record.
func appendLine(b []byte, r record) ([]byte, error) {
	content, err := json.Marshal(r)
	if err != nil {
		return b, fmt.Errorf("encode a record of Machine %s: %w", r.Machine, err)
	}
	b = append(b, sumOf(content)...)
	b = append(b, ' ')
	b = append(b, content...)
	return append(b, '\n'), nil
}

// parseLine reads a line, without its end.
func parseLine(line []byte) (r record, err error) {
	sum, content, _ := bytes.Cut(line, []byte(" "))
	if _, err := strconv.ParseUint(string(sum), 16, 32); err != nil || string(sum) != sumOf(content) {
		return r, errDamaged
	}
	if err := json.Unmarshal(content, &r); err != nil {
		return record{}, errDamaged
	}
	switch r.Kind {
	case kindBegun, kindCompleted, kindFailed, kindWritten, kindForgotten, kindState:
	default: // of a later version
		return record{}, errDamaged
	}
	if r.Machine == "" || r.Boots < 0 || r.Unwritten < 0 {
		return record{}, errDamaged
	}
	return r, nil
}

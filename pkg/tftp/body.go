// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"fmt"
	"io"
	"os"
	"time"
)

// A Body is what a request gets: Bytes in memory, a File of known size that can be read from any place, or a Stream that is
// read once. Exactly one of the three is set; Bytes may be of length 0 but not nil.
type Body struct {
	// Bytes are sent from where they are and must not change.
	Bytes []byte
	// File is read in chunks, ahead of the client, by several goroutines at once. One with an Identity may be read for
	// other requests after its own has ended, so that it must not depend on the context of that.
	File io.ReaderAt
	// Stream is read ahead of the client by one goroutine.
	Stream io.Reader
	// Size is that of File or Stream, in bytes. For a Stream it may be UnknownSize: a client that asks for the size (tsize)
	// is told if the stream ends within the first 64 KiB, and otherwise not. It is the length of Bytes by itself.
	Size int64
	// Identity, if not empty, says that all Bodies with it have the same bytes for ever, such as a digest: what was read of
	// one File is then sent to the clients of all, from one copy in memory.
	Identity string
	// Closer is closed once, when the Body is needed no more: never while the File is being read, but perhaps in the middle
	// of a Read of the Stream, which it should end. It may be nil.
	Closer io.Closer

	// FreshFor is how long other requests for the same name and mode, from whichever client, get this Body without the
	// handler being asked: for what depends on the name alone. It is for Bytes without a Closer, and Files with an
	// Identity, which then stay open as long. 0: the handler is asked each time.
	FreshFor time.Duration

	// Name is what was served, for the [Record]. It may be empty.
	Name string
	// MaxBlockSize bounds the block size, in bytes, for this transfer: for firmware that can't bear larger ones. 0: no
	// bound but the server's. 8 and more, else it is 8.
	MaxBlockSize int
	// MaxWindowSize bounds the window, in blocks, for this transfer. 0: no bound but the server's.
	MaxWindowSize int
	// RolloverToOne makes block 1 follow block 65535. All known boot loaders expect block 0, and so does false.
	RolloverToOne bool
	// Begin is called when a request begins to be answered from this Body, also for those that FreshFor saves from the
	// handler. What it returns becomes Record.Tag, so that whoever answers knows what has ended. It must not block.
	Begin func(*Request) any
	// Unrecorded leaves the request out of records, logs and the metrics of requests: for those that ask how the server is.
	Unrecorded bool

	// unshaken says that Stream reads a File, and is not to be closed in the middle of that.
	unshaken bool
}

// Bytes returns a Body of bytes in memory, which must not change.
func Bytes(b []byte) *Body {
	if b == nil {
		b = []byte{}
	}
	return &Body{Bytes: b}
}

// Text returns a Body of text.
func Text(s string) *Body { return Bytes([]byte(s)) }

// FileBody returns a Body of a regular file as it is now, and closes it in the end. If it returns an error, f is still open.
func FileBody(f *os.File) (*Body, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", f.Name())
	}
	return &Body{File: f, Size: info.Size(), Closer: f}, nil
}

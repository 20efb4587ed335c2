// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// What a Body becomes before it is sent.
func TestPrepare(t *testing.T) {
	file := func(n int) io.ReaderAt { return bytes.NewReader(contents(n)) }
	stream := func(n int) io.Reader { return bytes.NewReader(contents(n)) }
	text := strings.Repeat("a line\n", 1000)
	for name, tc := range map[string]struct {
		body     *Body
		text     bool
		tsize    string
		wantErr  string
		wantSize int64
		wantKind string
		wantName string // the identity
	}{
		"bytes":                   {body: &Body{Bytes: contents(9), Size: 3}, wantSize: 9, wantKind: "bytes"},
		"no bytes":                {body: &Body{Bytes: []byte{}}, wantKind: "bytes"},
		"file":                    {body: &Body{File: file(9), Size: 9, Identity: "x"}, wantSize: 9, wantKind: "file", wantName: "x"},
		"stream":                  {body: &Body{Stream: stream(9), Size: 9}, tsize: "tsize", wantSize: 9, wantKind: "stream"},
		"stream of unknown size":  {body: &Body{Stream: stream(9), Size: UnknownSize}, wantSize: UnknownSize, wantKind: "stream"},
		"its size is asked":       {body: &Body{Stream: stream(9), Size: UnknownSize}, tsize: "TSize", wantSize: 9, wantKind: "bytes"},
		"it is empty":             {body: &Body{Stream: stream(0), Size: UnknownSize}, tsize: "tsize", wantKind: "bytes"},
		"it is as long as may be": {body: &Body{Stream: stream(65536), Size: UnknownSize}, tsize: "tsize", wantSize: 65536, wantKind: "bytes"},
		"it is longer":            {body: &Body{Stream: stream(65537), Size: UnknownSize}, tsize: "tsize", wantSize: UnknownSize, wantKind: "stream"},
		"it breaks": {
			body: &Body{Stream: iotest.ErrReader(errDisk), Size: UnknownSize}, tsize: "tsize", wantErr: errDisk.Error(),
		},
		"it panics": {body: &Body{Stream: panics{}, Size: UnknownSize}, tsize: "tsize", wantErr: "panic: no"},

		"text":         {body: &Body{Bytes: []byte(text), Identity: "x"}, text: true, wantSize: 8000, wantKind: "bytes"},
		"no text":      {body: &Body{Bytes: []byte{}}, text: true, wantKind: "bytes"},
		"a long text":  {body: &Body{Bytes: []byte(strings.Repeat(text, 10))}, text: true, wantSize: UnknownSize, wantKind: "stream"},
		"a text file":  {body: &Body{File: strings.NewReader(text), Size: 7000, Identity: "x"}, text: true, wantSize: UnknownSize, wantKind: "stream"},
		"its size too": {body: &Body{File: strings.NewReader(text), Size: 7000}, text: true, tsize: "tsize", wantSize: 8000, wantKind: "bytes"},
		"a text file that shrank": {
			body: &Body{File: strings.NewReader(text), Size: 7001}, text: true, tsize: "tsize",
			wantErr: "read 7000 bytes of 7001: unexpected EOF",
		},
		"a text stream":              {body: &Body{Stream: strings.NewReader(text), Size: 7000}, text: true, tsize: "tsize", wantSize: 8000, wantKind: "bytes"},
		"a text stream that goes on": {body: &Body{Stream: strings.NewReader(text), Size: 6999}, text: true, tsize: "tsize", wantErr: "read more than the 6999 bytes that there should be"},

		"nothing":          {wantErr: "handler returned neither a body nor an error"},
		"an empty body":    {body: &Body{}, wantErr: "body has 0 of Bytes, File and Stream, want 1"},
		"two in one":       {body: &Body{Bytes: []byte{}, Stream: stream(9)}, wantErr: "body has 2 of Bytes, File and Stream, want 1"},
		"negative":         {body: &Body{File: file(9), Size: -1}, wantErr: "size of the body is -1, want 0 to 1125899906842624"},
		"negative, stream": {body: &Body{Stream: stream(9), Size: -2}, wantErr: "size of the body is -2, want 0 to 1125899906842624"},
		"not of this age":  {body: &Body{File: file(9), Size: 1 << 60}, wantErr: "size of the body is 1152921504606846976, want 0 to 1125899906842624"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Request{Mode: Octet, Options: []Option{{"blksize", "1468"}}}
			if tc.text {
				r.Mode = NetASCII
			}
			if tc.tsize != "" {
				r.Options = append(r.Options, Option{tc.tsize, "0"})
			}
			f := newTestFile(t, nil)
			if tc.body != nil {
				tc.body.Closer = f
			}
			got, err := prepare(t.Context(), r, tc.body)
			if tc.wantErr != "" {
				if err == nil || got != nil || !strings.HasPrefix(err.Error(), tc.wantErr) {
					t.Errorf("prepare() = %v, %v, want %s", got, err, tc.wantErr)
				}
				if tc.body != nil && !f.isClosed() {
					t.Error("not closed")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			kind := map[[3]bool]string{{true, false, false}: "bytes", {false, true, false}: "file", {false, false, true}: "stream"}
			if k := kind[[3]bool{got.Bytes != nil, got.File != nil, got.Stream != nil}]; k != tc.wantKind || got.Size != tc.wantSize {
				t.Errorf("a %q of %d bytes, want %q of %d", k, got.Size, tc.wantKind, tc.wantSize)
			}
			if got.Bytes != nil && int64(len(got.Bytes)) != got.Size {
				t.Errorf("%d bytes, and a size of %d", len(got.Bytes), got.Size)
			}
			if got.Identity != tc.wantName {
				t.Errorf("identity = %q, want %q", got.Identity, tc.wantName)
			}
			if read := got.Closer == nil; read != f.isClosed() {
				t.Errorf("closed: %v; still to be closed: %v", f.isClosed(), !read)
			}
			got.close()
			if !f.isClosed() {
				t.Error("not closed in the end")
			}
		})
	}
}

// A stream whose beginning was read for its size is sent from its beginning.
func TestPrepareKeepsTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		want := contents(200_000)
		b, err := prepare(t.Context(), &Request{Mode: Octet, Options: []Option{{"tsize", "0"}}},
			&Body{Stream: newDrips(want), Size: UnknownSize})
		if err != nil {
			t.Fatal(err)
		}
		d := l.download(l.newCache(0), b, 1468, 4)
		if got, err := d.all(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		d.content.release()
		l.settle()
	})
}

// A stream that does not come does not hold a request that is over.
func TestPrepareIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		s := newTap(t)
		ended := make(chan error, 1)
		go func() {
			_, err := prepare(ctx, &Request{Mode: Octet, Options: []Option{{"tsize", "0"}}}, &Body{Stream: s, Size: UnknownSize, Closer: s})
			ended <- err
		}()
		synctest.Wait()
		cause := errors.New("the client has gone")
		cancel(cause)
		if err := <-ended; !errors.Is(err, cause) || !s.isClosed() {
			t.Errorf("prepare() = %v, closed: %v", err, s.isClosed())
		}
	})
}

// Line ends become CR LF and CR becomes CR NUL, wherever the blocks, and the reads, begin and end.
func TestText(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"empty":                {"", ""},
		"no line end":          {"ab", "ab"},
		"LF":                   {"a\nb\n", "a\r\nb\r\n"},
		"CR":                   {"a\rb\r", "a\r\x00b\r\x00"},
		"CR LF":                {"a\r\nb", "a\r\x00\r\nb"},
		"LF CR":                {"\n\r", "\r\n\r\x00"},
		"NUL and 0xFF":         {"\x00\xff", "\x00\xff"},
		"many":                 {"\n\n\n\r\r\r", "\r\n\r\n\r\n\r\x00\r\x00\r\x00"},
		"longer than a read":   {strings.Repeat("line\n", 1000), strings.Repeat("line\r\n", 1000)},
		"line end at a border": {strings.Repeat("x", 255) + "\n", strings.Repeat("x", 255) + "\r\n"},
		"line end after it":    {strings.Repeat("x", 256) + "\n", strings.Repeat("x", 256) + "\r\n"},
		"CR across a piece":    {strings.Repeat("x", textPiece-1) + "\r!", strings.Repeat("x", textPiece-1) + "\r\x00!"},
		"only line ends":       {strings.Repeat("\n", 3000), strings.Repeat("\r\n", 3000)},
	} {
		t.Run(name, func(t *testing.T) {
			size := int64(len(tc.text))
			for how, body := range map[string]func(r *strings.Reader) *Body{
				"bytes":          func(*strings.Reader) *Body { return Text(tc.text) },
				"file":           func(r *strings.Reader) *Body { return &Body{File: r, Size: size} },
				"stream":         func(r *strings.Reader) *Body { return &Body{Stream: r, Size: size} },
				"unsized stream": func(r *strings.Reader) *Body { return &Body{Stream: r, Size: UnknownSize} },
				"byte by byte":   func(r *strings.Reader) *Body { return &Body{Stream: iotest.OneByteReader(r), Size: size} },
				"end with bytes": func(r *strings.Reader) *Body { return &Body{Stream: iotest.DataErrReader(r), Size: size} },
			} {
				for _, blockSize := range []int{8, 9, 512} {
					synctest.Test(t, func(t *testing.T) {
						l := newHandLoop(t)
						b, err := prepare(t.Context(), &Request{Mode: NetASCII}, body(strings.NewReader(tc.text)))
						if err != nil {
							t.Fatal(err)
						}
						d := l.download(l.newCache(0), b, blockSize, 4)
						if got, err := d.all(); err != nil || string(got) != tc.want {
							t.Errorf("%s, in blocks of %d: %d bytes %.50q, %v, want %d", how, blockSize, len(got), got, err, len(tc.want))
						}
						d.content.release()
						l.settle()
					})
				}
			}
		})
	}
}

// A text that breaks in the middle is not taken for complete, and blocks that were sent may be asked for again.
func TestTextOfABrokenFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		f := newTestFile(t, []byte(strings.Repeat("line\n", 10_000)))
		f.breaks = 30_000
		b, err := prepare(t.Context(), &Request{Mode: NetASCII}, &Body{File: f, Size: 50_000, Closer: f})
		if err != nil {
			t.Fatal(err)
		}
		d := l.download(l.newCache(0), b, 512, 4)
		got, err := d.all()
		if want := 36_000 / 512 * 512; !errors.Is(err, errDisk) || len(got) < want-textPiece || len(got) > want+512 {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		at := int64(len(got) - 1024)
		if one, _, ok := d.content.block(at, 512); !ok || !bytes.Equal(one, got[at:at+512]) {
			t.Errorf("again at %d: %q, %v", at, one, ok)
		}
		d.content.release()
		l.settle()
		if !f.isClosed() {
			t.Error("not closed")
		}
	})
}

func TestFileBody(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(name, contents(1000), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := FileBody(f)
	if err != nil || b.Size != 1000 {
		t.Fatalf("FileBody() = %v, %v", b, err)
	}
	b.close()
	if _, err := FileBody(f); err == nil {
		t.Error("FileBody() takes a closed file")
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FileBody(dir); err == nil {
		t.Error("FileBody() takes a directory")
	}
	_ = dir.Close()
}

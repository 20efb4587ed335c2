// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
)

// searchIn returns a search in layers, and how many of them it holds open.
func searchIn(t *testing.T, layers ...[]byte) (s *layerSearch, open *int) {
	t.Helper()
	open = new(int)
	return &layerSearch{
		ctx: t.Context(), count: len(layers), bytes: 1 << 20, entries: 1000,
		open: func(number int) (io.ReadCloser, error) {
			*open++
			return &countedLayer{bytes.NewReader(layers[number]), open}, nil
		},
	}, open
}

type countedLayer struct {
	io.Reader
	open *int
}

func (l *countedLayer) Close() error {
	*l.open--
	return nil
}

// tarLayer returns a layer with entries of "NAME", "NAME=CONTENT", "NAME->LINK" and "NAME=>HARD LINK".
func tarLayer(t testing.TB, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, entry := range entries {
		h := &tar.Header{Name: entry, Typeflag: tar.TypeDir, Mode: 0o755}
		content := ""
		if name, to, ok := strings.Cut(entry, "->"); ok {
			h.Name, h.Linkname, h.Typeflag = name, to, tar.TypeSymlink
		} else if name, to, ok := strings.Cut(entry, "=>"); ok {
			h.Name, h.Linkname, h.Typeflag = name, to, tar.TypeLink
		} else if name, text, ok := strings.Cut(entry, "="); ok {
			h.Name, content, h.Typeflag, h.Size = name, text, tar.TypeReg, int64(len(text))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLayerSearch(t *testing.T) {
	for name, tc := range map[string]struct {
		layers  [][]string // the lowest first
		path    string
		want    string
		wantErr string // empty: want comes
	}{
		"in the only layer":                           {layers: [][]string{{"a=1"}}, path: "a", want: "1"},
		"in the highest that has it":                  {layers: [][]string{{"a=1"}, {"a=2"}, {"b=3"}}, path: "a", want: "2"},
		"names with a dot and a slash":                {layers: [][]string{{"./x", "/x/a=1"}}, path: "x/a", want: "1"},
		"names that lead up":                          {layers: [][]string{{"../../x/a=1"}}, path: "x/a", want: "1"},
		"whiteout":                                    {layers: [][]string{{"x/a=1"}, {"x/.wh.a="}}, path: "x/a", wantErr: `"x/a": no such file, layer 2 removed it`},
		"whiteout of the folder":                      {layers: [][]string{{"x/y/a=1"}, {".wh.x="}}, path: "x/y/a", wantErr: `"x/y/a": no such file, layer 2 removed it`},
		"whiteout of something else":                  {layers: [][]string{{"x/a=1"}, {"x/.wh.b=", "y/.wh.a=", ".wh.a=", ".wh.=", "x/.wh.a.b="}}, path: "x/a", want: "1"},
		"whiteout beside the new file":                {layers: [][]string{{"a=1"}, {".wh.a=", "a=2"}}, path: "a", want: "2"},
		"whiteout, and back again":                    {layers: [][]string{{"a=1"}, {".wh.a="}, {"a=3"}}, path: "a", want: "3"},
		"opaque folder":                               {layers: [][]string{{"x/a=1"}, {"x/.wh..wh..opq="}}, path: "x/a", wantErr: `"x/a": no such file, layer 2 removed it`},
		"opaque folder beside the new file":           {layers: [][]string{{"x/a=1"}, {"x/.wh..wh..opq=", "x/a=2"}}, path: "x/a", want: "2"},
		"opaque folder of another name":               {layers: [][]string{{"xx/a=1"}, {"x/.wh..wh..opq="}}, path: "xx/a", want: "1"},
		"opaque top":                                  {layers: [][]string{{"a=1"}, {".wh..wh..opq="}}, path: "a", wantErr: `"a": no such file, layer 2 removed it`},
		"symbolic link":                               {layers: [][]string{{"x/a->b", "x/b=1"}}, path: "x/a", want: "1"},
		"symbolic link to a file in a higher layer":   {layers: [][]string{{"a->b", "b=1"}, {"b=2"}}, path: "a", want: "2"},
		"symbolic link in a higher layer":             {layers: [][]string{{"a=1", "b=2"}, {"a->/b"}}, path: "a", want: "2"},
		"folder that is a link":                       {layers: [][]string{{"lib->usr/lib", "usr/lib/x/a=1"}}, path: "lib/x/a", want: "1"},
		"folder that was a link before":               {layers: [][]string{{"lib->usr/lib", "usr/lib/a=1"}, {"lib"}}, path: "lib/a", wantErr: `"lib/a": no such file, layer 1 removed it`},
		"folder that was a link before, and its file": {layers: [][]string{{"lib->usr/lib", "usr/lib/a=1"}, {"lib", "lib/a=2"}, {"lib"}}, path: "lib/a", want: "2"},
		"folder that is a file now":                   {layers: [][]string{{"x/a=1"}, {"x=2"}}, path: "x/a", wantErr: `"x/a": no such file, layer 2 removed it`},
		"link out of the image":                       {layers: [][]string{{"a->../../../etc/b", "etc/b=1"}}, path: "a", want: "1"},
		"link to itself":                              {layers: [][]string{{"a->a"}}, path: "a", wantErr: `"a": more than 16 links`},
		"link to nothing":                             {layers: [][]string{{"a->b"}}, path: "a", wantErr: `"b": no such file`},
		"hard link":                                   {layers: [][]string{{"b=1", "x/a=>b"}, {"b=2"}}, path: "x/a", want: "1"},
		"hard link to itself":                         {layers: [][]string{{"a=>a"}}, path: "a", wantErr: `layer 1: "a" is not a regular file`},
		"hard links in a ring":                        {layers: [][]string{{"a=>b", "b=>a"}}, path: "a", wantErr: `"a": more than 16 links`},
		"folder":                                      {layers: [][]string{{"a"}}, path: "a", wantErr: `layer 1: "a" is not a regular file`},
		"no layers":                                   {path: "a", wantErr: `"a": no such file`},
	} {
		t.Run(name, func(t *testing.T) {
			var layers [][]byte
			for _, entries := range tc.layers {
				layers = append(layers, tarLayer(t, entries...))
			}
			search, open := searchIn(t, layers...)
			got, err := search.find(tc.path)
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Errorf("find() error is %v, want %q", err, tc.wantErr)
				}
			} else if err != nil {
				t.Fatal(err)
			} else if text, err := io.ReadAll(got); string(text) != tc.want || err != nil || got.size != int64(len(tc.want)) {
				t.Errorf("find() = %q, %v of %d bytes, want %q", text, err, got.size, tc.want)
			}
			if err == nil {
				if err := got.layer.Close(); err != nil {
					t.Error(err)
				}
			}
			if *open != 0 {
				t.Errorf("%d layers are still open", *open)
			}
		})
	}
}

func TestLayerSearchIsBounded(t *testing.T) {
	many := tarLayer(t, strings.Split(strings.Repeat("x,", 2000)+"a=1", ",")...)
	search, _ := searchIn(t, many)
	if _, err := search.find("a"); err == nil || !strings.Contains(err.Error(), "more than 2097152 files in all layers") {
		t.Errorf("find() beyond 1000 files: %v", err)
	}
	search, _ = searchIn(t, tarLayer(t, "x="+strings.Repeat("x", 2<<20), "a=1"))
	if _, err := search.find("a"); err == nil || !strings.Contains(err.Error(), "the layers are too large, unpacked") {
		t.Errorf("find() beyond 1 MiB: %v", err)
	}
}

func FuzzLayerSearch(f *testing.F) {
	plain := tarLayer(f, "boot", "boot/vmlinuz->../lib/vmlinuz", "lib/vmlinuz=kernel", "x=>lib/vmlinuz", "y/.wh.z=", "y/.wh..wh..opq=")
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(plain); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{"boot/vmlinuz", "x", "y/z", "none"} {
		f.Add(plain, packed.Bytes(), path)
		f.Add(packed.Bytes(), plain, path)
	}
	f.Fuzz(func(t *testing.T, lower, upper []byte, path string) {
		if !fs.ValidPath(path) || path == "." {
			return
		}
		search, open := searchIn(t, lower, upper)
		got, err := search.find(path)
		if err == nil {
			n, err := io.Copy(io.Discard, got)
			if err == nil && n != got.size || n > got.size || n > 1<<20 {
				t.Errorf("%d bytes came, and %d were announced: %v", n, got.size, err)
			}
			if err := got.layer.Close(); err != nil {
				t.Error(err)
			}
		} else if errors.Is(err, io.EOF) {
			t.Errorf("find() = %v, which looks like an end", err)
		}
		if *open != 0 || search.bytes < 0 {
			t.Errorf("%d layers are still open, and %d bytes are left", *open, search.bytes)
		}
	})
}

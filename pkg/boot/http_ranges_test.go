// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// Parts of a file, and the conditions on them (RFC 9110, 13 and 14).
func TestRangesAndConditions(t *testing.T) {
	s := newLab(t)
	target := "/artifacts/sha256/" + digest(kernelText) + "/linux"
	etag := `"sha256/` + digest(kernelText) + `"`
	_, header, _ := s.do(t, "", http.MethodGet, target, nil)
	modified := header.Get("Last-Modified")
	n := len(kernelText)
	part := func(from, to int) string { return fmt.Sprintf("bytes %d-%d/%d", from, to, n) }

	for name, tc := range map[string]struct {
		header     map[string]string
		wantStatus int
		wantBody   string
		wantRange  string
	}{
		"from a place on":            {map[string]string{"Range": "bytes=4-"}, 206, kernelText[4:], part(4, n-1)},
		"to beyond the end":          {map[string]string{"Range": "bytes=4-1000"}, 206, kernelText[4:], part(4, n-1)},
		"the last bytes":             {map[string]string{"Range": "bytes=-6"}, 206, kernelText[n-6:], part(n-6, n-1)},
		"more last bytes than are":   {map[string]string{"Range": "bytes=-1000"}, 206, kernelText, part(0, n-1)},
		"from beyond the end":        {map[string]string{"Range": "bytes=1000-"}, 416, "invalid range: failed to overlap\n", fmt.Sprintf("bytes */%d", n)},
		"in a unit that is not ours": {map[string]string{"Range": "blocks=0-1"}, 416, "invalid range\n", ""},
		"If-Range with the ETag":     {map[string]string{"Range": "bytes=4-9", "If-Range": etag}, 206, kernelText[4:10], part(4, 9)},
		"If-Range with another":      {map[string]string{"Range": "bytes=4-9", "If-Range": `"other"`}, 200, kernelText, ""},
		"If-Range with a weak one":   {map[string]string{"Range": "bytes=4-9", "If-Range": "W/" + etag}, 200, kernelText, ""},
		"If-Range with the date":     {map[string]string{"Range": "bytes=4-9", "If-Range": modified}, 206, kernelText[4:10], part(4, 9)},
		"If-Range with another date": {
			map[string]string{"Range": "bytes=4-9", "If-Range": "Thu, 01 Jan 1998 00:00:00 GMT"}, 200, kernelText, "",
		},
		"If-None-Match with the ETag":      {map[string]string{"If-None-Match": `"x", ` + etag}, 304, "", ""},
		"If-None-Match, a part":            {map[string]string{"If-None-Match": etag, "Range": "bytes=0-1"}, 304, "", ""},
		"If-Modified-Since":                {map[string]string{"If-Modified-Since": modified}, 304, "", ""},
		"If-Modified-Since, other content": {map[string]string{"If-Modified-Since": modified, "If-None-Match": `"x"`}, 200, kernelText, ""},
		"If-Match with another":            {map[string]string{"If-Match": `"x"`}, 412, "", ""},
		"more parts than anybody needs":    {map[string]string{"Range": "bytes=0-0" + strings.Repeat(",0-0", 16)}, 200, kernelText, ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked := http.Header{}
			for name, value := range tc.header {
				asked.Set(name, value)
			}
			status, header, body := s.do(t, "", http.MethodGet, target, asked)
			if status != tc.wantStatus || body != tc.wantBody || header.Get("Content-Range") != tc.wantRange {
				t.Errorf("%d %q, Content-Range %q; want %d %q, %q", status, body, header.Get("Content-Range"), tc.wantStatus, tc.wantBody, tc.wantRange)
			}
			if told := header.Get("Content-Length"); status == http.StatusOK && told != strconv.Itoa(len(body)) {
				t.Errorf("Content-Length %s of %d bytes", told, len(body))
			}
		})
	}
}

func TestSeveralRanges(t *testing.T) {
	s := newLab(t)
	status, header, body := s.do(t, "", http.MethodGet, "/artifacts/sha256/"+digest(kernelText)+"/linux",
		http.Header{"Range": {"bytes=0-3, -6"}})
	kind, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if status != http.StatusPartialContent || kind != "multipart/byteranges" || err != nil {
		t.Fatalf("%d %s, %v", status, kind, err)
	}
	var got []string
	for r := multipart.NewReader(strings.NewReader(body), parameters["boundary"]); ; {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part.Header.Get("Content-Range")+" "+string(b))
	}
	n := len(kernelText)
	want := []string{
		fmt.Sprintf("bytes 0-3/%d %s", n, kernelText[:4]),
		fmt.Sprintf("bytes %d-%d/%d %s", n-6, n-1, n, kernelText[n-6:]),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
}

// What is named by its digest may be kept for ever; what has another name must be asked for again.
func TestHowLongAnswersMayBeKept(t *testing.T) {
	s := newLab(t)
	write(t, "live", s.files, "live.img")
	live := index.Artifact{Field: "test", URLs: []string{"file:///live.img"}}
	s.index.PutProfile(&index.Profile{Key: "lab/live", Files: []index.File{{Path: "live.img", Artifact: live}}})
	for target, want := range map[string]string{
		"/artifacts/sha256/" + digest(kernelText) + "/linux": "public, max-age=31536000, immutable",
		"/artifacts/sha256/" + digest(kernelText):            "public, max-age=31536000, immutable",
		"/artifacts/" + string(live.ID()) + "/live.img":      "no-cache",
		"/lab/debian/shimx64.efi":                            "no-cache",
		"/52-54-00-aa-bb-07/shimx64.efi":                     "no-cache",
		"/pxelinux.0":                                        "no-cache",
		"/m/lab/n7/kickstart":                                "no-store",
		"/artifacts/sha256/" + digest("nothing") + "/linux":  "no-store",
	} {
		_, header, _ := s.do(t, "", http.MethodGet, target, nil)
		if got := header.Get("Cache-Control"); got != want {
			t.Errorf("GET %s: Cache-Control %q, want %q", target, got, want)
		}
	}
}

// A file of 5 GB, of which only what is read takes room, is served in place.
func TestLargeFile(t *testing.T) {
	const size, end = 5_000_000_000, "the very end"
	s := newLab(t)
	write(t, "", s.files, "large.img")
	f, err := os.OpenFile(filepath.Join(s.files, "large.img"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(end), size-int64(len(end)))
	wantNil(t, err)
	wantNil(t, f.Close())
	s.index.PutProfile(&index.Profile{Key: "lab/large", Files: []index.File{
		{Path: "large.img", Artifact: index.Artifact{Field: "test", URLs: []string{"file:///large.img"}}},
	}})

	status, header, _ := s.do(t, "", http.MethodHead, "/lab/large/large.img", nil)
	if status != http.StatusOK || header.Get("Content-Length") != strconv.Itoa(size) {
		t.Errorf("HEAD: %d, Content-Length %s, want 200 and %d", status, header.Get("Content-Length"), size)
	}
	for asked, want := range map[string]string{
		fmt.Sprintf("bytes=%d-", size-int64(len(end))):        end,
		fmt.Sprintf("bytes=-%d", len(end)):                    end,
		fmt.Sprintf("bytes=%d-%d", size-8, size-6):            end[len(end)-8 : len(end)-5],
		fmt.Sprintf("bytes=%d-%d", int64(1)<<32-1, 1<<32+1):   "\x00\x00\x00", // past what 32 bits count
		fmt.Sprintf("bytes=%d-%d", size-1, int64(size)+1<<40): end[len(end)-1:],
	} {
		status, header, body := s.do(t, "", http.MethodGet, "/lab/large/large.img", http.Header{"Range": {asked}})
		if status != http.StatusPartialContent || body != want || !strings.HasSuffix(header.Get("Content-Range"), "/"+strconv.Itoa(size)) {
			t.Errorf("%s: %d %q, Content-Range %q; want 206 %q", asked, status, body, header.Get("Content-Range"), want)
		}
	}
}

// A client that closes its own direction while its file is fetched gets no answer, rather than an empty file.
func TestNoAnswerIsNoEmptyFile(t *testing.T) {
	s := newLab(t)
	held := make(chan struct{})
	mirror := newHeldMirror(t, held)
	defer close(held)
	sum := sha256.Sum256([]byte("later"))
	s.index.PutProfile(&index.Profile{Key: "lab/slow", Files: []index.File{
		{Path: "slow.img", Artifact: index.Artifact{Field: "test", URLs: []string{mirror}, SHA256: hex.EncodeToString(sum[:])}},
	}})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.http.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	wantNil(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, "GET /lab/slow/slow.img HTTP/1.1\r\nHost: x\r\n\r\n")
	wantNil(t, err)
	wantNil(t, conn.(*net.TCPConn).CloseWrite())
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != io.EOF {
		t.Errorf("the answer begins with %q, %v; want none", line, err)
	}
	s.log.wantLine(t, "the client is gone", "slow.img")
}

// newHeldMirror starts a mirror that answers when held is closed. It returns the URL of its only file.
func newHeldMirror(t *testing.T, held <-chan struct{}) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
			_, _ = io.WriteString(w, "later")
		case <-r.Context().Done():
		}
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // until it is closed
	}()
	t.Cleanup(func() {
		wantNil(t, server.Close())
		<-ended
	})
	return "http://" + l.Addr().String() + "/slow.img"
}

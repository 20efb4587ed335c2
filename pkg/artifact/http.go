// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// steadyBytes is what must come within Options.StallTimeout. It makes a few bytes a minute, which would hold a slot for
// days, a failure like none.
const steadyBytes = 16 << 10

// openHTTP asks an HTTP upstream for the file as it is: the digest is that of the file, not of a compressed form.
func (s *Store) openHTTP(ctx context.Context, from *url.URL, a *index.Artifact, at position) (*source, *Error) {
	client, failed := s.client(a.Credentials)
	if failed != nil {
		return nil, failed
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), http.NoBody)
	if err != nil {
		return nil, because(ReasonSourceNotAllowed, "not a URL: correct it")
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "netboot-operator")
	authorize(req, a.Credentials)
	if at.offset > 0 {
		at.ask(req.Header)
	}
	resp, end, err := s.do(req, client.Do) //nolint:bodyclose // end does
	if err != nil {
		return nil, because(ReasonUpstreamUnavailable, "%w", err)
	}
	src := &source{Reader: resp.Body, size: resp.ContentLength, html: isHTML(resp.Header), validator: validator(resp.Header), close: end}
	if at.offset > 0 && resp.StatusCode != http.StatusOK {
		if resp.StatusCode == http.StatusPartialContent && at.fits(resp.Header, src) {
			src.offset = at.offset
			return src, nil
		}
		if resp.StatusCode == http.StatusPartialContent || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			end()
			return s.openHTTP(ctx, from, a, fromStart) // it is another file by now, or the upstream has its own idea of ranges
		}
	}
	last := req
	if resp.Request != nil { // a RoundTripper that is not net/http's may leave it out
		last = resp.Request
	}
	if failed := checkResponse(resp, redirected(req.URL, last.URL)); failed != nil {
		end()
		return nil, failed
	}
	return src, nil
}

// do sends a request by the given function, and returns the answer and what ends its use. It fails, and so does reading the
// body, when too little comes in Options.StallTimeout. Its errors pass, unless it is certain that they don't.
func (s *Store) do(req *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, func(), error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	window := s.options.StallTimeout
	stall := time.AfterFunc(window, func() {
		cancel(fmt.Errorf("less than %d bytes came in %v", steadyBytes, window))
	})
	req = req.WithContext(ctx)
	resp, err := send(req)
	if err != nil {
		err = unanswered(ctx, req, err)
		stall.Stop()
		cancel(nil)
		return nil, nil, err
	}
	body := resp.Body
	resp.Body = &steadyBody{Closer: body, steadyReader: steadyReader{ctx: ctx, body: body, stall: stall, window: window}}
	return resp, func() {
		stall.Stop()
		cancel(nil)
		_ = body.Close() // what matters was read
	}, nil
}

// ask puts into a request's header that only the rest is wanted. It ends where the file is known to: some upstreams know no
// range without an end.
func (at position) ask(h http.Header) {
	end := ""
	if at.total > at.offset {
		end = strconv.FormatInt(at.total-1, 10)
	}
	h.Set("Range", fmt.Sprintf("bytes=%d-%s", at.offset, end))
	if at.validator != "" {
		h.Set("If-Range", at.validator)
	}
}

// fits says whether a partial answer begins where it was asked to, in a file of the same length. It completes src.
func (at position) fits(h http.Header, src *source) bool {
	first, total, ok := contentRange(h)
	if !ok || first != at.offset || at.total >= 0 && total >= 0 && total != at.total {
		return false
	}
	if total < 0 {
		total = at.total
	}
	src.size = total
	return true
}

// contentRange reads the header of that name: where the part begins, and how long the whole is; -1: not told.
func contentRange(h http.Header) (first, total int64, ok bool) {
	text, ok := strings.CutPrefix(h.Get("Content-Range"), "bytes ")
	span, length, hasLength := strings.Cut(text, "/")
	start, _, hasEnd := strings.Cut(span, "-")
	first, err := strconv.ParseInt(start, 10, 64)
	if !ok || !hasLength || !hasEnd || err != nil || first < 0 {
		return 0, 0, false
	}
	if total, err = strconv.ParseInt(length, 10, 64); err != nil {
		total = -1
	}
	return first, total, true
}

// validator returns what If-Range may hold for this answer: a strong ETag, or a time that is certain to change with the file.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return ""
	}
	if now, err := http.ParseTime(h.Get("Date")); err != nil || now.Sub(modified) < time.Second { // RFC 9110, 8.8.2.2
		return ""
	}
	return h.Get("Last-Modified")
}

// unanswered returns why there is no response, without the URL that the caller names already.
func unanswered(ctx context.Context, req *http.Request, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return &passingError{error: cause}
	}
	failed, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err
	}
	if broken, ok := errors.AsType[*net.OpError](err); ok {
		// Without our own address: its port is another each time, and the text stands in a condition.
		failed.Err = &net.OpError{Op: broken.Op, Net: broken.Net, Addr: broken.Addr, Err: broken.Err}
	}
	why := failed.Err
	if reached, parseErr := url.Parse(failed.URL); parseErr == nil && reached.IsAbs() {
		why = fmt.Errorf("%s%w", redirected(req.URL, reached), failed.Err)
	}
	if lasts(failed.Err) {
		return why
	}
	return &passingError{error: why}
}

// lasts says whether an error of a request will be the same for the next one.
func lasts(err error) bool {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	unknown, _ := errors.AsType[*net.DNSError](err)
	return untrusted || unknown != nil && unknown.IsNotFound || errors.Is(err, errTooManyRedirects)
}

// redirected returns the start of a message that tells where redirects led, or nothing when there were none. What follows
// the path may be a signature that lets anybody in.
func redirected(asked, reached *url.URL) string {
	if asked.Redacted() == reached.Redacted() {
		return ""
	}
	plain := *reached
	plain.RawQuery, plain.Fragment = "", ""
	return "redirected to " + plain.Redacted() + ": "
}

// checkResponse decides by the response's head whether the body can be the file.
func checkResponse(resp *http.Response, via string) *Error {
	status := fmt.Sprintf("%sanswered %d %s", via, resp.StatusCode, http.StatusText(resp.StatusCode))
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return because(ReasonUnauthorized, "%s: does it want credentials, or others? They are in the Secret that secretRef names", status)
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout:
		return because(ReasonUpstreamUnavailable, "%w", ofStatus(resp.StatusCode, resp.Header, errors.New(status)))
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		return because(ReasonUpstreamUnavailable, "%s: correct the URL, or put the file there", status)
	default:
		return because(ReasonUpstreamUnavailable, "%w", ofStatus(resp.StatusCode, resp.Header, errors.New(status)))
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return because(ReasonUnexpectedContent,
			"%sanswered with Content-Encoding %q though asked not to: serve the file as it is there", via, encoding)
	}
	return nil
}

func isHTML(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")) // what can't be parsed is no page
	return kind == "text/html" || kind == "application/xhtml+xml"
}

// A steadyBody is a body that is read steadily.
type steadyBody struct {
	steadyReader
	io.Closer
}

// A steadyReader reads a body, and puts the end of ctx off as long as enough comes.
type steadyReader struct {
	ctx    context.Context // of the request that the body belongs to
	body   io.Reader
	stall  *time.Timer // ends ctx
	window time.Duration
	came   int // bytes since stall was set
}

func (r *steadyReader) Read(b []byte) (int, error) {
	n, err := r.body.Read(b)
	r.came += n
	if r.came >= steadyBytes {
		r.came = 0
		r.stall.Reset(r.window)
	}
	if err != nil && !errors.Is(err, io.EOF) && r.ctx.Err() != nil {
		err = context.Cause(r.ctx) // says more than "context canceled"
	}
	return n, err
}

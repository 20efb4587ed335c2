// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"
)

// steadyBytes is what must come within Options.StallTimeout. It makes a few bytes a minute, which would hold a slot for
// days, a failure like none.
const steadyBytes = 16 << 10

// get asks an HTTP upstream for the file as it is: the digest is that of the file, not of a compressed form.
func (s *Store) get(from *url.URL) (*source, *Error) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	window := s.options.StallTimeout
	stall := time.AfterFunc(window, func() {
		cancel(fmt.Errorf("less than %d bytes came in %v", steadyBytes, window))
	})
	end := func() {
		stall.Stop()
		cancel(nil)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), http.NoBody)
	if err != nil {
		end()
		return nil, because(ReasonSourceNotAllowed, "not a URL: correct it")
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "netboot-operator")

	resp, err := s.options.Client.Do(req) //nolint:bodyclose // source.close does, after the body was read
	if err != nil {
		err = unanswered(ctx, req, err)
		end()
		return nil, because(ReasonUpstreamUnavailable, "%w", err)
	}
	last := req
	if resp.Request != nil { // a RoundTripper that is not net/http's may leave it out
		last = resp.Request
	}
	if failed := checkResponse(resp, redirected(req.URL, last.URL)); failed != nil {
		_ = resp.Body.Close() // it is not wanted
		end()
		return nil, failed
	}
	return &source{
		Reader: &steadyReader{ctx: ctx, body: resp.Body, stall: stall, window: window},
		size:   resp.ContentLength,
		html:   isHTML(resp.Header),
		close: func() {
			end()
			_ = resp.Body.Close() // what matters was read
		},
	}, nil
}

// unanswered returns why there is no response, without the URL that the caller names already.
func unanswered(ctx context.Context, req *http.Request, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	failed, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err
	}
	if broken, ok := errors.AsType[*net.OpError](err); ok {
		// Without our own address: its port is another each time, and the text stands in a condition.
		failed.Err = &net.OpError{Op: broken.Op, Net: broken.Net, Addr: broken.Addr, Err: broken.Err}
	}
	if reached, parseErr := url.Parse(failed.URL); parseErr == nil && reached.IsAbs() {
		return fmt.Errorf("%s%w", redirected(req.URL, reached), failed.Err)
	}
	return failed.Err
}

// redirected returns the start of a message that tells where redirects led, or nothing when there were none.
func redirected(asked, reached *url.URL) string {
	if asked.Redacted() == reached.Redacted() {
		return ""
	}
	return "redirected to " + reached.Redacted() + ": "
}

// checkResponse decides by the response's head whether the body can be the file.
func checkResponse(resp *http.Response, via string) *Error {
	if resp.StatusCode != http.StatusOK {
		status := fmt.Sprintf("%sanswered %d %s", via, resp.StatusCode, http.StatusText(resp.StatusCode))
		if resp.StatusCode >= 400 && resp.StatusCode < 500 {
			status += ": correct the URL, or put the file there"
		}
		return because(ReasonUpstreamUnavailable, "%s", status)
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

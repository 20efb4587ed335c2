// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// ServeHTTP implements http.Handler. It is no http.ServeMux on purpose: that one redirects to the clean form of a path,
// and firmware follows no redirects.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/"+ProbeName {
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, h.instance) // the client is gone, or not
		return
	}
	started := time.Now()
	response := &countingWriter{ResponseWriter: w}
	machine, reason := h.serveHTTP(response, r)
	values := []any{
		"client", r.RemoteAddr, "file", withoutToken(r.URL.Path), "over", render.HTTP, "status", response.status,
		"bytes", response.bytes, "took", time.Since(started),
	}
	if machine != "" {
		values = append(values, "Machine", machine)
	}
	switch {
	case reason != "":
		h.log.Info("Refused", append(values, "reason", reason)...)
	case response.failed != nil:
		h.log.Info("Not served to the end", append(values, "reason", response.failed.Error())...)
	default:
		h.log.Info("Served", values...)
	}
	if response.status == 0 {
		// Nothing was answered, as the client seems to be gone. net/http would send an empty file to one that has only
		// closed its own direction.
		panic(http.ErrAbortHandler)
	}
}

// serveHTTP answers, and returns for whom, as far as it is known, and the reason if it refused.
func (h *Handler) serveHTTP(w *countingWriter, r *http.Request) (machine index.Key, reason string) {
	request := h.httpRequest(r)
	e := &request.event
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		return h.servePost(w, r, request)
	default:
		e.Refusal = attempt.RefusedMethod
		h.ends(e, attempt.OutcomeRefused, "method "+r.Method)
		return "", refuseMethod(w, "GET, HEAD", "only GET and HEAD are answered here")
	}
	file, err := h.Open(r.Context(), request)
	if err != nil {
		h.fails(r.Context(), e, err)
		return "", h.refuseHTTP(w, r, err)
	}
	defer func() { _ = file.Close() }() // it was only read

	w.Header().Set("Content-Type", file.ContentType)
	if file.ETag != "" {
		w.Header().Set("ETag", file.ETag)
	}
	w.Header().Set("Cache-Control", cacheControl(r.URL.Path, file))
	if file.ModTime.IsZero() {
		w.Header().Set("Referrer-Policy", "no-referrer") // the URL may hold a token
	}
	if strings.Count(r.Header.Get("Range"), ",") >= maxRanges {
		r.Header.Del("Range") // what a server may do with each (RFC 9110, 14.2); nobody sane asks for so many parts
	}
	if r.Method == http.MethodGet {
		h.begins(e, file.Size)
		defer h.goes(e, r, file.Machine, file.Size)()
	}
	// Range, HEAD, conditions and Content-Length are net/http's; so is sendfile, for which it must see the *os.File.
	http.ServeContent(w, r, "", file.ModTime, file.Content)
	if e.Kind == attempt.KindArtifact && h.undelivered != nil && r.Method == http.MethodGet && w.failed == nil {
		_ = http.NewResponseController(w).Flush() // an error shows in what is not delivered
		e.Bytes, w.gone = h.undelivered(r)
		e.Bytes = -e.Bytes
	}
	h.served(e, r, w, file.Size)
	return file.Machine, ""
}

// refuseHTTP answers a request that there is nothing for, and returns the reason.
func (h *Handler) refuseHTTP(w http.ResponseWriter, r *http.Request, err error) string {
	refusal, refused := errors.AsType[*Refusal](err)
	switch {
	case refused && refusal.Kind == attempt.RefusedMethod:
		return refuseMethod(w, http.MethodPost, refusal.Reason)
	case refused:
		return refuse(w, httpStatus(refusal), refusal.Reason)
	case r.Context().Err() != nil:
		return "the client is gone" // it did not wait for a download, say; nobody is there to answer
	}
	h.log.Error(err, "Request can't be answered", "client", r.RemoteAddr, "file", withoutToken(r.URL.Path))
	return refuse(w, http.StatusInternalServerError, "internal error")
}

// served tells the observer how an answer ended.
func (h *Handler) served(e *event, r *http.Request, w *countingWriter, size int64) {
	e.Bytes, e.Size = max(0, e.Bytes+w.bytes), size
	if length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); err == nil {
		e.Size = length
	}
	outcome, reason := attempt.OutcomeServed, ""
	switch {
	case r.Method == http.MethodHead, w.status == http.StatusNotModified:
		outcome = attempt.OutcomeProbe
	case w.status == http.StatusPartialContent:
		outcome, e.FileSize = attempt.OutcomePart, size
		if _, err := fmt.Sscanf(w.Header().Get("Content-Range"), "bytes %d-", &e.Offset); err != nil {
			outcome, e.FileSize, e.Offset = attempt.OutcomeProbe, 0, 0 // several parts, which no loader asks for
		}
	case w.status >= http.StatusBadRequest: // a range or a condition that the file does not meet
		outcome = attempt.OutcomeProbe
	}
	if e.Bytes < e.Size && (outcome == attempt.OutcomeServed || outcome == attempt.OutcomePart) {
		outcome, reason = attempt.OutcomeCut, "the connection was closed"
		if errors.Is(w.failed, os.ErrDeadlineExceeded) || w.failed == nil && !w.gone {
			outcome, reason = attempt.OutcomeSilent, "the client took nothing more" // it is us who closed
		}
	}
	h.ends(e, outcome, reason)
}

// maxRanges is how many parts of a file one request may ask for.
const maxRanges = 16

// cacheControl says how long a file may be kept by whoever fetched it: one that is named by its digest, for ever. Another
// must be asked for each time, at least whether it is still the same.
func cacheControl(path string, file *File) string {
	switch {
	case file.ModTime.IsZero():
		return "no-store"
	case strings.HasPrefix(path, "/artifacts/sha256/") && strings.HasPrefix(file.ETag, `"sha256/`):
		return "public, max-age=31536000, immutable"
	}
	return "no-cache"
}

func httpStatus(r *Refusal) int {
	switch {
	case r.Forbidden:
		return http.StatusForbidden
	case r.Later:
		return http.StatusServiceUnavailable
	case r.Unavailable:
		return http.StatusBadGateway
	}
	return http.StatusNotFound
}

func (h *Handler) httpRequest(r *http.Request) *Request {
	request := &Request{Name: strings.TrimPrefix(r.URL.Path, "/"), Query: r.URL.Query(), Over: render.HTTP, Host: r.Host, TLS: r.TLS != nil}
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err == nil {
		request.Client = client.Addr().Unmap()
	}
	request.event = h.newEvent(render.HTTP, client, request.Name)
	request.event.UserAgent = oneLine(r.UserAgent(), maxEventAgent)
	request.event.ByIPXE = strings.HasPrefix(request.event.UserAgent, "iPXE/")
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if addr, err := netip.ParseAddrPort(local.String()); err == nil {
			request.Local = addr.Addr().Unmap()
		}
	}
	return request
}

// refuseMethod answers a request of a method that is not answered there, and says which are.
func refuseMethod(w http.ResponseWriter, allow, reason string) string {
	w.Header().Set("Allow", allow)
	return refuse(w, http.StatusMethodNotAllowed, reason)
}

// refuse answers with a line of text, and returns it.
func refuse(w http.ResponseWriter, status int, reason string) string {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, reason, status)
	return reason
}

// countingWriter counts what is sent, for the log. It passes ReadFrom on: without that net/http would not use sendfile.
type countingWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
	failed error // the last one: the client's connection, or the file
	gone   bool  // the client has closed the connection
}

// WriteHeader notes the status.
func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	if err != nil {
		w.failed = err
	}
	return n, err
}

// ReadFrom counts.
func (w *countingWriter) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	if err != nil {
		w.failed = err
	}
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// ServeHTTP implements http.Handler. It is no http.ServeMux on purpose: that one redirects to the clean form of a path,
// and firmware follows no redirects.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
func (h *Handler) serveHTTP(w http.ResponseWriter, r *http.Request) (machine index.Key, reason string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return "", refuse(w, http.StatusMethodNotAllowed, "only GET and HEAD are answered here")
	}
	file, err := h.Open(r.Context(), h.httpRequest(r))
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return "", refuse(w, httpStatus(refusal), refusal.Reason)
	}
	if err != nil && r.Context().Err() != nil {
		return "", "the client is gone" // it did not wait for a download, say; nobody is there to answer
	}
	if err != nil {
		h.log.Error(err, "Request can't be answered", "client", r.RemoteAddr, "file", withoutToken(r.URL.Path))
		return "", refuse(w, http.StatusInternalServerError, "internal error")
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
	// Range, HEAD, conditions and Content-Length are net/http's; so is sendfile, for which it must see the *os.File.
	http.ServeContent(w, r, "", file.ModTime, file.Content)
	return file.Machine, ""
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
	if client, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		request.Client = client.Addr().Unmap()
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if addr, err := netip.ParseAddrPort(local.String()); err == nil {
			request.Local = addr.Addr().Unmap()
		}
	}
	return request
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

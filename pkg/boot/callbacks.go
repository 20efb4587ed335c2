// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// maxCallback bounds the body of a callback, in bytes.
const maxCallback = 64 << 10

// servePost answers a callback. It returns whose it is, and the reason if it was refused. Any other POST is one too many.
func (h *Handler) servePost(w http.ResponseWriter, r *http.Request, request *Request) (index.Key, string) {
	e := &request.event
	a := parse(request.Name, nil)
	e.asked(a)
	m := h.index.Machine(a.object)
	if a.kind != askText || !slices.Contains(render.Callbacks(), a.file) || m == nil {
		e.Refusal = attempt.RefusedMethod
		h.ends(e, attempt.OutcomeRefused, "method "+r.Method)
		return "", refuseMethod(w, "GET, HEAD", "only GET and HEAD are answered here")
	}
	e.machine(m)
	e.Kind = callbackKind(a.file)
	if err := h.authorize(m, render.CallbackScope(a.file), a.token); err != nil {
		h.fails(r.Context(), e, err)
		return m.Key, h.refuseHTTP(w, r, err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallback))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		e.Refusal = attempt.RefusedOther
		h.ends(e, attempt.OutcomeRefused, "the body is too large")
		return m.Key, refuse(w, http.StatusRequestEntityTooLarge, "the body is larger than 64 KiB")
	}
	if err != nil { // what is there counts: the machine may have been in a hurry to restart
		h.log.Info("Callback came in part", "Machine", m.Key, "callback", a.file, "reason", err.Error())
	}
	e.Bytes = int64(len(body))
	e.Size = e.Bytes
	e.Message = messageOf(r.Header.Get("Content-Type"), body)
	if err := h.note(m, a.file, e.Message); err != nil {
		h.log.Error(err, "Callback is not on disk; the machine is told to try again", "Machine", m.Key, "callback", a.file)
		e.Refusal = attempt.RefusedStorage
		h.ends(e, attempt.OutcomeRefused, "the callback could not be written down")
		w.Header().Set("Retry-After", "5")
		return m.Key, refuse(w, http.StatusServiceUnavailable, "not noted: try again")
	}
	h.log.Info("Machine reports", "Machine", m.Key, "bootID", m.BootID, "callback", a.file, "message", e.Message)
	h.ends(e, attempt.OutcomeServed, "")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, "ok\n") // the client is gone, or not
	return m.Key, ""
}

func callbackKind(name string) attempt.Kind {
	switch name {
	case render.CallbackComplete:
		return attempt.KindComplete
	case render.CallbackFailed:
		return attempt.KindFailed
	}
	return attempt.KindLog
}

// note puts on disk what a machine says of its boot.
func (h *Handler) note(m *index.Machine, callback, message string) error {
	if h.ledger == nil {
		return nil
	}
	switch callback {
	case render.CallbackComplete:
		return h.ledger.Completed(m, time.Now())
	case render.CallbackFailed:
		return h.ledger.Failed(m, message, time.Now())
	}
	return nil
}

// messageOf returns what a callback's body says: of a form its field message, else the text as it is. cloud-init's phone_home
// posts a form of other fields, which are nobody's business here.
func messageOf(contentType string, body []byte) string {
	kind, _, _ := mime.ParseMediaType(contentType)
	text := string(body)
	if form, err := url.ParseQuery(text); kind == "application/x-www-form-urlencoded" && err == nil &&
		(form.Has("message") || bytes.ContainsRune(body, '=')) {
		text = form.Get("message")
	}
	return oneLine(text, maxMessage)
}

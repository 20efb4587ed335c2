// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/render"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// ProbeName is the name that a probe asks for, by TFTP or HTTP. It gets [Options.Instance], and leaves no trace.
const ProbeName = ".netboot/self-probe"

// ServeTFTP implements tftp.Handler.
func (h *Handler) ServeTFTP(ctx context.Context, r *tftp.Request) (*tftp.Body, error) {
	if r.Name == ProbeName {
		return &tftp.Body{Bytes: []byte(h.instance), Unrecorded: true}, nil
	}
	request := &Request{
		Name:   r.Name,
		Over:   render.TFTP,
		Client: r.Client.Addr().Unmap(),
		Local:  r.Local,
		event:  h.newEvent(render.TFTP, r.Client, r.Name),
	}
	request.event.ByIPXE = slices.Equal(r.Options, optionsOfIPXE())
	file, err := h.Open(ctx, request)
	if err != nil {
		h.fails(ctx, &request.event, err)
	}
	refusal, refused := errors.AsType[*Refusal](err)
	switch {
	case refused:
		h.log.Info("Refused", "client", r.Client, "file", withoutToken(r.Name), "over", render.TFTP, "reason", refusal.Reason)
		code := tftp.CodeNotFound
		if refusal.Unavailable || refusal.Forbidden || refusal.Later {
			code = tftp.CodeUndefined
		}
		return nil, &tftp.Error{Code: code, Message: refusal.Reason}
	case err != nil:
		return nil, err // the server logs it and answers "internal error"
	}
	body := tftpBody(file)
	if h.observer != nil {
		a := &answering{handler: h, first: request.event, size: file.Size, closer: body.Closer}
		body.Begin = a.begin
		if body.Closer != nil {
			body.Closer = a
		}
	}
	return body, nil
}

// optionsOfIPXE are the options of each request of iPXE, and of nobody else that is known (seen: 1.0.0+ to 1.21).
func optionsOfIPXE() []tftp.Option {
	return []tftp.Option{{Name: "blksize", Value: "1432"}, {Name: "tsize", Value: "0"}}
}

// answering tells of the answers that are made of one Body.
type answering struct {
	handler *Handler
	first   event // of the request that it was made for; by others for the same name it is used again
	size    int64
	closer  io.Closer
	used    atomic.Bool
}

// begin tells that the answer to a request begins.
func (a *answering) begin(r *tftp.Request) any {
	e := a.first
	if a.used.Swap(true) {
		again := a.handler.newEvent(render.TFTP, r.Client, r.Name)
		e.Time, e.ID, e.Client = again.Time, again.ID, again.Client
	}
	a.handler.begins(&e, a.size)
	return &e
}

// Close closes the file. If no answer was made of it after all, because the client asked for something else meanwhile or no port
// was left, then what was told of an artifact when it was asked for ends here.
func (a *answering) Close() error {
	if !a.used.Swap(true) && a.first.Artifact != "" {
		e := a.first
		a.handler.ends(&e, attempt.OutcomeReplaced, "")
	}
	return a.closer.Close()
}

// freshFor is how much later than by HTTP a loader or artifact that was replaced may be seen by TFTP: in a boot storm all
// machines ask for the same few.
const freshFor = time.Second

// tftpBody returns a File in the form that the TFTP server wants. What is the same file is read once for all machines
// that ask for it; what is for one machine is looked up each time, so that its policy holds at once.
func tftpBody(f *File) *tftp.Body {
	if t, ok := f.Content.(text); ok {
		return tftp.Bytes(t.bytes)
	}
	b := &tftp.Body{File: f.Content, Size: f.Size, Identity: f.identity, Closer: f.Content}
	if f.Machine == "" && f.identity != "" {
		b.FreshFor = freshFor
	}
	return b
}

// Transferred logs how a transfer ended, and tells the observer. It is the tftp.Options.Observe of a server whose Handler is
// h; refusals were logged when they were made.
func (h *Handler) Transferred(r tftp.Record) {
	h.transferred(&r)
	switch r.Outcome {
	case tftp.OutcomeNotFound, tftp.OutcomeRefused, tftp.OutcomeFailed: // logged when they were answered
		return
	}
	values := []any{
		"client", r.Request.Client, "file", withoutToken(r.Request.Name), "over", render.TFTP, "outcome", r.Outcome,
		"bytes", r.Bytes, "took", r.Duration, "retransmits", r.Retransmits, "roundTrip", r.RoundTrip,
	}
	if r.Err != nil {
		values = append(values, "reason", r.Err.Error())
	}
	switch r.Outcome {
	case tftp.OutcomeComplete, tftp.OutcomeLastACKLost, tftp.OutcomeProbe:
		h.log.Info("Served", values...)
	case tftp.OutcomeNeverAnswered: // perhaps a forged address, and then not worth a line each
		h.log.V(1).Info("Never answered", values...)
	default:
		h.log.Info("Not served to the end", values...)
	}
}

// transferred tells the observer how a transfer ended that had begun.
func (h *Handler) transferred(r *tftp.Record) {
	begun, ok := r.Tag.(*event)
	if !ok {
		return
	}
	e := *begun
	e.Bytes, e.Repeats, e.Retransmits, e.Duplicates = r.Bytes, r.Repeats, r.Retransmits, r.DuplicateACKs
	e.BlockSize, e.WindowSize, e.RoundTrip = r.BlockSize, r.WindowSize, r.RoundTrip
	reason := ""
	if r.Err != nil {
		reason = r.Err.Error()
	}
	outcome := attempt.OutcomeBroken
	switch r.Outcome {
	case tftp.OutcomeComplete, tftp.OutcomeLastACKLost:
		outcome = attempt.OutcomeServed
	case tftp.OutcomeProbe:
		outcome = attempt.OutcomeProbe
	case tftp.OutcomeClientError:
		outcome = attempt.OutcomeCut
	case tftp.OutcomeTimeout:
		outcome = attempt.OutcomeSilent
	case tftp.OutcomeNeverAnswered:
		outcome = attempt.OutcomeNeverAcknowledged
	case tftp.OutcomeReplaced:
		outcome = attempt.OutcomeReplaced
	case tftp.OutcomeShutdown:
		outcome = attempt.OutcomeStopped
	case tftp.OutcomeNotFound, tftp.OutcomeRefused, tftp.OutcomeFailed:
		reason = "internal error" // what is known of it is logged
	}
	h.ends(&e, outcome, reason)
}

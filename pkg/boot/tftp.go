// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"context"
	"errors"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/render"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// ProbeName is the name that a readiness probe asks for by TFTP. It gets [Options.Instance], and leaves no trace.
const ProbeName = ".netboot/self-probe"

// ServeTFTP implements tftp.Handler.
func (h *Handler) ServeTFTP(ctx context.Context, r *tftp.Request) (*tftp.Body, error) {
	if r.Name == ProbeName {
		return &tftp.Body{Bytes: []byte(h.instance), Unrecorded: true}, nil
	}
	file, err := h.Open(ctx, &Request{
		Name:   r.Name,
		Over:   render.TFTP,
		Client: r.Client.Addr().Unmap(),
		Local:  r.Local,
	})
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
	return tftpBody(file), nil
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

// Transferred logs how a transfer ended. It is the tftp.Options.Observe of a server whose Handler is h; refusals were
// logged when they were made.
func (h *Handler) Transferred(r tftp.Record) {
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

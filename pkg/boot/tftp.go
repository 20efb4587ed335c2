// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"context"
	"errors"

	"github.com/netboot-operator/netboot-operator/pkg/render"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// ServeTFTP implements tftp.Handler.
func (h *Handler) ServeTFTP(ctx context.Context, r *tftp.Request) (tftp.File, error) {
	file, err := h.Open(ctx, &Request{
		Name:   r.Name,
		Over:   render.TFTP,
		Client: r.Client.Addr().Unmap(),
		Local:  r.Local,
	})
	refusal, refused := errors.AsType[*Refusal](err)
	switch {
	case refused:
		h.log.Info("Refused", "client", r.Client, "file", r.Name, "over", render.TFTP, "reason", refusal.Reason)
		code := tftp.CodeNotFound
		if refusal.Unavailable {
			code = tftp.CodeUndefined
		}
		return nil, &tftp.Error{Code: code, Message: refusal.Reason}
	case err != nil:
		return nil, err // the server logs it and answers "internal error"
	}
	return tftpFile{file.Content, file.Size}, nil
}

// tftpFile is a File with the methods that the TFTP server wants.
type tftpFile struct {
	Content
	size int64
}

// Size returns the length in bytes.
func (f tftpFile) Size() int64 { return f.size }

// Transferred logs how a transfer ended. It is the tftp.Options.Observe of a server whose Handler is h; refusals were
// logged when they were made.
func (h *Handler) Transferred(r tftp.Record) {
	switch r.Outcome {
	case tftp.OutcomeNotFound, tftp.OutcomeRefused, tftp.OutcomeFailed: // logged when they were answered
		return
	}
	values := []any{
		"client", r.Request.Client, "file", r.Request.Name, "over", render.TFTP, "outcome", r.Outcome,
		"bytes", r.Bytes, "took", r.Duration, "retransmits", r.Retransmits,
	}
	if r.Err != nil {
		values = append(values, "reason", r.Err.Error())
	}
	switch r.Outcome {
	case tftp.OutcomeComplete, tftp.OutcomeLastACKLost, tftp.OutcomeProbe:
		h.log.Info("Served", values...)
	default:
		h.log.Info("Not served to the end", values...)
	}
}

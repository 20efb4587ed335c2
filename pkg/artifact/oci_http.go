// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// maxRefusalBytes is what is read of an answer that says no.
const maxRefusalBytes = 16 << 10

// A repository is a repository of a registry, as one fetch talks to it.
type repository struct {
	store *Store
	ref   *ociReference
	auth  *auth.Client
}

// openRepository prepares to talk to a registry, which needs no request yet.
func (s *Store) openRepository(ref *ociReference, c *index.Credentials) (*repository, *Error) {
	client, failed := s.client(c)
	if failed != nil {
		return nil, failed
	}
	credential, err := credentialFor(ref, c)
	if err != nil {
		return nil, because(ReasonUnauthorized, "%w", err)
	}
	return &repository{store: s, ref: ref, auth: &auth.Client{
		Client: client,
		Header: http.Header{"User-Agent": {"netboot-operator"}},
		Cache:  auth.NewCache(), // a token is good for one fetch at least; who may read changes between fetches
		// The library asks for the host that the request goes to, and drops credentials when a redirect leaves it.
		Credential: func(_ context.Context, host string) (auth.Credential, error) {
			if host != ref.apiHost() {
				return auth.EmptyCredential, nil
			}
			return credential, nil
		},
	}}, nil
}

// An answer is a response that is wanted.
type answer struct {
	body    io.Reader
	size    int64 // of the body; -1: not told
	partial bool  // it is a part of the whole, beginning at from
	from    int64
	total   int64 // of the whole, if it is a part; -1: not told
	close   func()
}

// A refusal says why a registry did not deliver something, and the status that it answered; 0: none.
type refusal struct {
	why    *Error
	status int
}

func (r *refusal) Error() string { return r.why.Err.Error() }

func refuse(reason Reason, format string, args ...any) *refusal {
	return &refusal{why: because(reason, format, args...)}
}

// get asks the registry for a manifest or blob.
func (r *repository) get(ctx context.Context, kind, version string, header http.Header) (*answer, *refusal) {
	ctx = auth.AppendRepositoryScope(ctx, r.ref.scope(), auth.ActionPull)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.ref.endpoint(kind, version), http.NoBody)
	if err != nil {
		return nil, refuse(ReasonSourceNotAllowed, "not a URL: correct it")
	}
	req.Header.Set("Accept-Encoding", "identity") // the digest is that of the blob as it is
	maps.Copy(req.Header, header)
	resp, end, err := r.store.do(req, r.send) //nolint:bodyclose // end does
	if refused, ok := errors.AsType[*refusal](err); ok {
		return nil, refused
	}
	if err != nil {
		return nil, refuse(ReasonUpstreamUnavailable, "%w", err)
	}
	var failed *refusal
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode == http.StatusPartialContent && header.Get("Range") != "":
	default:
		failed = refusedWith(resp)
	}
	if encoding := resp.Header.Get("Content-Encoding"); failed == nil && encoding != "" && encoding != "identity" {
		failed = refuse(ReasonUnexpectedContent, "answered with Content-Encoding %q though asked not to", encoding)
	}
	got := &answer{body: resp.Body, size: resp.ContentLength, close: end}
	if resp.StatusCode == http.StatusPartialContent && failed == nil {
		got.partial = true
		var ok bool
		if got.from, got.total, ok = contentRange(resp.Header); !ok {
			failed = refuse(ReasonUpstreamUnavailable, "answered a part of the file with the Content-Range %.60q", resp.Header.Get("Content-Range"))
		}
	}
	if failed != nil {
		end()
		return nil, failed
	}
	return got, nil
}

// refusedWith says what a response means that is not what was asked for.
func refusedWith(resp *http.Response) *refusal {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusalBytes)) // it is for people only
	var said struct {
		Errors errcode.Errors `json:"errors"`
	}
	_ = json.Unmarshal(text, &said) // then it says nothing
	return refusedAs(resp.StatusCode, resp.Header, said.Errors)
}

// refusedAs says what a status means. Of what the registry says only the code is shown: the rest may be anything.
func refusedAs(status int, h http.Header, said errcode.Errors) *refusal {
	text := fmt.Sprintf("the registry answered %d %s", status, http.StatusText(status))
	if len(said) > 0 {
		text += fmt.Sprintf(" (%.40q)", said[0].Code)
	}
	reason := ReasonUpstreamUnavailable
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		reason = ReasonUnauthorized
		text += ": does it want credentials, or others? They are in the Secret that secretRef names"
	case http.StatusNotFound:
		text += ": correct the URL, or push it there"
	}
	return &refusal{because(reason, "%w", ofStatus(status, h, errors.New(text))), status}
}

// send sends a request, with credentials if the registry wants them.
func (r *repository) send(req *http.Request) (*http.Response, error) {
	resp, err := r.auth.Do(req)
	if _, unreached := errors.AsType[*url.Error](err); err == nil || unreached {
		return resp, err
	}
	return nil, refusedSignIn(err)
}

// refusedSignIn says why the library could not find out what to show to the registry.
func refusedSignIn(err error) *refusal {
	if said, ok := errors.AsType[*errcode.ErrorResponse](err); ok { // of the server of tokens
		if said.StatusCode == http.StatusBadRequest { // what some say to a wrong password
			return refusedAs(http.StatusUnauthorized, nil, said.Errors)
		}
		return refusedAs(said.StatusCode, nil, said.Errors)
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		return refusedAs(http.StatusUnauthorized, nil, nil)
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner // around it is which request it was
	}
	return refuse(ReasonUnauthorized, "sign in to the registry: %w", err)
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// fetchHTTP is one transfer of client i, and what becomes of it.
func (l *load) fetchHTTP(ctx context.Context, i int) {
	server, begun := l.HTTP[i%len(l.HTTP)], time.Now()
	n, err := l.readHTTP(ctx, server)
	var failure *Failure
	if err != nil {
		failure = &Failure{
			Protocol: "HTTP", Server: server, Client: i, File: l.HTTPPath, Begun: begun, After: time.Since(begun).Seconds(),
			Bytes: int64(n), Reason: err.Error(),
		}
	}
	l.report.ended(&l.report.HTTP, int64(n), 0, begun, failure)
	if failure != nil { // who is refused does not ask a thousand times a second
		until(time.Now().Add(l.RetryAfter))
	}
}

// get asks for a path. The caller closes the body.
func (l *load) get(ctx context.Context, server, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := l.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 200)) // it only explains
		_ = response.Body.Close()                                 // it was only read
		return nil, fmt.Errorf("status %d: %s", response.StatusCode, text)
	}
	return response, nil
}

// readHTTP fetches the file as slowly as it should, and compares it. It returns how many bytes came.
func (l *load) readHTTP(ctx context.Context, server string) (size int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := fmt.Errorf("no byte came for %v", l.StallTimeout)
	stall := time.AfterFunc(l.StallTimeout, func() { cancel(silent) })
	defer stall.Stop()
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), silent) {
			err = silent
		}
	}()
	begun := time.Now()
	response, err := l.get(ctx, server, l.HTTPPath)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	b := make([]byte, 64<<10)
	for {
		stall.Reset(l.StallTimeout)
		n, err := response.Body.Read(b)
		stall.Stop()
		if wrong := compare(l.HTTPContent, size, b[:n]); wrong != nil {
			return size, wrong
		}
		size += n
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return size, err
		}
		if l.HTTPTime > 0 {
			until(begun.Add(time.Duration(float64(l.HTTPTime) * float64(size) / float64(len(l.HTTPContent)))))
		}
	}
	if size != len(l.HTTPContent) {
		return size, fmt.Errorf("the file ended after %d bytes, want %d", size, len(l.HTTPContent))
	}
	return size, nil
}

// wholeHTTP fetches the file as fast as it comes.
func (l *load) wholeHTTP(ctx context.Context, server string) ([]byte, error) {
	response, err := l.get(ctx, server, l.HTTPPath)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.HTTPPath, err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	return io.ReadAll(response.Body)
}

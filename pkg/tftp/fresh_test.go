// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A tracked file knows whether it was closed.
type trackedFile struct {
	*bytes.Reader

	closed *int
}

func (f trackedFile) Close() error {
	*f.closed++
	return nil
}

// The handler is asked once while its answer is fresh, and the file stays open as long; afterwards it is asked again.
func TestFresh(t *testing.T) {
	for name, tc := range map[string]struct {
		body      func(closed *int) *Body
		second    string // what client 2 asks for, half a second after client 1 has it
		wantCalls int    // of the handler, for both
	}{
		"a file": {
			func(closed *int) *Body {
				f := trackedFile{bytes.NewReader(contents(600)), closed}
				return &Body{File: f, Size: 600, Identity: "a", Closer: f, FreshFor: time.Second}
			}, plainRequest, 1,
		},
		"bytes":        {func(*int) *Body { return &Body{Bytes: contents(600), FreshFor: time.Second} }, plainRequest, 1},
		"with options": {func(*int) *Body { return &Body{Bytes: contents(600), FreshFor: time.Second} }, optionRequest, 1},
		"another name": {func(*int) *Body { return &Body{Bytes: contents(600), FreshFor: time.Second} }, "\x00\x01b\x00octet\x00", 2},
		"another mode": {func(*int) *Body { return &Body{Bytes: contents(600), FreshFor: time.Second} }, "\x00\x01a\x00netascii\x00", 2},
		"not fresh":    {func(*int) *Body { return &Body{Bytes: contents(600)} }, plainRequest, 2},
		"a file without an identity": {
			func(closed *int) *Body {
				f := trackedFile{bytes.NewReader(contents(600)), closed}
				return &Body{File: f, Size: 600, Closer: f, FreshFor: time.Second}
			}, plainRequest, 2,
		},
		"bytes with a closer": {
			func(closed *int) *Body {
				f := trackedFile{nil, closed}
				return &Body{Bytes: contents(600), Closer: f, FreshFor: time.Second}
			}, plainRequest, 2,
		},
		"no more": {func(*int) *Body { return &Body{Bytes: contents(600), FreshFor: 500 * time.Millisecond} }, plainRequest, 2},
	} {
		t.Run(name, func(t *testing.T) {
			calls, closed := 0, 0
			handler := HandlerFunc(func(context.Context, *Request) (*Body, error) {
				calls++
				return tc.body(&closed), nil
			})
			var heard sync.Map // by peer
			note := func(to peer, _ string) { heard.Store(to, true) }
			inVirtualTime(t, handler, Options{}, note, func(t *testing.T, v *virtual) {
				t.Helper()
				for n, request := range []string{plainRequest, tc.second} {
					v.send(n, request)
					synctest.Wait()
					time.Sleep(500 * time.Millisecond) //nolint:forbidigo // virtual time
					synctest.Wait()
					if _, ok := heard.Load(numbered(n)); !ok {
						t.Errorf("client %d heard nothing", n)
					}
				}
				if calls != tc.wantCalls {
					t.Errorf("the handler was asked %d times, want %d", calls, tc.wantCalls)
				}
				time.Sleep(time.Minute) //nolint:forbidigo // virtual time: all transfers end, and nothing is fresh
				synctest.Wait()
				if len(v.fresh.bodies) != 0 {
					t.Errorf("%d bodies are kept", len(v.fresh.bodies))
				}
				v.send(3, plainRequest)
				synctest.Wait()
				if calls != tc.wantCalls+1 {
					t.Errorf("later, the handler was asked %d times, want %d", calls, tc.wantCalls+1)
				}
			})
			if tc.body(&closed).Closer != nil && closed != calls {
				t.Errorf("%d files were opened, %d closed", calls, closed)
			}
		})
	}
}

// However many names are asked for, few are kept.
func TestFreshIsBounded(t *testing.T) {
	handler := HandlerFunc(func(context.Context, *Request) (*Body, error) {
		return &Body{Bytes: []byte("x"), FreshFor: time.Hour}, nil
	})
	inVirtualTime(t, handler, Options{}, func(peer, string) {}, func(t *testing.T, v *virtual) {
		t.Helper()
		for n := range 2 * maxFresh {
			v.send(n, fmt.Sprintf("\x00\x01%d\x00octet\x00", n))
		}
		synctest.Wait()
		if len(v.fresh.bodies) != maxFresh {
			t.Errorf("%d are kept, want %d", len(v.fresh.bodies), maxFresh)
		}
	})
}

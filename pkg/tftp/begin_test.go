// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What Begin returns comes back with the record of the same request, also where one Body answers several.
func TestBegin(t *testing.T) {
	for name, tc := range map[string]struct {
		freshFor  time.Duration
		begin     func(asked, begun int) any
		wantTags  []any
		wantAsked int
	}{
		"none":               {wantTags: []any{nil, nil}, wantAsked: 2},
		"asked each time":    {begin: func(asked, _ int) any { return asked }, wantTags: []any{1, 2}, wantAsked: 2},
		"one body for both":  {freshFor: time.Second, begin: func(_, begun int) any { return begun }, wantTags: []any{1, 2}, wantAsked: 1},
		"the first panics":   {begin: func(_, begun int) any { return 2 / (begun - 1) }, wantTags: []any{nil, 2}, wantAsked: 2},
		"a fresh one panics": {freshFor: time.Second, begin: func(_, begun int) any { return 2 / (begun - 2) }, wantTags: []any{-2, nil}, wantAsked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked, begun := 0, 0
			handler := HandlerFunc(func(context.Context, *Request) (*Body, error) {
				asked++
				body := &Body{Bytes: contents(100), FreshFor: tc.freshFor}
				if tc.begin != nil {
					body.Begin = func(r *Request) any {
						if r.Name != "a" {
							t.Errorf("Begin is told of %q", r.Name)
						}
						begun++
						return tc.begin(asked, begun)
					}
				}
				return body, nil
			})
			inVirtualTime(t, handler, Options{ShutdownGrace: time.Nanosecond}, func(peer, string) {}, func(t *testing.T, v *virtual) {
				t.Helper()
				var tags []any
				for client := range 2 {
					v.send(7+client, plainRequest)
					synctest.Wait()
					v.send(7+client, "\x00\x04\x00\x01")
					record := <-v.records
					if record.Outcome != OutcomeComplete {
						t.Errorf("request %d ended as %v", client, record.Outcome)
					}
					tags = append(tags, record.Tag)
				}
				if diff := cmp.Diff(tc.wantTags, tags); diff != "" {
					t.Errorf("tags of the records (-want +got):\n%s", diff)
				}
				if asked != tc.wantAsked {
					t.Errorf("the handler was asked %d times, want %d", asked, tc.wantAsked)
				}
			})
		})
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestStaleness(t *testing.T) {
	type try struct {
		version uint64
		err     error
	}
	refused := errors.New("connection refused")
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "pod", nil)
	unavailable := apierrors.NewServiceUnavailable("etcd is away")
	for name, tc := range map[string]struct {
		tries []try
		want  string // of the last; all before are nil
	}{
		"as always":                            {tries: []try{{version: 5}, {version: 9}, {version: 10}}},
		"one try fails":                        {tries: []try{{version: 5}, {err: refused}, {version: 9}}, want: "was away"},
		"it is back, and does not know us yet": {tries: []try{{err: refused}, {err: forbidden}, {version: 9}}, want: "was away"},
		"an outage":                            {tries: []try{{version: 5}, {err: refused}, {err: refused}, {version: 9}}, want: "was away"},
		"the store is away":                    {tries: []try{{version: 5}, {err: unavailable}, {err: unavailable}, {version: 9}}, want: "was away"},
		"at the start":                         {tries: []try{{err: refused}, {err: refused}, {version: 9}}, want: "was away"},
		"it answers, though not as we like":    {tries: []try{{version: 5}, {err: forbidden}, {err: forbidden}, {version: 9}}},
		"etcd was restored":                    {tries: []try{{version: 900}, {version: 300}}, want: "went back in time, from version 900 to 300"},
		"a store that does not count":          {tries: []try{{version: 0}, {version: 0}}},
		"a store that stops counting is fine":  {tries: []try{{version: 900}, {version: 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			var s staleness
			for i, try := range tc.tries {
				err := s.judge(try.version, try.err)
				last := i == len(tc.tries)-1
				switch {
				case !last && err != nil, last && tc.want == "" && err != nil:
					t.Errorf("try %d: %v", i, err)
				case last && tc.want != "" && (!errors.Is(err, ErrStale) || !strings.Contains(err.Error(), tc.want)):
					t.Errorf("try %d: %v, want %s", i, err, tc.want)
				}
			}
		})
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/netboot-operator/netboot-operator/test/lab"
)

// A site is a lab with an upstream.
type site struct {
	*lab.Lab

	upstream *httptest.Server // where the server under test fetches from
	hold     chan struct{}    // while it is open, the upstream answers nothing; nil: it answers
	fetched  atomic.Int64     // requests that the upstream has answered
}

func newSite(t *testing.T) *site {
	t.Helper()
	return &site{Lab: lab.New(t, strings.TrimPrefix(t.Name(), "Test"))}
}

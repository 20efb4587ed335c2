// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package web

import (
	"context"
	"net"
)

// Listen opens a socket whose connections notice when their client has vanished.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
}

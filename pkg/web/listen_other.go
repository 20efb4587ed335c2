// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package web

import (
	"context"
	"net"

	"github.com/go-logr/logr"
)

// Listen opens a socket whose connections notice when their client has vanished.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
}

// ListenShared is Listen where processes can't share a socket.
func ListenShared(ctx context.Context, _, address string, _ logr.Logger) (net.Listener, error) {
	return Listen(ctx, address)
}

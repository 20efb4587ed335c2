// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// Listen opens sockets of one address, such as ":69", for as many calls of [Server.Serve]. Among several, Linux shares the
// clients out; other systems have but one. They must all be served: what comes in on one does not reach another.
func Listen(ctx context.Context, address string, sockets int) ([]*net.UDPConn, error) {
	return listen(ctx, address, sockets, sockets > 1)
}

// ListenShared is Listen at an address that other processes of the same user may share, which have it from ListenShared too:
// so a new one can start to serve before the old one stops. They need [Options.Neighbours]: with each that comes or goes,
// Linux shares the clients out anew.
func ListenShared(ctx context.Context, address string, sockets int) ([]*net.UDPConn, error) {
	return listen(ctx, address, sockets, true)
}

func listen(ctx context.Context, address string, sockets int, shared bool) ([]*net.UDPConn, error) {
	var config net.ListenConfig
	switch {
	case sockets < 1:
		return nil, fmt.Errorf("listen on %s: %d sockets", address, sockets)
	case shared:
		if !canShare {
			return nil, fmt.Errorf("listen on %s: %d sockets of one address: %w", address, sockets, errors.ErrUnsupported)
		}
		config.Control = share
	}
	conns := make([]*net.UDPConn, 0, sockets)
	for range sockets {
		conn, err := config.ListenPacket(ctx, "udp", address)
		if err != nil {
			for _, c := range conns {
				_ = c.Close() // nothing was sent
			}
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		conns = append(conns, conn.(*net.UDPConn))
		address = conn.LocalAddr().String() // the first may have chosen the port
	}
	return conns, nil
}

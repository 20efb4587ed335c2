// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package web

import "net"

func sendQueue(net.Conn) (queued, unsent int64, open bool) { return 0, 0, true }

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package tftp

import "syscall"

// canShare says whether several sockets may have one address, and each gets its share of the clients.
const canShare = false

func share(_, _ string, _ syscall.RawConn) error { return nil }

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package web

import (
	"io"
	"syscall"
)

// sendMore sends b.
func sendMore(to syscall.Conn, b []byte) (int, error) { return to.(io.Writer).Write(b) }

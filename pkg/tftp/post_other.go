// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package tftp

import (
	"context"
	"errors"
)

// openPost is for systems where several sockets share an address.
func openPost(context.Context, string, string) (post, error) { return nil, errors.ErrUnsupported }

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build race

package boot_test

// stormBytes is the size of the file of TestStorm. The race detector looks at each byte of the 1000 copies.
const stormBytes = 1 << 20

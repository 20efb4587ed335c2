// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package boot_test

// stormBytes is the size of the file of TestStorm.
const stormBytes = 64 << 20

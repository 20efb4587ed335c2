// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package measure is what the benchmarks of servers have in common: it starts programs, looks at their CPU time and memory,
// and writes tables of medians and ratios. Its figures come from Linux.
package measure

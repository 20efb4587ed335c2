// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import "testing"

func BenchmarkParseRequest(b *testing.B) {
	packet := []byte("\x00\x01/boot/grub.cfg\x00octet\x00blksize\x001024\x00tsize\x000\x00")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := parseRequest(packet); !ok {
			b.Fatal("not a request")
		}
	}
}

// A small file over loopback: what a boot storm is made of.
func BenchmarkFetchSmall(b *testing.B) { benchmarkFetch(b, 2<<10) }

// A large file in lock-step over loopback.
func BenchmarkFetchLarge(b *testing.B) { benchmarkFetch(b, 8<<20) }

func benchmarkFetch(b *testing.B, size int) {
	f := loopback(b, files{"a": contents(size)}, Options{})
	b.SetBytes(int64(size))
	for b.Loop() {
		if _, err := fetch(b, f.addr, "a", "octet", 1468); err != nil {
			b.Fatal(err)
		}
		<-f.records
	}
}

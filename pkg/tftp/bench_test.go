// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"testing"
	"time"
)

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

// BenchmarkBlockSent is a block on its way through the loop, from the ACK before it to the wire, without the system's part.
func BenchmarkBlockSent(b *testing.B) {
	for name, body := range map[string]*Body{
		"memory": {Bytes: contents(1 << 20), Size: 1 << 20},
		"file":   {File: slowFile(0), Size: 1 << 20, Identity: "a"},
	} {
		b.Run(name, func(b *testing.B) {
			server, err := New(files{}, Options{})
			if err != nil {
				b.Fatal(err)
			}
			s := newShard(context.Background(), server, nullWire{}, func(Record) bool { return true })
			b.ReportAllocs()
			var x *session
			block := int64(0)
			for b.Loop() {
				if x == nil || x.over {
					x = &session{shard: s, route: route{peer: numbered(1)}, opened: true, cancel: func() {}}
					s.sessions[x.route.peer] = x
					copied := *body
					x.begin(&copied, limits{blockSize: 512, window: 1})
					block = 0
				}
				if x.transfer.hungry() { // until it is read for the first time
					<-s.mail.bell
					s.mail.deliver()
					continue
				}
				block++
				s.now += time.Microsecond
				x.hear(reply{block: uint16(block)})
			}
		})
	}
}

// A nullWire sends nothing anywhere.
type nullWire struct{ wire }

func (nullWire) queue(*route, []byte, []byte, []byte) {}

func (nullWire) flush() {}

func (nullWire) wake() {}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testFile is a content that is on no disk.
func testFile(size int) *content {
	c := &content{Name: "file"}
	for i := uint64(0); len(c.Data) < size; i++ {
		c.Data = binary.LittleEndian.AppendUint64(c.Data, scatter(i))
	}
	c.Data = c.Data[:size]
	return c
}

// data is a DATA packet as a server would send it; block counts on beyond 65535.
func data(c *content, block, size int) []byte {
	packet := binary.BigEndian.AppendUint16([]byte{0, opData}, uint16(block))
	begin := min((block-1)*size, len(c.Data))
	return append(packet, c.Data[begin:min(begin+size, len(c.Data))]...)
}

func oack(words ...string) []byte {
	return append([]byte{0, opOACK}, strings.Join(words, "\x00")+"\x00"...)
}

func TestClient(t *testing.T) {
	file := testFile(100) // 13 blocks of 8 bytes, the last of 4
	block := func(n int) []byte { return data(file, n, 8) }
	wrong := block(2)
	wrong[7]++
	lockStep, window := ask{BlockSize: 8, Size: true}, ask{BlockSize: 8, WindowSize: 4, Size: true}
	small, inFour := oack("blksize", "8", "tsize", "100"), oack("blksize", "8", "windowsize", "4", "tsize", "100")

	for name, tc := range map[string]struct {
		ask     ask
		packets [][]byte
		want    []int // the block acknowledged after each packet, -1: nothing is said
		wantErr string
	}{
		"lock step": {lockStep, [][]byte{small, block(1), block(2)}, []int{0, 1, 2}, ""},
		"the OACK again, while block 1 has not come":      {lockStep, [][]byte{small, small, block(1), small}, []int{0, 0, 1, -1}, ""},
		"lock step: each repeated block is acknowledged":  {lockStep, [][]byte{small, block(1), block(1), block(1)}, []int{0, 1, 1, 1}, ""},
		"a window is acknowledged at its end":             {window, [][]byte{inFour, block(1), block(2), block(3), block(4), block(5)}, []int{0, -1, -1, -1, 4, -1}, ""},
		"a gap is acknowledged once":                      {window, [][]byte{inFour, block(1), block(3), block(4), block(2), block(3), block(4), block(5)}, []int{0, -1, 1, -1, -1, -1, -1, 5}, ""},
		"the same gap again, after the window came again": {window, [][]byte{inFour, block(1), block(3), block(4), block(3), block(4)}, []int{0, -1, 1, -1, 1, -1}, ""},
		"a window that came again is acknowledged once":   {window, [][]byte{inFour, block(1), block(2), block(3), block(4), block(1), block(2), block(3), block(4), block(5)}, []int{0, -1, -1, -1, 4, 4, -1, -1, -1, -1}, ""},
		"no option was asked":                             {ask{}, [][]byte{data(file, 1, 512)}, []int{1}, ""},
		"a server that knows no options":                  {lockStep, [][]byte{data(file, 1, 512)}, []int{1}, ""},
		"an old block of another session comes first":     {lockStep, [][]byte{block(2), small}, []int{-1, 0}, ""},
		"a byte is wrong":                                 {lockStep, [][]byte{small, block(1), wrong}, []int{0, 1}, "block 2 differs from the file"},
		"a block is too short":                            {lockStep, [][]byte{small, block(1)[:9]}, []int{0}, "block 1 of 5 bytes, want 8"},
		"a block is too long":                             {lockStep, [][]byte{small, append(block(1), 0)}, []int{0}, "block 1 of 9 bytes, want 8"},
		"the size is wrong":                               {lockStep, [][]byte{oack("blksize", "8", "tsize", "99")}, nil, "tsize 99 of a file of 100 bytes"},
		"a larger block than was asked":                   {lockStep, [][]byte{oack("blksize", "16")}, nil, `OACK with blksize=16`},
		"a larger window than was asked":                  {window, [][]byte{oack("windowsize", "5")}, nil, `OACK with windowsize=5`},
		"a window that was not asked":                     {lockStep, [][]byte{oack("windowsize", "1")}, nil, `OACK with windowsize=1`},
		"an option that was not asked":                    {lockStep, [][]byte{oack("timeout", "1")}, nil, `OACK with timeout=1`},
		"an option without a value":                       {lockStep, [][]byte{oack("blksize")}, nil, "OACK with 1 words"},
		"an option with a word for a number":              {lockStep, [][]byte{oack("blksize", "big")}, nil, `OACK with blksize="big"`},
		"an OACK although nothing was asked":              {ask{}, [][]byte{oack("tsize", "100")}, nil, "no option was asked"},
		"options in capitals are the same":                {lockStep, [][]byte{oack("BLKSIZE", "8"), block(1)}, []int{0, 1}, ""},
		"a refusal":                                       {lockStep, [][]byte{appendError(nil, 1, "not here")}, nil, `ERROR 1 "not here"`},
		"a packet that is none":                           {lockStep, [][]byte{{0, opData}}, nil, "packet of 2 bytes"},
		"a request":                                       {lockStep, [][]byte{newRequest("x", ask{})}, nil, "opcode 1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(file, tc.ask)
			var got []int
			var err error
			for _, packet := range tc.packets {
				var says reply
				if says, err = c.take(packet); err != nil {
					break
				}
				if says == silence {
					got = append(got, -1)
				} else {
					got = append(got, int(c.acked()))
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ACKs (-want +got):\n%s", diff)
			}
			if (err != nil) != (tc.wantErr != "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("error %v, want %q", err, tc.wantErr)
			}
		})
	}
}

// TestClientGetsAll lets files arrive whose ends are interesting: the block that is short, that is empty, and numbers that
// begin again at 0.
func TestClientGetsAll(t *testing.T) {
	for name, tc := range map[string]struct {
		size, blockSize int
		wantBlocks      int
	}{
		"empty":                         {0, 8, 1},
		"less than a block":             {5, 8, 1},
		"whole blocks, the last is 0":   {16, 8, 3},
		"more than 65535 blocks":        {8*70000 + 3, 8, 70001},
		"large blocks, compared partly": {1 << 20, 1468, 715},
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(tc.size)
			c := newClient(file, ask{BlockSize: tc.blockSize})
			c.blockSize, c.next = tc.blockSize, 1
			for n := 1; n <= tc.wantBlocks; n++ {
				says, err := c.take(data(file, n, tc.blockSize))
				if err != nil {
					t.Fatal(err)
				}
				if (says == lastACK) != (n == tc.wantBlocks) {
					t.Fatalf("block %d: says %v", n, says)
				}
			}
			if c.bytes != int64(tc.size) {
				t.Errorf("%d bytes, want %d", c.bytes, tc.size)
			}
		})
	}
}

// TestEachBlockHasItsPlace swaps two blocks of a large file, of which only the edges are compared.
func TestEachBlockHasItsPlace(t *testing.T) {
	file := testFile(1 << 20)
	c := newClient(file, ask{BlockSize: 1468})
	c.blockSize, c.next = 1468, 1
	packet := data(file, 2, 1468)
	packet[3] = 1 // says that it is block 1
	if says, err := c.take(packet); err == nil {
		t.Errorf("block 2 was taken for block 1: says %v", says)
	}
}

func TestRequest(t *testing.T) {
	for want, a := range map[string]ask{
		"\x00\x01f\x00octet\x00":                                        {},
		"\x00\x01f\x00octet\x00tsize\x000\x00blksize\x001468\x00":       {BlockSize: 1468, Size: true},
		"\x00\x01f\x00octet\x00blksize\x001468\x00windowsize\x0016\x00": {BlockSize: 1468, WindowSize: 16},
		"\x00\x01f\x00octet\x00blksize\x00512\x00":                      {BlockSize: 512, WindowSize: 1},
	} {
		if got := string(newRequest("f", a)); got != want {
			t.Errorf("request for %+v is %q, want %q", a, got, want)
		}
	}
}

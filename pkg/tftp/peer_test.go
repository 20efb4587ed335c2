// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"encoding/binary"
	"net"
	"os"
	"sync"
	"time"
)

// memConn is the server's end of a connection in memory; the channels are the client's end.
type memConn struct {
	net.Conn // nil: addresses and the write deadline are not used

	toServer, toClient chan []byte
	broken             chan error // what the next Read returns instead of a packet

	mu       sync.Mutex
	deadline time.Time
	moved    chan struct{} // closed when the deadline changes
}

func newMemConn() *memConn {
	return &memConn{
		toServer: make(chan []byte, 1<<17), toClient: make(chan []byte, 1<<17), broken: make(chan error, 1),
		moved: make(chan struct{}),
	}
}

func (c *memConn) Write(p []byte) (int, error) {
	c.toClient <- append([]byte(nil), p...)
	return len(p), nil
}

func (c *memConn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		left, moved := time.Until(c.deadline), c.moved
		c.mu.Unlock()
		if left <= 0 {
			return 0, os.ErrDeadlineExceeded
		}
		expired := time.NewTimer(left)
		select {
		case packet := <-c.toServer:
			return copy(p, packet), nil
		case err := <-c.broken:
			return 0, err
		case <-expired.C:
		case <-moved:
		}
		expired.Stop()
	}
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	close(c.moved)
	c.moved = make(chan struct{})
	return nil
}

// A peer is a client that keeps what it gets in order, acknowledges the end of each window and, as EDK2 does, with the last
// block that it has, each packet that comes out of order. It has no timer: the server must repair what is lost.
type peer struct {
	blockSize, window int
	loseData          map[int]bool // packets from the server that are lost, counted from 1 with the OACK
	loseACK           map[int]bool // ACKs that are lost, counted from 1
	repeat            int          // each ACK is sent so many times more
	abort             map[int]*Error
	quiet             bool // it only listens

	got      []byte
	packets  int // that the server sent
	complete bool

	acks, blocks, sinceACK int
}

// run answers until the connection's channel is closed.
func (p *peer) run(c *memConn) {
	for packet := range c.toClient {
		p.packets++
		if e := p.abort[p.packets]; e != nil {
			c.toServer <- appendError(nil, e)
			continue
		}
		if p.loseData[p.packets] || p.quiet || p.complete {
			continue // once complete, its port is closed
		}
		switch binary.BigEndian.Uint16(packet) {
		case opOACK:
			p.ack(c)
		case opData:
			p.data(c, binary.BigEndian.Uint16(packet[2:]), packet[headerLen:])
		}
	}
}

func (p *peer) data(c *memConn, block uint16, data []byte) {
	if block != uint16(p.blocks+1) {
		p.ack(c)
		return
	}
	p.got = append(p.got, data...)
	p.blocks++
	p.sinceACK++
	p.complete = len(data) < p.blockSize
	if p.complete || p.sinceACK == p.window {
		p.ack(c)
	}
}

func (p *peer) ack(c *memConn) {
	p.acks++
	p.sinceACK = 0
	if p.loseACK[p.acks] {
		return
	}
	for range p.repeat + 1 {
		c.toServer <- binary.BigEndian.AppendUint16([]byte{0, byte(opACK)}, uint16(p.blocks))
	}
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

const (
	// handoverPatience is how long a process may take to hand its socket over. One that hangs does not.
	handoverPatience = 2 * time.Second
	// handoverMost is how long to try, when those who have the socket end at that very moment.
	handoverMost = 10 * time.Second
	// handoverPause is between two tries.
	handoverPause = 10 * time.Millisecond
)

// ListenShared is Listen at an address that other processes of the same user may share, which have it from ListenShared with the
// same name, too: so a new one can start to serve before the old one stops.
//
// They have one socket: the first hands it to the next, over a unix socket with an abstract name, which lives in the network
// namespace as the port does, and hands on that unix socket, too. So there is one queue of connections. Whoever closes his
// listener, or is killed, takes none of them away; the last one does.
func ListenShared(ctx context.Context, name, address string, log logr.Logger) (net.Listener, error) {
	if _, port, err := net.SplitHostPort(address); err == nil && port == "0" {
		return Listen(ctx, address) // which is another for each
	}
	path := "@" + name + "/tcp/" + address
	for began := time.Now(); ; {
		l, err := beFirst(ctx, path, address)
		if !errors.Is(err, errHasOwner) {
			return l, err
		}
		if l, err = takeOver(ctx, path); err == nil {
			return l, nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, errStranger) || time.Since(began) > handoverMost {
			// Linux then shares the connections out among two sockets: those in the queue of the one that closes are lost.
			log.Info("The socket of the other process can't be had: connections may be lost when it stops",
				"address", address, "reason", err.Error())
			return listen(ctx, address, true)
		}
		select {
		case <-time.After(handoverPause): // it is about to have the socket, or to end
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

var (
	errHasOwner = errors.New("another process has this name")
	errStranger = errors.New("the other process is of another user")
	errNoSocket = errors.New("the other process sent no TCP socket")
)

// beFirst opens the socket, if nobody else has the name.
func beFirst(ctx context.Context, path, address string) (net.Listener, error) {
	door, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, errHasOwner
	}
	if err != nil {
		return nil, err
	}
	l, err := listen(ctx, address, true)
	if err != nil {
		_ = door.Close() // nobody got anything
		return nil, err
	}
	return newShared(l.(*net.TCPListener), door.(*net.UnixListener)), nil
}

// takeOver asks who has the socket for it.
func takeOver(ctx context.Context, path string) (net.Listener, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // all was received
	from := c.(*net.UnixConn)
	if !sameUser(from) {
		return nil, errStranger
	}
	_ = from.SetReadDeadline(time.Now().Add(handoverPatience)) // an error shows when something is read
	files, err := receiveFiles(from)
	defer func() {
		for _, f := range files {
			_ = f.Close() // listeners have descriptors of their own
		}
	}()
	if err != nil {
		return nil, err
	}
	if len(files) != 2 {
		return nil, errNoSocket
	}
	tcp, err := net.FileListener(files[0])
	if err != nil {
		return nil, err
	}
	door, err := net.FileListener(files[1])
	if err != nil {
		_ = tcp.Close() // the other process has it still
		return nil, err
	}
	t, isTCP := tcp.(*net.TCPListener)
	d, isUnix := door.(*net.UnixListener)
	if !isTCP || !isUnix {
		_ = errors.Join(tcp.Close(), door.Close()) // they are of no use
		return nil, errNoSocket
	}
	return newShared(t, d), nil
}

// receiveFiles returns the descriptors that come with one message.
func receiveFiles(from *net.UnixConn) (files []*os.File, err error) {
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(2*4))
	n, oobn, _, _, err := from.ReadMsgUnix(b, oob)
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	for i := range messages {
		descriptors, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range descriptors {
			files = append(files, os.NewFile(uintptr(fd), "handed over"))
		}
	}
	return files, nil
}

// sameUser says whether the process at the other end is of this one's user.
func sameUser(c *net.UnixConn) (same bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		same = err == nil && peer.Uid == uint32(os.Getuid())
	})
	return same && err == nil
}

// A shared listener hands its socket to who asks for it, as long as it is open.
type shared struct {
	*net.TCPListener

	door    *net.UnixListener
	answers sync.WaitGroup
}

func newShared(l *net.TCPListener, door *net.UnixListener) *shared {
	s := &shared{TCPListener: l, door: door}
	s.answers.Go(s.answer)
	return s
}

// Close keeps nobody from the socket who has it, too.
func (s *shared) Close() error {
	err := errors.Join(s.TCPListener.Close(), s.door.Close())
	s.answers.Wait()
	return err
}

func (s *shared) answer() {
	for {
		c, err := s.door.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-time.After(handoverPause) // no descriptors, perhaps
			continue
		}
		if sameUser(c) {
			_ = c.SetWriteDeadline(time.Now().Add(handoverPatience)) // an error shows when something is written
			_ = s.handOver(c)                                        // it asks again
		}
		_ = c.Close() // what was sent arrives
	}
}

// handOver sends the descriptors of both sockets.
func (s *shared) handOver(to *net.UnixConn) error {
	var descriptors []int
	var send func(of []syscall.RawConn) error
	send = func(of []syscall.RawConn) error {
		if len(of) == 0 {
			_, _, err := to.WriteMsgUnix([]byte{1}, unix.UnixRights(descriptors...), nil)
			return err
		}
		var sent error
		err := of[0].Control(func(fd uintptr) { // it stays open in here
			descriptors = append(descriptors, int(fd))
			sent = send(of[1:])
		})
		return errors.Join(err, sent)
	}
	tcp, err := s.SyscallConn()
	if err != nil {
		return fmt.Errorf("hand the socket over: %w", err)
	}
	door, err := s.door.SyscallConn()
	if err != nil {
		return fmt.Errorf("hand the socket over: %w", err)
	}
	return send([]syscall.RawConn{tcp, door})
}

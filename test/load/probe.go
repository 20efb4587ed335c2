// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"encoding/binary"
	"sync"
	"time"
)

// probe has a server asked again and again while ctx lasts, the next one each time.
func (l *load) probe(ctx context.Context, p *Probes, ask func(ctx context.Context, i int)) {
	var group sync.WaitGroup
	defer group.Wait()
	tick := time.NewTicker(l.ProbeEvery)
	defer tick.Stop()
	p.begun = time.Now()
	p.lastAnswer = p.begun
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		group.Go(func() { ask(context.WithoutCancel(ctx), i) })
	}
}

// probeTFTP asks once, and again as a machine would, until the first answer.
func (l *load) probeTFTP(ctx context.Context, i int) {
	t := l.newTFTP(l.TFTP[i%len(l.TFTP)], l.ProbeName)
	server, err := t.open()
	if err == nil {
		defer func() { _ = t.conn.Close() }() // the answer is here, or was waited for
		t.packet, t.asked = t.request(), 1
		if err = t.send(server); err == nil {
			var b []byte
			if b, err = t.hear(ctx, server); err == nil {
				err = t.thank(b)
			}
		}
	}
	failure := t.failure(i, err)
	if failure != nil {
		failure.Protocol = "TFTP probe"
	}
	l.report.probed(&l.report.TFTPProbes, t.begun, t.answered, t.asked, failure)
}

// thank ends a probe so that the server need not go on: the way a client does that only wanted to know the size.
func (t *tftpTransfer) thank(b []byte) error {
	switch _, err := t.take(b); {
	case err != nil:
		return err
	case binary.BigEndian.Uint16(b) == opData:
		t.packet = ack(t.block)
		return t.send(t.from)
	}
	t.stop("this was a probe")
	return nil
}

// probeHTTP connects and asks.
func (l *load) probeHTTP(ctx context.Context, i int) {
	server, begun := l.HTTP[i%len(l.HTTP)], time.Now()
	ctx, cancel := context.WithTimeout(ctx, l.StallTimeout)
	defer cancel()
	response, err := l.get(ctx, server, l.ProbePath)
	took := time.Since(begun)
	var failure *Failure
	if err == nil {
		_ = response.Body.Close() // the answer is here
	} else {
		failure = &Failure{
			Protocol: "HTTP probe", Server: server, Client: i, File: l.ProbePath, Begun: begun, After: took.Seconds(), Reason: err.Error(),
		}
	}
	l.report.probed(&l.report.HTTPProbes, begun, took, 1, failure)
}

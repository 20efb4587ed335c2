// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// A Report tells how a load went.
type Report struct {
	Begun   time.Time `json:"begun"`
	Seconds float64   `json:"seconds"`

	TFTP       Transfers `json:"tftp"`
	HTTP       Transfers `json:"http"`
	TFTPProbes Probes    `json:"tftpProbes"`
	HTTPProbes Probes    `json:"httpProbes"`

	// Failures are all that failed, the first maxFailures of them.
	Failures []Failure `json:"failures"`

	mu sync.Mutex
}

// maxFailures is how many failures are told one by one, and maxLines how many of them for people.
const (
	maxFailures = 1000
	maxLines    = 50
)

// Transfers are those of one protocol.
type Transfers struct {
	Complete int   `json:"complete"` // each byte was right
	Failed   int   `json:"failed"`
	Bytes    int64 `json:"bytes"`
	// Repeats are the packets that clients sent again because no answer came in time.
	Repeats int `json:"repeats"`
	// LongestSeconds is how long the slowest took.
	LongestSeconds float64 `json:"longestSeconds"`
}

// Probes are small requests that only want to be answered.
type Probes struct {
	Sent     int `json:"sent"`
	Answered int `json:"answered"`
	Failed   int `json:"failed"`
	// Repeated had to ask more than once: their first request was lost.
	Repeated int `json:"repeated"`
	// LongestAnswerMillis is from the first request of a probe to its answer, 99 % of all took at most P99Millis.
	LongestAnswerMillis float64   `json:"longestAnswerMillis"`
	LongestAnswerAt     time.Time `json:"longestAnswerAt"`
	P50Millis           float64   `json:"p50Millis"`
	P99Millis           float64   `json:"p99Millis"`
	// LongestSilenceMillis is the longest time in which none of all probes was answered.
	LongestSilenceMillis float64 `json:"longestSilenceMillis"`

	begun, lastAnswer time.Time
	took              []time.Duration
}

// A Failure is one transfer that failed, and all that its client knows of it.
type Failure struct {
	Protocol string    `json:"protocol"`
	Server   string    `json:"server"`
	Client   int       `json:"client"`
	From     string    `json:"from,omitempty"` // the client's address and port
	File     string    `json:"file"`
	Begun    time.Time `json:"begun"`
	After    float64   `json:"afterSeconds"`
	Bytes    int64     `json:"bytes"` // that had come
	Reason   string    `json:"reason"`
}

// String returns the failure in one line.
func (f *Failure) String() string {
	return fmt.Sprintf("%s client %d from %s of %s at %s, begun %s, after %.3f s and %d bytes: %s",
		f.Protocol, f.Client, f.From, f.File, f.Server, f.Begun.Format("15:04:05.000"), f.After, f.Bytes, f.Reason)
}

func newReport() *Report { return &Report{Begun: time.Now(), Failures: []Failure{}} }

// Failed returns how much has failed, of transfers and of probes.
func (r *Report) Failed() int {
	return r.TFTP.Failed + r.HTTP.Failed + r.TFTPProbes.Failed + r.HTTPProbes.Failed
}

// ended takes a transfer that has ended. failure is nil if it is complete.
func (r *Report) ended(to *Transfers, size int64, repeats int, begun time.Time, failure *Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to.Bytes += size
	to.Repeats += repeats
	to.LongestSeconds = max(to.LongestSeconds, time.Since(begun).Seconds())
	if failure == nil {
		to.Complete++
		return
	}
	to.Failed++
	r.keep(failure)
}

func (r *Report) keep(f *Failure) {
	if len(r.Failures) < maxFailures {
		r.Failures = append(r.Failures, *f)
	}
}

// probed takes a probe that has ended.
func (r *Report) probed(to *Probes, begun time.Time, took time.Duration, asked int, failure *Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to.Sent++
	if asked > 1 {
		to.Repeated++
	}
	if failure != nil {
		to.Failed++
		r.keep(failure)
		return
	}
	to.Answered++
	if ms := millis(took); ms > to.LongestAnswerMillis {
		to.LongestAnswerMillis, to.LongestAnswerAt = ms, begun
	}
	to.took = append(to.took, took)
	if answered := begun.Add(took); answered.After(to.lastAnswer) {
		to.LongestSilenceMillis = max(to.LongestSilenceMillis, millis(answered.Sub(to.lastAnswer)))
		to.lastAnswer = answered
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r *Report) finish() {
	r.Seconds = time.Since(r.Begun).Seconds()
	for _, p := range []*Probes{&r.TFTPProbes, &r.HTTPProbes} {
		if len(p.took) > 0 {
			slices.Sort(p.took)
			p.P50Millis = millis(p.took[len(p.took)/2])
			p.P99Millis = millis(p.took[len(p.took)*99/100])
		}
	}
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) {
	fmt.Fprintf(w, "%.1f s\n", r.Seconds)
	for _, x := range []struct {
		name string
		of   *Transfers
	}{{"TFTP", &r.TFTP}, {"HTTP", &r.HTTP}} {
		fmt.Fprintf(w, "%s transfers: %d complete, %d failed, %.1f MiB, slowest %.1f s, %d packets sent again\n",
			x.name, x.of.Complete, x.of.Failed, float64(x.of.Bytes)/(1<<20), x.of.LongestSeconds, x.of.Repeats)
	}
	for _, x := range []struct {
		name string
		of   *Probes
	}{{"TFTP", &r.TFTPProbes}, {"HTTP", &r.HTTPProbes}} {
		fmt.Fprintf(w, "%s probes: %d sent, %d answered, %d failed, %d asked more than once; "+
			"longest time to an answer %.1f ms (half %.2f, 99 %% %.2f), longest time without any answer %.1f ms\n",
			x.name, x.of.Sent, x.of.Answered, x.of.Failed, x.of.Repeated,
			x.of.LongestAnswerMillis, x.of.P50Millis, x.of.P99Millis, x.of.LongestSilenceMillis)
	}
	for i := range min(len(r.Failures), maxLines) {
		fmt.Fprintln(w, "failed:", &r.Failures[i])
	}
	if more := r.Failed() - maxLines; more > 0 {
		fmt.Fprintf(w, "failed: %d more\n", more)
	}
}

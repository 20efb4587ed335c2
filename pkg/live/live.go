// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package live is the shape of what a netboot serve tells, at its metrics address, of what goes on now. It is read only, and
// of this process alone.
package live

import "time"

// The paths of what is told.
const (
	TransfersPath = "/netboot/v1alpha1/transfers"
	AttemptsPath  = "/netboot/v1alpha1/attempts"
)

// Transfers answers GET TransfersPath.
type Transfers struct {
	Node     string     `json:"node"`     // that serves
	Instance string     `json:"instance"` // what this process answers to a probe
	Time     time.Time  `json:"time"`     // now, by its clock
	Items    []Transfer `json:"items"`    // oldest first
}

// A Transfer is a file on its way to a machine.
type Transfer struct {
	Client                string    `json:"client"`            // ADDRESS:PORT
	Machine               string    `json:"machine,omitempty"` // NAMESPACE/NAME, where it is known
	File                  string    `json:"file"`
	Protocol              string    `json:"protocol"` // TFTP or HTTP
	Bytes                 int64     `json:"bytes"`    // that the client has; HTTP: that were sent
	Size                  int64     `json:"size"`     // -1: not known
	StartTime             time.Time `json:"startTime"`
	Retransmits           int64     `json:"retransmits"`           // TFTP
	RoundTripMicroseconds int64     `json:"roundTripMicroseconds"` // TFTP; 0: not measured
}

// Attempts answers GET AttemptsPath.
type Attempts struct {
	Node  string    `json:"node"`
	Time  time.Time `json:"time"` // as in Transfers
	Items []Attempt `json:"items"`
}

// An Attempt is the latest boot of a machine, or of a client that is no known machine.
type Attempt struct {
	Machine      string    `json:"machine,omitempty"` // NAMESPACE/NAME
	MACAddress   string    `json:"macAddress,omitempty"`
	ClientIP     string    `json:"clientIP,omitempty"`
	StartTime    time.Time `json:"startTime"`
	LastTime     time.Time `json:"lastTime"`
	Stage        string    `json:"stage"`
	Action       string    `json:"action,omitempty"`
	Firmware     string    `json:"firmware,omitempty"`
	Architecture string    `json:"architecture,omitempty"`
	Loader       string    `json:"loader,omitempty"`
	Bytes        int64     `json:"bytes"`
	Cause        string    `json:"cause,omitempty"`
	Message      string    `json:"message,omitempty"`
	Evidence     []string  `json:"evidence,omitempty"`
	Over         bool      `json:"over"`
	Steps        []Step    `json:"steps,omitempty"`
}

// A Step is a request of a boot, or several like ones in a row: as in a Machine's status.lastBoot.steps.
type Step struct {
	Time                 time.Time `json:"time"`
	Stage                string    `json:"stage,omitempty"`
	Name                 string    `json:"name,omitempty"`
	Protocol             string    `json:"protocol,omitempty"`
	Outcome              string    `json:"outcome,omitempty"` // empty: it runs
	Reason               string    `json:"reason,omitempty"`
	Bytes                int64     `json:"bytes"`
	Size                 int64     `json:"size"` // -1: not known
	DurationMilliseconds int64     `json:"durationMilliseconds"`
	Retransmits          int64     `json:"retransmits"`
	Times                int       `json:"times"`
}

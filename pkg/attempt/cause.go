// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

// CauseID names a cause. The values are part of the API: status.lastBoot.cause, metrics and alerts have them.
type CauseID string

// The causes.
const (
	// CauseUnknown: the boot stopped, and nothing seen tells why.
	CauseUnknown CauseID = "Unknown"
)

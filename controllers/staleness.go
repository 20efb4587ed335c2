// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	coordinationv1ac "k8s.io/client-go/applyconfigurations/coordination/v1"
)

// ErrStale ends a manager whose caches may be old, and are filled sooner by a new one. What is served stays as it is meanwhile.
var ErrStale = errors.New("caches may be old")

// staleness finds out, by the renewals of a Lease, whether caches can still be relied on.
//
// After an outage client-go comes back within up to a minute, and only for what was written since. But a store that was
// restored from a backup may have gone back in time: who watches on from a version that is not there yet misses all until
// then. So after an outage all objects are looked at anew; and so they are when the version that a write made is earlier than
// one before, since those of all objects count together.
type staleness struct {
	version uint64 // of the store behind the API server, when it last answered; 0: not known
	away    bool   // a try since then did not reach it
}

// judge says what a try to renew tells: version is what it made, 0 if that is not known, or err why it failed.
func (s *staleness) judge(version uint64, err error) error {
	if err != nil {
		s.away = s.away || apiServerAway(err)
		return nil
	}
	before := *s
	*s = staleness{version: version}
	switch {
	case before.away:
		return fmt.Errorf("%w: the API server was away", ErrStale)
	case version != 0 && version < before.version:
		return fmt.Errorf("%w: the API server went back in time, from version %d to %d: etcd was restored from a backup",
			ErrStale, before.version, version)
	}
	return nil
}

// apiServerAway says whether an error is not the API server's own verdict on a request.
func apiServerAway(err error) bool {
	var status apierrors.APIStatus // no error itself, so AsType does not take it
	return !errors.As(err, &status) || status.Status().Code >= http.StatusInternalServerError
}

// versionOf returns the version that a write made; 0: nothing can be told.
func versionOf(lease *coordinationv1ac.LeaseApplyConfiguration) uint64 {
	if lease.ObjectMetaApplyConfiguration == nil || lease.ResourceVersion == nil {
		return 0
	}
	version, err := strconv.ParseUint(*lease.ResourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return version
}

// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import "slices"

// ranges are the parts of a file that a client has, sorted and apart from each other; at most maxRanges.
type ranges [][2]int64

const maxRanges = 16

// add adds the bytes from start up to but without end.
func (r ranges) add(start, end int64) ranges {
	if start < 0 || end <= start {
		return r
	}
	all := append(slices.Clone(r), [2]int64{start, end})
	slices.SortFunc(all, func(a, b [2]int64) int {
		switch {
		case a[0] < b[0]:
			return -1
		case a[0] > b[0]:
			return 1
		}
		return 0
	})
	joined := all[:1]
	for _, next := range all[1:] {
		last := &joined[len(joined)-1]
		if next[0] <= last[1] {
			last[1] = max(last[1], next[1])
		} else {
			joined = append(joined, next)
		}
	}
	if len(joined) > maxRanges {
		return r // nobody fetches so; what is left out is only that it is whole
	}
	return joined
}

// whole says whether these are all bytes of a file of the given size.
func (r ranges) whole(size int64) bool {
	return size > 0 && len(r) == 1 && r[0][0] == 0 && r[0][1] >= size
}

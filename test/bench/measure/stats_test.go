// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"math"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for name, tc := range map[string]struct {
		values []float64
		want   float64
	}{
		"one":                         {[]float64{7}, 7},
		"odd, in no order":            {[]float64{9, 1, 5}, 5},
		"even: between both":          {[]float64{4, 1, 2, 9}, 3},
		"half never ended: never":     {[]float64{1, math.Inf(1)}, math.Inf(1)},
		"less than half never ended":  {[]float64{1, math.Inf(1), 2}, 2},
		"none: there is none to show": {nil, math.NaN()},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Median(tc.values); got != tc.want && !(math.IsNaN(got) && math.IsNaN(tc.want)) {
				t.Errorf("Median(%v) = %v, want %v", tc.values, got, tc.want)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100) // 1 to 100
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for name, tc := range map[string]struct {
		sorted  []time.Duration
		percent float64
		want    time.Duration
	}{
		"the middle":             {hundred, 50, 50},
		"of a hundred, the 99th": {hundred, 99, 99},
		"the longest":            {hundred, 100, 100},
		"of three, the longest":  {hundred[:3], 99, 3},
		"the shortest":           {hundred, 0, 1},
		"none":                   {nil, 99, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Percentile(tc.sorted, tc.percent); got != tc.want {
				t.Errorf("Percentile(%v) = %v, want %v", tc.percent, got, tc.want)
			}
		})
	}
}

func TestRound3(t *testing.T) {
	for want, x := range map[string]float64{
		"0": 0, "0.004": 0.00412, "0.01": 0.0123, "0.95": 0.949, "4.40": 4.4, "9.99": 9.994, "10.0": 9.996, "32.1": 32.14,
		"100": 99.96, "27301": 27300.6, "16": 16, "-": math.NaN(), "∞": math.Inf(1),
	} {
		if got := Round3(x); got != want {
			t.Errorf("Round3(%v) = %q, want %q", x, got, want)
		}
	}
}

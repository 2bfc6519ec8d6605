//go:build linux

package main

import (
	"fmt"
	"slices"
)

// A result is one receiver's in one round.
type result struct {
	sent, received int
	rate           float64 // sent a second
	cpu            float64 // seconds of the receiver's CPU time for one message that it received
}

func median(results []result, f func(result) float64) float64 {
	var values []float64
	for _, r := range results {
		values = append(values, f(r))
	}
	return middle(values)
}

// middle returns the median, of an even number of values the mean of the two in the middle.
func middle(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

func least(values []float64) float64 { return slices.Min(values) }
func most(values []float64) float64  { return slices.Max(values) }

// percent writes how many of all messages were lost, over all rounds.
func percent(lost, all int) string {
	if lost == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%.2g %%)", lost, 100*float64(lost)/float64(all))
}

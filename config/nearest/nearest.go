// Package nearest finds what was probably meant by a wrong word.
package nearest

import (
	"fmt"
	"slices"
	"strings"
)

// Suggest names the known word nearest to a wrong one, or that which begins with it, or lists those there are
// if none is near and they are few; else it says nothing.
func Suggest(word string, known []string) string {
	const enough = 500 // to look at
	known = known[:min(len(known), enough)]
	best, distance := "", 1+max(1, len(word)/3)
	for _, candidate := range known {
		if d := editDistance(strings.ToLower(word), strings.ToLower(candidate), distance); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		longer := func(candidate string) bool {
			return strings.HasPrefix(candidate, strings.TrimSuffix(strings.ToLower(word), "s")+"_")
		}
		if n := slices.IndexFunc(known, longer); n >= 0 && !slices.ContainsFunc(known[n+1:], longer) {
			best = known[n]
		}
	}
	const few = 18
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %q?", best)
	case len(known) > 0 && len(known) <= few:
		return "known are " + strings.Join(slices.Compact(slices.Sorted(slices.Values(known))), ", ")
	}
	return ""
}

// editDistance is how many letters must be inserted, deleted, replaced or
// swapped with their neighbour to make b of a; limit if it is no less than that.
func editDistance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit || len(a) > 64 {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}

package alert

import "unicode/utf8"

// CutText returns the first part of s that is at most limit bytes long and does
// not end within a character.
func CutText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

//go:build !failpoint

package failpoint

import "testing"

func TestFromEnv(t *testing.T) {
	t.Setenv("TOCSIN_FAILPOINT", "before-commit:1")
	if FromEnv() != nil {
		t.Error("a binary without the tag has failpoints")
	}
}

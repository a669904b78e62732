package formats

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A long name around many members: what is kept grows with the square of the body.
func TestKibanaMemory(t *testing.T) {
	for _, kib := range []int{32, 64, 128} {
		body := `{"` + strings.Repeat("a", kib<<9) + `":{` + members(kib<<9, func(i int) string { return fmt.Sprint(i) }) + `}}`
		runtime.GC()
		_, memory := cost(All["kibana"], "", []byte(body))
		t.Logf("%d KiB: %d MiB", len(body)>>10, memory>>20)
		if memory > 100*uint64(len(body)) {
			t.Errorf("%d KiB cost %d MiB", len(body)>>10, memory>>20)
		}
	}
}

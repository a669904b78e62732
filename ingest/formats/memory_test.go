package formats

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest"
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

// cost decodes a body and says what that took.
func cost(f ingest.Format, contentType string, body []byte) (d time.Duration, allocated uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	r := ingest.Request{Body: body, ContentType: contentType, ReceivedAt: time.Now()}
	if f.Tokens != nil {
		_, r.Body = f.Tokens(r)
	}
	if batches, err := f.Batches(r); err == nil {
		for range batches {
		}
	}
	d = time.Since(start)
	runtime.ReadMemStats(&after)
	return d, after.TotalAlloc - before.TotalAlloc
}

func members(n int, name func(int) string) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:1", name(i))
	}
	return b.String()
}

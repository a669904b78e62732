package row

import (
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
)

func TestFiringName(t *testing.T) {
	for _, n := range []byte{0, 1, 1, 2, 1, 0} {
		g := incident.Generation{n, 'x'}
		if got, want := FiringName(g), "firing\x00"+string(g[:]); got != want {
			t.Errorf("FiringName(%v): got %q, want %q", g, got, want)
		}
	}
}

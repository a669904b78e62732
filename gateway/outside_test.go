package gateway

import (
	"context"
	"errors"
	"testing"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/router"
)

// TestWhatTheAPIIsFor: what the configuration offers is done.
func TestWhatTheAPIIsFor(t *testing.T) {
	c, err := config.Load([]byte(`sources:
  icinga:
    format: icinga
    api: {url: "https://icinga.example.com:5665", username: u, password: p, reconcile: 5m, write_back: true, stream: true}
  nagios:
    format: nagios
    api: {command_file: /var/lib/nagios/rw/nagios.cmd, write_back: true}
`), "test.yml")
	if err != nil {
		t.Fatal(err)
	}
	var o outside
	tools, err := o.toolsOf(c.Sources)
	if err != nil {
		t.Fatal(err)
	}
	o.use(tools)
	if _, err := o.Open(context.Background(), "icinga"); errors.Is(err, errNoAPI) {
		t.Error("icinga, reconcile: the job fails for ever: ", err)
	}
	for _, s := range []string{"icinga", "nagios"} {
		if err := o.WriteBack(context.Background(), s, router.WriteBack{}); errors.Is(err, errNoAPI) {
			t.Error(s, ", write_back: the job fails for ever: ", err)
		}
	}
}

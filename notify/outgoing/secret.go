package outgoing

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/notify"
)

// With returns a Client of the same target whose errors do not show these secrets
// either. It is for those that are read from a file at each message.
func (c *Client) With(secrets ...string) *Client {
	d := *c
	d.pairs = slices.Clone(c.pairs)
	for _, s := range secrets {
		if s != "" {
			d.pairs = append(d.pairs, s, "<secret>")
		}
	}
	d.secrets = strings.NewReplacer(d.pairs...)
	return &d
}

// ReadSecret returns a secret as it is now: what its file says, without white
// space around it, or the value if there is no file. An error is worth another
// attempt, because the file may be replaced at this moment.
func ReadSecret(value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", &notify.Error{Reason: notify.ReasonAuth, Err: fmt.Errorf("notify: %w", err)}
	}
	return strings.TrimSpace(string(text)), nil
}

package process

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/go-json-experiment/json"
)

// Version names a process: with the same name everything is due at the same times. It
// does not tell who is on call, which does not move what is due.
func Version(c Config, o Options) (string, error) {
	o.Rotas = nil
	data, err := json.Marshal(struct {
		Config  Config
		Options Options
	}{c, o}, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("process: version: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

package embedded

import (
	"log/slog"
	"testing"
)

// logTo sends a store's log to the test's.
func logTo(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/row"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

var scriptImport = newScript("import", writes, "times", "jobs")

// unfinished is the schema's name while a store is being filled, so that no
// version of Tocsin takes it for whole.
const unfinished = "tocsin, unfinished copy"

// importedAtOnce bounds the rows that one command of an import writes, and
// importedBytes their size.
const (
	importedAtOnce = 500
	importedBytes  = 512 << 10
)

// Target is a store in Redis that is filled by a copy.
type Target struct {
	s *Store
	// generations are those that were imported, or that are there.
	before string // the schema as it was found
}

var _ transfer.Target = (*Target)(nil)

// OpenTarget connects to the Redis that url names, and checks that it can keep
// what is stored.
func OpenTarget(ctx context.Context, url string, o Options) (*Target, error) {
	s, err := openCopied(url, o)
	if err != nil {
		return nil, err
	}
	if err := s.fits(ctx); err != nil {
		s.disconnect()
		return nil, err
	}
	return &Target{s: s}, nil
}

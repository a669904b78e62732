package config

import (
	"fmt"

	"github.com/tocsin-gateway/tocsin/ingest"
)

// leastSpool is how small a spool may be, in bytes.
const leastSpool = ingest.MiB

// spool checks where requests are kept while the store is away.
func (c *checker) spool() {
	if c.c.Spool.Dir == "" {
		c.mistake("spool.dir", "the folder is empty", "write the path of a folder, such as spool")
	}
	if c.c.Spool.MaxSize < leastSpool {
		c.mistake("spool.max_size", fmt.Sprintf("%v is less than %v", c.c.Spool.MaxSize, leastSpool), "write a size such as 1GiB")
	}
}

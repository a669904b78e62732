package config

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/ingest"
)

const (
	// leastRecorder is how small the recorder's folder may be, in bytes.
	leastRecorder = ingest.MiB
	// leastRecorded is how short a time requests may be kept.
	leastRecorded = model.Duration(time.Minute)
	// replaceLimit is how long what stands in the place of a match may be, in bytes.
	replaceLimit = 200
)

// recorder checks what is kept of requests, and for how long.
func (c *checker) recorder() {
	r := c.c.Recorder
	if r.Dir != "" && filepath.Clean(r.Dir) == filepath.Clean(c.c.Spool.Dir) {
		c.mistake("recorder.dir", "it is the folder of the spool", "write the path of another folder")
	}
	if r.MaxSize < leastRecorder {
		c.mistake("recorder.max_size", fmt.Sprintf("%v is less than %v", r.MaxSize, leastRecorder), "write a size such as 1GiB")
	}
	if r.MaxAge != 0 && r.MaxAge < leastRecorded {
		c.mistake("recorder.max_age", r.MaxAge.String()+" is too short", "write "+leastRecorded.String()+" or more, or 0 to keep as much as there is room for")
	}
	for i, rule := range r.Redact {
		at := indexPath("recorder.redact", i)
		if rule.Match == "" {
			c.mistake(at, "the rule does not say what it is for", "add match:, a regular expression")
		} else if match := c.regex(at+".match", rule.Match); match != nil && match.MatchString("") {
			c.mistake(at+".match", "the regular expression matches nothing at all, and so everywhere", "use + in place of *")
		}
		if len(rule.Replace) > replaceLimit {
			c.mistake(at+".replace", fmt.Sprintf("the replacement is longer than %d bytes", replaceLimit), "write a shorter one")
		}
	}
}

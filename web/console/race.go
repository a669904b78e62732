package console

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/web"
)

const (
	// performTries is how often a command is sent that alerts were faster than.
	performTries = 10
	// raceEntries is how many entries of the timeline say who was faster.
	raceEntries = 10
)

// digestOf is a hash of what people have made of an incident and could overwrite
// without knowing. What alerts change of it is no part of it, nor what is only added to.
func digestOf(i *web.IncidentJSON) string {
	f := i.Findings
	f.Causes = nil
	text, err := json.Marshal(struct {
		State, Acknowledged, Resolved, Closed, Phase, Severity, Level, Category, Impact, Urgency, Team, Tier string
		Roles                                                                                                map[string]string
		Updates                                                                                              []web.UpdateJSON
		Handovers                                                                                            []web.HandoverJSON
		Customers                                                                                            []string
		Findings                                                                                             web.FindingsJSON
		Corrected                                                                                            web.CorrectedJSON
		Merged, Snoozed, Contact, Confirmed                                                                  any
	}{i.State, i.AcknowledgedBy, i.ResolvedBy, i.ClosedBy, i.Phase, i.Severity, i.Level, i.Category, i.Impact, i.Urgency, i.Team, i.Tier,
		i.Roles, i.Updates, i.Handovers, i.Customers, f, i.Corrected, i.MergedInto, i.SnoozedUntil, i.NextContact, i.Confirmed}, json.Deterministic(true))
	if err != nil {
		return "" // unreachable: it came as JSON
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// looked is what a person saw of an incident when a form was made.
type looked struct {
	version, seen uint64
	digest        string
}

func lookedAt(i *web.IncidentJSON) looked { return looked{i.Version, i.TimelineLength, digestOf(i)} }

func (l looked) hide(f *form) {
	f.hide(versionField, strconv.FormatUint(l.version, 10))
	f.hide(seenField, strconv.FormatUint(l.seen, 10))
	f.hide(digestField, l.digest)
}

// readLooked reads what hide wrote; what cannot be read is 0.
func readLooked(c *gin.Context) (l looked) {
	l.version, _ = strconv.ParseUint(c.PostForm(versionField), 10, 64)
	l.seen, _ = strconv.ParseUint(c.PostForm(seenField), 10, 64)
	l.digest = c.PostForm(digestField)
	return l
}

// perform sends a command to the API, if the incident is as the person saw it. Alerts
// change incidents all the time: if nothing else has changed, it is sent again.
func (k *Console) perform(c *gin.Context, path string, body any, l looked) error {
	for try := 1; ; try++ {
		_, err := k.call(c, http.MethodPost, path, body, l.version)
		current := overtaken(err, l)
		if current == nil || digestOf(current) != l.digest || try == performTries {
			return err
		}
		l.version = current.Version
	}
}

// overtaken is the incident as it is, if the error is that it is not as the person
// saw it.
func overtaken(err error, l looked) *web.IncidentJSON {
	p := (*problem)(nil)
	if !errors.As(err, &p) || p.Status != http.StatusConflict || p.Incident == nil || l.version == 0 || p.Incident.Version == l.version {
		return nil
	}
	return p.Incident
}

// since are the latest entries of an incident's timeline after those that the person
// saw, the newest first.
func (k *Console) since(c *gin.Context, i *web.IncidentJSON, l looked) ([]web.TimelineJSON, error) {
	after := max(l.seen, i.TimelineLength-min(i.TimelineLength, raceEntries))
	page, err := get[web.TimelinePageJSON](k, c, incidentPath(i.ID)+"/timeline?limit="+strconv.Itoa(raceEntries)+"&cursor="+strconv.FormatUint(after, 10))
	slices.Reverse(page.Timeline)
	return page.Timeline, err
}

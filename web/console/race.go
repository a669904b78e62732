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

// sight is what a person saw of an incident when a form was made.
type sight struct {
	version, seen uint64
	digest        string
}

func sightOf(i *web.IncidentJSON) sight { return sight{i.Version, i.TimelineLength, digestOf(i)} }

func (saw sight) hide(f *form) {
	f.hide(versionField, strconv.FormatUint(saw.version, 10))
	f.hide(seenField, strconv.FormatUint(saw.seen, 10))
	f.hide(digestField, saw.digest)
}

// readSight reads what hide wrote; what cannot be read is 0.
func readSight(c *gin.Context) (saw sight) {
	saw.version, _ = strconv.ParseUint(c.PostForm(versionField), 10, 64)
	saw.seen, _ = strconv.ParseUint(c.PostForm(seenField), 10, 64)
	saw.digest = c.PostForm(digestField)
	return saw
}

// perform sends a command to the API, if the incident is as the person saw it. Alerts
// change incidents all the time: if nothing else has changed, it is sent again.
func (k *Console) perform(c *gin.Context, path string, body any, saw sight) error {
	for try := 1; ; try++ {
		_, err := k.callOnce(c, http.MethodPost, path, body, saw.version, c.PostForm(onceField))
		current := overtaken(err, saw)
		if current == nil || digestOf(current) != saw.digest || try == performTries {
			return err
		}
		saw.version = current.Version
	}
}

// overtaken is the incident as it is, if the error is that it is not as the person
// saw it.
func overtaken(err error, saw sight) *web.IncidentJSON {
	p := (*problem)(nil)
	if !errors.As(err, &p) || p.Status != http.StatusConflict || p.Incident == nil || saw.version == 0 || p.Incident.Version == saw.version {
		return nil
	}
	return p.Incident
}

// since are the latest entries of an incident's timeline after those that the person
// saw, the newest first.
func (k *Console) since(c *gin.Context, i *web.IncidentJSON, saw sight) ([]web.TimelineJSON, error) {
	after := max(saw.seen, i.TimelineLength-min(i.TimelineLength, raceEntries))
	page, err := get[web.TimelinePageJSON](k, c, incidentPath(i.ID)+"/timeline?limit="+strconv.Itoa(raceEntries)+"&cursor="+strconv.FormatUint(after, 10))
	slices.Reverse(page.Timeline)
	return page.Timeline, err
}

// Package store is where all state lives. Store is the door: everything that
// happens to an incident goes through Update, which reads, lets a pure step
// decide, and commits atomically. The backends are in folders of their own and
// pass one suite, storetest.
package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

var (
	// ErrUnavailable: the store cannot commit now; nothing is known to have
	// happened. Send it again.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrCursor: the cursor is not one that a list gave out.
	ErrCursor = errors.New("not a cursor")
	// ErrEpoch: the list of generations is another one than the change was made
	// for. Ask for Generations and make the change again.
	ErrEpoch = errors.New("store: the list of generations has changed")
)

// UnavailableError is an ErrUnavailable with its cause.
type UnavailableError struct{ Cause error }

func (e *UnavailableError) Error() string { return fmt.Sprintf("store: unavailable: %v", e.Cause) }

// Is makes it an ErrUnavailable.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Cause }

// Store keeps the state of one Tocsin, or of several that work as one. Its
// methods may be called from any goroutine.
type Store interface {
	// Update commits the changes, each atomically by itself, and returns when all
	// are durable. Keys that changes name must differ; of changes that name only an
	// incident several may turn out to be of one key. After an error some may have been committed
	// and some not; with the same IDs the whole can be sent again, soon: a store
	// recognises the latest changes only.
	Update(ctx context.Context, changes []incident.Change) error
	// Now is the store's clock.
	Now() time.Time

	// Entries reads entries of several keys; what does not exist is zero.
	Entries(ctx context.Context, places []Place) ([]incident.Entry, error)
	// KeyEntries lists a key's entries. They and other lists are in an order of the
	// store's own, in which nothing moves; next is where to go on, empty at the end.
	KeyEntries(ctx context.Context, key incident.Key, cursor string, limit int) (list []incident.Entry, next string, err error)
	// ScanEntries lists the entries of all keys, with what was said.
	ScanEntries(ctx context.Context, cursor string, limit int) (list []Record, next string, err error)

	// Incident finds an incident by id or reference. ErrNotFound if there is none.
	Incident(ctx context.Context, name string) (*incident.Incident, error)
	// References names incidents by their short references; "" for one that does not exist.
	References(ctx context.Context, ids []incident.ID) ([]string, error)
	// Incidents lists incidents, newest first.
	Incidents(ctx context.Context, q Query) (list []*incident.Incident, next string, err error)
	// Alerts lists the alerts of an incident.
	Alerts(ctx context.Context, id incident.ID, cursor string, limit int) (list []Record, next string, err error)
	// Timeline lists the timeline of an incident from the entry after the given one.
	Timeline(ctx context.Context, id incident.ID, after uint64, limit int) ([]incident.TimelineEntry, error)
	// Remove deletes an incident with all that belongs to it.
	Remove(ctx context.Context, id incident.ID) error

	// Claim leases jobs that are due to the caller, for the given time.
	Claim(ctx context.Context, limit int, lease time.Duration) ([]Lease, error)
	// Done deletes a claimed job, unless it was armed again meanwhile.
	Done(ctx context.Context, l Lease) error
	// Retry gives a claimed job back with a new due time, unless it was armed again meanwhile:
	// then the earlier time holds if that was with NoLater, else what was armed.
	Retry(ctx context.Context, l Lease, due time.Time, cause string) error
	// Armed says when the jobs of a kind and without a target of incidents are due that
	// were armed by changes of theirs, zero where none waits: there is none, or somebody is
	// at it.
	Armed(ctx context.Context, kind string, ids []incident.ID) ([]time.Time, error)
	// Jobs counts the jobs by kind and state (waiting, due), and says how late the latest is.
	Jobs(ctx context.Context) ([]JobCount, error)

	// Document reads one document. ErrNotFound if there is none.
	Document(ctx context.Context, typ, id string) (incident.Document, error)
	// Documents lists the documents of a type in the order of ids, after the given one.
	Documents(ctx context.Context, typ, after string, limit int) ([]incident.Document, error)
	// PutDocument writes a document if its version is still the given one, and
	// returns the new version. ErrConflict if it is not. Nil Data deletes.
	PutDocument(ctx context.Context, d incident.Document) (uint64, error)

	// Generations returns the live generations, the current one last, and the
	// list's epoch.
	Generations(ctx context.Context) (Generations, error)
	// SetGeneration makes g the current generation and drops those without firing alerts.
	SetGeneration(ctx context.Context, g Generation) (Generations, error)

	// Statistics returns the stored counters and histograms.
	Statistics(ctx context.Context) (Statistics, error)
	// Check commits something small: whether the store would take an alert now.
	Check(ctx context.Context) error
	// ListeningSince is since when alerts could have been stored without a break.
	ListeningSince() time.Time
	// Run does the store's own periodic work until ctx ends.
	Run(ctx context.Context) error
	// Close flushes and releases everything.
	Close() error
}

// Place is where an entry is.
type Place struct {
	Key         incident.Key
	Fingerprint alert.Fingerprint
}

// Record is an entry with its key and what its alert said.
type Record struct {
	Key     incident.Key
	Entry   incident.Entry
	Content *alert.Alert
}

// Query selects incidents. Empty lists select all.
type Query struct {
	States, Severities, Services, Teams []string
	// From and To bound when the incidents were opened: From ≤ opened < To.
	From, To time.Time
	// Text must occur in the title, reference, key labels, hosts, or in what people
	// found out about it, whatever the case.
	Text   string
	Limit  int
	Cursor string
	// Lean asks only for what is added up of incidents (row.ParseLean), by those who read
	// very many; the rest may be missing. With Text it does nothing.
	Lean bool
}

// Matches reports whether q selects i, wherever its cursor is.
func (q *Query) Matches(i *incident.Incident) bool {
	in := func(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
	if !in(q.States, i.State) || !in(q.Severities, i.Severity) || !in(q.Services, i.Service) || !in(q.Teams, i.Team) {
		return false
	}
	if i.OpenedAt.Before(q.From) || !q.To.IsZero() && !i.OpenedAt.Before(q.To) {
		return false
	}
	return q.Text == "" || contains(i, strings.ToLower(q.Text))
}

func contains(i *incident.Incident, text string) bool {
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	if has(i.Title) || has(i.Reference) || has(i.Service) || has(i.Team) || has(i.Description) || slices.ContainsFunc(i.Hosts, has) {
		return true
	}
	for _, v := range i.Labels {
		if has(v) {
			return true
		}
	}
	f := &i.Proceedings().Findings
	return slices.ContainsFunc([]string{f.Cause, f.Solution, f.Workaround, f.Fix, f.Lessons, f.LessonsDetection, f.LessonsResponse, f.LessonsDiagnosis, f.LessonsCommunication,
		f.LessonsRestoration, f.Symptoms, f.Systems, f.Recommendations}, has)
}

// Lease is a claimed job.
type Lease struct {
	incident.Job
	// Token tells whether the job was armed again since.
	Token uint64
	// Attempts counts the claims since it was armed.
	Attempts int
	// LastError is what the latest Retry said.
	LastError string
	// Shard is where the job is kept.
	Shard byte
}

// JobCount is a number of jobs.
type JobCount struct {
	Kind, State string
	Count       int
	// Lag is by how much the most overdue one is late, 0 if none is.
	Lag time.Duration
}

// Generation is what fingerprints and keys were derived from, as text.
type Generation struct {
	ID   incident.Generation `json:"id"`
	Text []byte              `json:"text"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`
}

// Generations are the live ones, the current one last.
type Generations struct {
	Epoch uint64       `json:"epoch"`
	List  []Generation `json:"list"`
	// Firing counts the firing alerts of each.
	Firing map[incident.Generation]int64 `json:"-"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`
}

// Current is the newest generation, zero if there is none yet.
func (g Generations) Current() incident.Generation {
	if len(g.List) == 0 {
		return incident.Generation{}
	}
	return g.List[len(g.List)-1].ID
}

// Statistics are counted by the commits that cause them, so every process sees
// the same and a restart changes nothing.
type Statistics struct {
	// Incidents counts the incidents by state and severity.
	Incidents map[StateSeverity]int64
	// Counters are by metric, severity and team.
	Counters map[Series]int64
	// Histograms are by metric, severity and team.
	Histograms map[Series]Histogram
}

// StateSeverity is a label pair of the gauge of incidents.
type StateSeverity struct{ State, Severity string }

// Series names one stored series.
type Series struct{ Metric, Severity, Team string }

// Histogram counts observations below each of Buckets, not cumulated; the last
// count is of those above all.
type Histogram struct {
	Counts []uint64
	// Sum is in seconds.
	Sum float64
}

// Buckets are the upper bounds of the stored histograms, in seconds: 30 s to 3 days.
var Buckets = []float64{30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 259200}

package row

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tocsin-gateway/tocsin/incident"
)

// An incident's header is written with every request that touches it, which is
// why it is not JSON. Field numbers are never used for something else.
const (
	incidentID             = 1
	incidentReference      = 2
	incidentTitle          = 3
	incidentState          = 4
	incidentPhase          = 5
	incidentSeverity       = 6
	incidentSeveritySet    = 7
	incidentPriority       = 8
	incidentImpact         = 9
	incidentUrgency        = 10
	incidentCategory       = 11
	incidentLevel          = 12
	incidentService        = 13
	incidentTeam           = 14
	incidentRunbook        = 15
	incidentLabel          = 16 // name and value
	incidentHost           = 17
	incidentSource         = 18
	incidentOpenedAt       = 19
	incidentStartedAt      = 20
	incidentTimeClamped    = 21
	incidentAcknowledgedAt = 22
	incidentAcknowledgedBy = 23
	incidentResolvedAt     = 24
	incidentResolvedBy     = 25
	incidentClosedAt       = 26
	incidentClosedBy       = 27
	incidentRestoredAt     = 28
	incidentCycleOpenedAt  = 29
	incidentCycleSeverity  = 30
	incidentCycle          = 31 // opened, acknowledged, by, resolved, by, severity
	incidentReopens        = 32
	incidentTotal          = 33
	incidentFiring         = 34
	incidentFiringSeverity = 35 // severity and count
	incidentOccurrences    = 36
	incidentLeftOut        = 37
	incidentFlappingUntil  = 38
	incidentKey            = 39
	incidentRule           = 40
	incidentRole           = 41 // role and person
	incidentLink           = 42 // name and URL
	incidentParent         = 43
	incidentChild          = 44
	incidentDrill          = 45
	incidentDescription    = 46
	incidentReporter       = 47
	incidentTimelineLength = 48
	incidentTimelineHash   = 49
	incidentVersion        = 50
	incidentChangedAt      = 51
	incidentHasLabels      = 52 // an empty set of labels is not the same as none
	incidentFirstAcked     = 53
	incidentContact        = 54
	incidentReporterRole   = 55
	incidentChannel        = 56
	incidentReportedAt     = 57
	incidentSeverityWord   = 58
	incidentTold           = 59
	incidentDowntime       = 60 // host, service and end
	incidentProcess        = 61 // JSON: it is seldom there, and people write it
	incidentObserved       = 62 // metric, severity, team, moment, seconds
)

// The fields of pairs and cycles.
const (
	pairName        = 1
	pairValue       = 2
	pairKind        = 4
	pairCount       = 3
	cycleOpened     = 1
	cycleAcked      = 2
	cycleAckedBy    = 3
	cycleResolved   = 4
	cycleResolvedBy = 5
	cycleSeverity   = 6
	downtimeHost    = 1
	downtimeService = 2
	downtimeUntil   = 3
	observedMetric  = 1
	observedWhere   = 2
	observedTeam    = 3
	observedAt      = 4
	observedSeconds = 5
)

// AppendIncident appends the stored form of i to b.
func AppendIncident(b []byte, i *incident.Incident) []byte {
	b = appendBytes(b, incidentID, i.ID[:])
	for _, f := range [...]struct {
		num  protowire.Number
		text string
	}{{incidentReference, i.Reference}, {incidentTitle, i.Title}, {incidentState, i.State}, {incidentPhase, i.Phase}, {incidentSeverity, i.Severity},
		{incidentPriority, i.Priority}, {incidentImpact, i.Impact}, {incidentUrgency, i.Urgency}, {incidentCategory, i.Category}, {incidentLevel, i.Level},
		{incidentService, i.Service}, {incidentTeam, i.Team}, {incidentRunbook, i.Runbook}, {incidentAcknowledgedBy, i.AcknowledgedBy},
		{incidentResolvedBy, i.ResolvedBy}, {incidentClosedBy, i.ClosedBy}, {incidentCycleSeverity, i.CycleSeverity}, {incidentRule, i.Rule},
		{incidentDescription, i.Description}, {incidentReporter, i.Reporter}, {incidentTimelineHash, i.TimelineHash},
		{incidentContact, i.ReporterContact}, {incidentReporterRole, i.ReporterRole}, {incidentChannel, i.Channel},
		{incidentSeverityWord, i.SeverityWord}} {
		b = appendString(b, f.num, f.text)
	}
	for _, f := range [...]struct {
		num protowire.Number
		at  time.Time
	}{{incidentOpenedAt, i.OpenedAt}, {incidentStartedAt, i.StartedAt}, {incidentAcknowledgedAt, i.AcknowledgedAt}, {incidentResolvedAt, i.ResolvedAt},
		{incidentClosedAt, i.ClosedAt}, {incidentRestoredAt, i.RestoredAt}, {incidentCycleOpenedAt, i.CycleOpenedAt},
		{incidentFlappingUntil, i.FlappingUntil}, {incidentChangedAt, i.ChangedAt}, {incidentFirstAcked, i.FirstAcknowledgedAt},
		{incidentReportedAt, i.ReportedAt}} {
		b = appendTime(b, f.num, f.at)
	}
	for _, f := range [...]struct {
		num protowire.Number
		n   uint64
	}{{incidentReopens, uint64(i.Reopens)}, {incidentTotal, uint64(i.Alerts.Total)}, {incidentFiring, uint64(i.Alerts.Firing)},
		{incidentOccurrences, i.Occurrences}, {incidentLeftOut, uint64(i.LeftOut)}, {incidentTimelineLength, i.TimelineLength}, {incidentVersion, i.Version}} {
		b = appendUint(b, f.num, f.n)
	}
	b = appendBool(b, incidentSeveritySet, i.SeveritySet)
	b = appendBool(b, incidentTimeClamped, i.TimeClamped)
	b = appendBool(b, incidentDrill, i.Drill)
	b = appendBool(b, incidentHasLabels, i.Labels != nil)
	b = appendBytes(b, incidentKey, i.Key[:])
	if !i.Parent.IsZero() {
		b = appendBytes(b, incidentParent, i.Parent[:])
	}
	return append(appendIncidentLists(b, i), i.Unknown...)
}

func appendIncidentLists(b []byte, i *incident.Incident) []byte {
	var room [256]byte
	var names [24]string
	part := room[:0]
	pair := func(num protowire.Number, name, value string, n int) {
		part = appendString(appendString(part[:0], pairName, name), pairValue, value)
		b = appendBytes(b, num, appendUint(part, pairCount, uint64(n)))
	}
	for _, name := range sorted(names[:0], i.Labels) {
		pair(incidentLabel, name, i.Labels[name], 0)
	}
	for _, severity := range sorted(names[:0], i.Firing) {
		pair(incidentFiringSeverity, severity, "", i.Firing[severity])
	}
	for _, role := range sorted(names[:0], i.Roles) {
		pair(incidentRole, role, i.Roles[role], 0)
	}
	for _, l := range i.Links {
		part = appendString(appendString(appendString(part[:0], pairName, l.Name), pairValue, l.URL), pairKind, l.Kind)
		b = appendBytes(b, incidentLink, part)
	}
	for _, host := range i.Hosts {
		b = appendBytes(b, incidentHost, host)
	}
	for _, source := range i.Sources {
		b = appendBytes(b, incidentSource, source)
	}
	for _, target := range i.Told {
		b = appendBytes(b, incidentTold, target)
	}
	for _, d := range i.Downtimes {
		part = appendTime(appendString(appendString(part[:0], downtimeHost, d.Host), downtimeService, d.Service), downtimeUntil, d.Until)
		b = appendBytes(b, incidentDowntime, part)
	}
	for _, c := range i.Cycles {
		part = appendTime(appendTime(appendTime(part[:0], cycleOpened, c.OpenedAt), cycleAcked, c.AcknowledgedAt), cycleResolved, c.ResolvedAt)
		part = appendString(appendString(appendString(part, cycleAckedBy, c.AcknowledgedBy), cycleResolvedBy, c.ResolvedBy), cycleSeverity, c.Severity)
		b = appendBytes(b, incidentCycle, part)
	}
	for _, o := range i.Observed {
		part = appendString(appendString(appendString(part[:0], observedMetric, o.Metric), observedWhere, o.Severity), observedTeam, o.Team)
		part = protowire.AppendTag(appendTime(part, observedAt, o.At), observedSeconds, protowire.Fixed64Type)
		b = appendBytes(b, incidentObserved, protowire.AppendFixed64(part, math.Float64bits(o.Seconds)))
	}
	for _, id := range i.Children {
		b = appendBytes(b, incidentChild, id[:])
	}
	if i.Process != nil {
		text, err := json.Marshal(i.Process, jsontext.AllowInvalidUTF8(true))
		if err != nil {
			panic(err) // a programmer's mistake: every process encodes
		}
		b = appendBytes(b, incidentProcess, text)
	}
	return b
}

// sorted appends the keys of m to keys, in order.
func sorted[V any](keys []string, m map[string]V) []string {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// ParseIncident reads an incident.
func ParseIncident(b []byte) (*incident.Incident, error) {
	i := &incident.Incident{Firing: map[string]int{}, Roles: map[string]string{}, Links: []incident.Link{}, Children: []incident.ID{}}
	return i, parseIncident(i, b, func(protowire.Number) bool { return true })
}

// ParseLean reads what is added up of an incident: which one it is, what kind of, when
// it was opened, its state, and what was observed.
func ParseLean(b []byte) (*incident.Incident, error) {
	i := &incident.Incident{}
	return i, parseIncident(i, b, func(num protowire.Number) bool {
		switch num {
		case incidentID, incidentReference, incidentState, incidentSeverity, incidentPriority, incidentCategory, incidentService, incidentTeam, incidentSource,
			incidentOpenedAt, incidentCycleSeverity, incidentRule, incidentParent, incidentDrill, incidentVersion, incidentObserved:
			return true
		}
		return false
	})
}

func parseIncident(i *incident.Incident, b []byte, wanted func(protowire.Number) bool) error {
	var inner error
	err := fields(b, func(f field) bool {
		if !wanted(f.num) {
			return true
		}
		switch f.num {
		case incidentID:
			copy(i.ID[:], f.bytes)
		case incidentKey:
			copy(i.Key[:], f.bytes)
		case incidentParent:
			copy(i.Parent[:], f.bytes)
		case incidentChild:
			var id incident.ID
			copy(id[:], f.bytes)
			i.Children = append(i.Children, id)
		case incidentHost:
			i.Hosts = append(i.Hosts, string(f.bytes))
		case incidentSource:
			i.Sources = append(i.Sources, intern(f.bytes))
		case incidentTold:
			i.Told = append(i.Told, intern(f.bytes))
		case incidentHasLabels:
			if i.Labels == nil {
				i.Labels = map[string]string{}
			}
		case incidentLabel, incidentFiringSeverity, incidentRole, incidentLink:
			inner = parsePair(i, f)
		case incidentCycle:
			inner = parseCycle(i, f.bytes)
		case incidentDowntime:
			inner = parseDowntime(i, f.bytes)
		case incidentObserved:
			inner = parseObserved(i, f.bytes)
		case incidentProcess:
			i.Process = &incident.Process{}
			inner = json.Unmarshal(f.bytes, i.Process, jsontext.AllowInvalidUTF8(true))
		default:
			if !parseIncidentText(i, f) && !parseIncidentTime(i, f) && !parseIncidentNumber(i, f) {
				i.Unknown = append(i.Unknown, f.raw...)
			}
		}
		return inner == nil
	})
	if err == nil {
		err = inner
	}
	if err != nil {
		return fmt.Errorf("store: incident: %w", err)
	}
	return nil
}

func parseIncidentText(i *incident.Incident, f field) bool {
	var text *string
	switch f.num {
	case incidentReference:
		text = &i.Reference
	case incidentTitle:
		text = &i.Title
	case incidentState:
		text = &i.State
	case incidentPhase:
		text = &i.Phase
	case incidentSeverity:
		text = &i.Severity
	case incidentPriority:
		text = &i.Priority
	case incidentImpact:
		text = &i.Impact
	case incidentUrgency:
		text = &i.Urgency
	case incidentCategory:
		text = &i.Category
	case incidentLevel:
		text = &i.Level
	case incidentService:
		text = &i.Service
	case incidentTeam:
		text = &i.Team
	case incidentRunbook:
		text = &i.Runbook
	case incidentAcknowledgedBy:
		text = &i.AcknowledgedBy
	case incidentResolvedBy:
		text = &i.ResolvedBy
	case incidentClosedBy:
		text = &i.ClosedBy
	case incidentCycleSeverity:
		text = &i.CycleSeverity
	case incidentRule:
		text = &i.Rule
	case incidentDescription:
		text = &i.Description
	case incidentReporter:
		text = &i.Reporter
	case incidentContact:
		text = &i.ReporterContact
	case incidentReporterRole:
		text = &i.ReporterRole
	case incidentChannel:
		text = &i.Channel
	case incidentSeverityWord:
		text = &i.SeverityWord
	case incidentTimelineHash:
		text = &i.TimelineHash
	default:
		return false
	}
	*text = string(f.bytes)
	return true
}

func parseIncidentTime(i *incident.Incident, f field) bool {
	var at *time.Time
	switch f.num {
	case incidentOpenedAt:
		at = &i.OpenedAt
	case incidentStartedAt:
		at = &i.StartedAt
	case incidentAcknowledgedAt:
		at = &i.AcknowledgedAt
	case incidentResolvedAt:
		at = &i.ResolvedAt
	case incidentClosedAt:
		at = &i.ClosedAt
	case incidentRestoredAt:
		at = &i.RestoredAt
	case incidentCycleOpenedAt:
		at = &i.CycleOpenedAt
	case incidentFlappingUntil:
		at = &i.FlappingUntil
	case incidentChangedAt:
		at = &i.ChangedAt
	case incidentFirstAcked:
		at = &i.FirstAcknowledgedAt
	case incidentReportedAt:
		at = &i.ReportedAt
	default:
		return false
	}
	*at = f.time()
	return true
}

func parseIncidentNumber(i *incident.Incident, f field) bool {
	switch f.num {
	case incidentReopens:
		i.Reopens = int(f.uint)
	case incidentTotal:
		i.Alerts.Total = int(f.uint)
	case incidentFiring:
		i.Alerts.Firing = int(f.uint)
	case incidentOccurrences:
		i.Occurrences = f.uint
	case incidentLeftOut:
		i.LeftOut = int(f.uint)
	case incidentTimelineLength:
		i.TimelineLength = f.uint
	case incidentVersion:
		i.Version = f.uint
	case incidentSeveritySet:
		i.SeveritySet = f.uint != 0
	case incidentTimeClamped:
		i.TimeClamped = f.uint != 0
	case incidentDrill:
		i.Drill = f.uint != 0
	default:
		return false
	}
	return true
}

func parsePair(i *incident.Incident, of field) error {
	var name, value, kind string
	var n int
	err := fields(of.bytes, func(f field) bool {
		switch f.num {
		case pairName:
			name = string(f.bytes)
		case pairValue:
			value = string(f.bytes)
		case pairCount:
			n = int(f.uint)
		case pairKind:
			kind = string(f.bytes)
		}
		return true
	})
	switch of.num {
	case incidentLabel:
		if i.Labels == nil {
			i.Labels = map[string]string{}
		}
		i.Labels[name] = value
	case incidentFiringSeverity:
		i.Firing[name] = n
	case incidentRole:
		i.Roles[name] = value
	case incidentLink:
		i.Links = append(i.Links, incident.Link{Name: name, URL: value, Kind: kind})
	}
	return err
}

func parseCycle(i *incident.Incident, b []byte) error {
	var c incident.Cycle
	err := fields(b, func(f field) bool {
		switch f.num {
		case cycleOpened:
			c.OpenedAt = f.time()
		case cycleAcked:
			c.AcknowledgedAt = f.time()
		case cycleAckedBy:
			c.AcknowledgedBy = string(f.bytes)
		case cycleResolved:
			c.ResolvedAt = f.time()
		case cycleResolvedBy:
			c.ResolvedBy = string(f.bytes)
		case cycleSeverity:
			c.Severity = string(f.bytes)
		}
		return true
	})
	i.Cycles = append(i.Cycles, c)
	return err
}

func parseDowntime(i *incident.Incident, b []byte) error {
	var d incident.Downtime
	err := fields(b, func(f field) bool {
		switch f.num {
		case downtimeHost:
			d.Host = string(f.bytes)
		case downtimeService:
			d.Service = string(f.bytes)
		case downtimeUntil:
			d.Until = f.time()
		}
		return true
	})
	i.Downtimes = append(i.Downtimes, d)
	return err
}

func parseObserved(i *incident.Incident, b []byte) error {
	var o incident.Observed
	err := fields(b, func(f field) bool {
		switch f.num {
		case observedMetric:
			o.Metric = intern(f.bytes)
		case observedWhere:
			o.Severity = intern(f.bytes)
		case observedTeam:
			o.Team = intern(f.bytes)
		case observedAt:
			o.At = f.time()
		case observedSeconds:
			o.Seconds = math.Float64frombits(f.uint)
		}
		return true
	})
	i.Observed = append(i.Observed, o)
	return err
}

// The fields of timeline entries.
const (
	timelineAt         = 1
	timelineRecordedAt = 2
	timelineLate       = 3
	timelineWho        = 4
	timelineAction     = 5
	timelineText       = 6
	timelineCount      = 7
	timelineHash       = 8
	timelineSource     = 9
	timelineFor        = 10
)

// AppendTimeline appends the stored form of t to b, which its place is no part of.
func AppendTimeline(b []byte, t *incident.TimelineEntry) []byte {
	b = appendTime(appendTime(b, timelineAt, t.At), timelineRecordedAt, t.RecordedAt)
	b = appendBool(b, timelineLate, t.Late)
	b = appendString(appendString(appendString(b, timelineWho, t.Who), timelineAction, t.Action), timelineText, t.Text)
	b = appendUint(b, timelineCount, uint64(t.Count))
	b = appendString(appendString(b, timelineHash, t.Hash), timelineSource, t.Source)
	for _, name := range t.For {
		b = appendBytes(b, timelineFor, name)
	}
	return b
}

// ParseTimeline reads the entry with the given place.
func ParseTimeline(b []byte, id incident.ID, seq uint64) (incident.TimelineEntry, error) {
	t := incident.TimelineEntry{Incident: id, Seq: seq}
	err := fields(b, func(f field) bool {
		switch f.num {
		case timelineAt:
			t.At = f.time()
		case timelineRecordedAt:
			t.RecordedAt = f.time()
		case timelineLate:
			t.Late = f.uint != 0
		case timelineWho:
			t.Who = string(f.bytes)
		case timelineAction:
			t.Action = string(f.bytes)
		case timelineText:
			t.Text = string(f.bytes)
		case timelineCount:
			t.Count = int(f.uint)
		case timelineHash:
			t.Hash = string(f.bytes)
		case timelineSource:
			t.Source = string(f.bytes)
		case timelineFor:
			t.For = append(t.For, string(f.bytes))
		}
		return true
	})
	if err != nil {
		return t, fmt.Errorf("store: timeline of %s, entry %d: %w", id, seq, err)
	}
	return t, nil
}

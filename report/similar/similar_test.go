package similar

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

var now = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

// earlier is an incident that was opened so long ago.
func earlier(n byte, ago time.Duration, change func(*incident.Incident)) *incident.Incident {
	i := &incident.Incident{ID: incident.ID{n}, Reference: fmt.Sprintf("INC-%d", n), OpenedAt: now.Add(-ago), CycleOpenedAt: now.Add(-ago)}
	change(i)
	return i
}

func asNew(i *incident.Incident) {
	i.Key, i.Service, i.Title, i.Hosts = incident.Key{1}, "shop", "DiskFull on db-1", []string{"db-1", "db-2"}
	i.Labels = map[string]string{"alertname": "DiskFull"}
}

func TestFind(t *testing.T) {
	i := earlier(1, 0, asNew)
	list := []*incident.Incident{
		i, // itself
		earlier(2, time.Hour, asNew),
		earlier(3, 2*time.Hour, asNew),
		earlier(4, time.Hour, func(e *incident.Incident) { e.Service = "shop" }), // the service alone
		earlier(5, time.Hour, func(e *incident.Incident) { e.Service, e.Hosts = "shop", []string{"db-2", "db-1", "db-9"} }),
		earlier(6, time.Hour, func(e *incident.Incident) {
			e.Labels = map[string]string{"alertname": "DiskFull"}
			e.Title = "DiskFull on db-1"
		}),
		earlier(7, -time.Hour, asNew), // later
		earlier(8, time.Hour, func(e *incident.Incident) { asNew(e); e.Parent = i.ID }),
		earlier(9, time.Hour, func(e *incident.Incident) { e.Labels, e.Title = map[string]string{}, "quite another thing" }), // empty labels are no common name
		earlier(2, time.Hour, asNew), // once more
	}
	var got []string
	for _, m := range Find(i, list, 10) {
		var why []string
		for _, r := range m.Reasons {
			why = append(why, r.What)
		}
		got = append(got, fmt.Sprintf("%s %.2f %s", m.Incident.Reference, m.Score, strings.Join(why, "+")))
	}
	want := "INC-2 0.80 key+alert_name+service+hosts+text\nINC-3 0.80 key+alert_name+service+hosts+text\nINC-6 0.25 alert_name+text\nINC-5 0.20 service+hosts"
	if g := strings.Join(got, "\n"); g != want {
		t.Errorf("got\n%s\nwant\n%s", g, want)
	}
	if n := len(Find(i, list, 1)); n != 1 {
		t.Errorf("got %d, want the limit 1", n)
	}
}

func TestAlertsPutInOrder(t *testing.T) {
	i := earlier(1, 0, asNew)
	list := Find(i, []*incident.Incident{earlier(2, time.Hour, asNew), earlier(3, 2*time.Hour, asNew)}, 10)
	a, b, c := alert.Fingerprint{1}, alert.Fingerprint{2}, alert.Fingerprint{3}
	Alerts(list, []alert.Fingerprint{a, b}, [][]alert.Fingerprint{{a, c}, {a, b, c}})
	if list[0].Incident.Reference != "INC-3" || list[0].Score != 1 || list[1].Score != 0.9 || list[0].Reasons[1].Text != "2 of 2 alerts are the same" {
		t.Errorf("got %+v", list)
	}
}

func TestRecur(t *testing.T) {
	key := func(i *incident.Incident) { i.Key = incident.Key{1} }
	at := func(hours ...int) (out []*incident.Incident) {
		for n, h := range hours {
			out = append(out, earlier(byte(10+n), time.Duration(h)*time.Hour, key))
		}
		return out
	}
	reopened := earlier(1, 0, func(i *incident.Incident) {
		key(i)
		i.OpenedAt = now.Add(-30 * time.Hour)
		i.Cycles = []incident.Cycle{{OpenedAt: i.OpenedAt}, {OpenedAt: now.Add(-time.Hour)}}
	})
	remembered := earlier(1, 0, func(i *incident.Incident) {
		key(i)
		i.Process = &incident.Process{Openings: []time.Time{now.Add(-40 * time.Hour), now.Add(-2 * time.Hour)}}
	})
	for _, c := range []struct {
		name string
		i    *incident.Incident
		list []*incident.Incident
		want string
	}{
		{"the first", earlier(1, 0, key), nil, "[1 1 1 1] false"},
		{"third within 48 h", earlier(1, 0, key), at(1, 47), "[2 3 3 3] true"},
		{"exactly 48 h ago is not within", earlier(1, 0, key), at(1, 48), "[2 2 3 3] false"},
		{"over a month", earlier(1, 0, key), at(100, 300, 719, 720, 2000), "[1 1 2 4] false"},
		{"another key", earlier(1, 0, key), []*incident.Incident{earlier(2, time.Hour, func(*incident.Incident) {})}, "[1 1 1 1] false"},
		{"an exercise does not count", earlier(1, 0, key), []*incident.Incident{earlier(2, time.Hour, func(i *incident.Incident) { key(i); i.Drill = true }), at(2)[0]}, "[2 2 2 2] false"},
		{"reopened counts", reopened, nil, "[2 3 3 3] true"},
		{"what the process remembers counts, once", remembered, at(2), "[2 3 3 3] true"},
	} {
		if r := Recur(c.i, c.list); fmt.Sprint(r.Counts, r.Recurring) != c.want {
			t.Errorf("%s: got %v %v, want %s", c.name, r.Counts, r.Recurring, c.want)
		}
	}
}

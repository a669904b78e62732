package email

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// alertmanager reads the page of Alertmanager's template email.default.html
// (https://github.com/prometheus/alertmanager/blob/main/template/email.tmpl), which
// names all labels. Without that page the subject (__subject in
// https://github.com/prometheus/alertmanager/blob/main/template/default.tmpl) is
// all there is: one alert for the group.
var alertmanager = parser{
	name:      "alertmanager",
	recognise: func(m *mail) bool { return alertmanagerSubject.MatchString(m.subject) },
	parse:     parseAlertmanager,
}

var (
	alertmanagerSubject = regexp.MustCompile(`^\[(FIRING|RESOLVED)(?::(\d{1,9}))?\] (.*)$`)
	alertmanagerTitle   = regexp.MustCompile(`^\[(\d{1,9})\] (Firing|Resolved)$`)
	alertmanagerLink    = regexp.MustCompile(`^Source <(.*)>$`)
	// severityWords are values by which a severity is known that has no name.
	severityWords = words("critical warning info page error none disaster major minor")
)

func parseAlertmanager(m *mail) []alert.Alert {
	s := alertmanagerSubject.FindStringSubmatch(m.subject)
	if alerts := m.alertmanagerPage(); len(alerts) > 0 {
		return alerts
	}
	group, common, _ := strings.Cut(strings.TrimSpace(s[3]), " (")
	if group == "" {
		return nil
	}
	severity := ""
	for _, w := range strings.Fields(strings.TrimSuffix(common, ")")) {
		if severityWords[strings.ToLower(w)] {
			severity = strings.ToLower(w)
		}
	}
	a := m.alert(strings.TrimSpace(s[3]), "alertname", group, "severity", severity)
	a.Key = "alertmanager mail!" + strings.TrimSpace(s[3])
	if s[1] == "RESOLVED" {
		a.Status = alert.Resolved
	}
	if n, err := strconv.Atoi(s[2]); err == nil && n > 1 {
		a.LeftOut = n - 1
	}
	return one(a)
}

// alertmanagerPage reads the alerts of the page, in the order of their labels, as
// a webhook has them.
func (m *mail) alertmanagerPage() []alert.Alert {
	if m.html == "" {
		return nil
	}
	var alerts []alert.Alert
	var labels, annotations []string
	var in *[]string
	status, link, announced := alert.Unknown, "", 0
	add := func() {
		if len(labels) > 0 && status != alert.Unknown {
			a := m.alert("", labels...)
			a.Status, a.GeneratorURL, a.Annotations = status, link, fields.Labels(append(append([]string{via, Name}, m.more...), annotations...)...)
			alerts = append(alerts, a)
		}
		labels, annotations, link, in = nil, nil, "", nil
	}
	for _, l := range linesOf(htmlText(m.html)) {
		if title := alertmanagerTitle.FindStringSubmatch(l); title != nil {
			add()
			n, _ := strconv.Atoi(title[1]) // nine digits are a number
			announced += n
			status = alert.Firing
			if title[2] == "Resolved" {
				status = alert.Resolved
			}
			continue
		}
		switch {
		case l == "Labels":
			add()
			in = &labels
		case l == "Annotations" && in != nil:
			in = &annotations
		case in == nil:
		case strings.HasPrefix(l, "Source"):
			if s := alertmanagerLink.FindStringSubmatch(l); s != nil {
				link = webLink(s[1])
			}
			add()
		default:
			if name, value, ok := strings.Cut(l, " = "); ok {
				*in = append(*in, name, value)
			}
		}
	}
	add()
	for i := range alerts { // a page may be cut
		alerts[i].LeftOut = max(0, announced-len(alerts))
	}
	slices.SortStableFunc(alerts, func(a, b alert.Alert) int { return slices.CompareFunc(a.Labels, b.Labels, compareLabel) })
	return alerts
}

func compareLabel(a, b alert.Label) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return strings.Compare(a.Value, b.Value)
}

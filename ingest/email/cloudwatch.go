package email

import (
	"regexp"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// cloudwatch reads the mails that Amazon SNS makes of CloudWatch alarms
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html).
var cloudwatch = parser{
	name:      "cloudwatch",
	recognise: func(m *mail) bool { return cloudwatchSubject.MatchString(m.subject) },
	parse:     parseCloudwatch,
}

var cloudwatchSubject = regexp.MustCompile(`^(ALARM|OK|INSUFFICIENT_DATA): "(.+)" in (.+)$`)

func parseCloudwatch(m *mail) []alert.Alert {
	s := cloudwatchSubject.FindStringSubmatch(m.subject)
	summary := m.value("- Description")
	if summary == "" {
		summary = m.value("- Reason for State Change")
	}
	a := m.alert(summary, "alertname", s[2], "region", s[3])
	a.Key = m.value("- Alarm Arn")
	if a.Key == "" {
		a.Key = "cloudwatch!" + s[3] + "!" + s[2]
	}
	at, _ := time.Parse("Monday 2 January, 2006 15:04:05 MST", m.value("- Timestamp")) // the zero time if it is none
	switch s[1] {
	case "ALARM":
		a.StartsAt = at
	case "OK":
		a.Status, a.EndsAt = alert.Resolved, at
	default:
		a.Status = alert.Unknown
	}
	a.Annotations = m.annotations(summary, "reason", m.value("- Reason for State Change"), "state_change", m.value("- State Change"),
		"aws_account", m.value("- AWS Account"))
	return one(a)
}

package process

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/process/calendar"
)

// delay is a time that passes: by the clock, in hours when people work, or in
// business days.
type delay struct {
	clock, business time.Duration
	days            int
}

// delayHelp is what a delay looks like.
const delayHelp = `write 30m, 2h, "4 business hours" or "2 business days"`

// longest bounds delays: what comes later than that will not come.
const longest = 366 * 24 * time.Hour

// parseDelay reads a duration such as 30m, or a number of business minutes, hours
// or days. Empty is no delay.
func parseDelay(text string) (d delay, err error) {
	if text == "" {
		return d, nil
	}
	words := strings.Fields(text)
	if len(words) == 3 && words[1] == "business" {
		n, err := strconv.Atoi(words[0])
		if err != nil || n < 0 || n > 366 {
			return d, fmt.Errorf("%q is not a number from 0 to 366", words[0])
		}
		switch strings.TrimSuffix(words[2], "s") {
		case "day":
			d.days = n
		case "hour":
			d.business = time.Duration(n) * time.Hour
		case "minute":
			d.business = time.Duration(n) * time.Minute
		default:
			return d, fmt.Errorf("%q is none of minutes, hours and days", words[2])
		}
		return d, nil
	}
	clock, err := model.ParseDuration(text)
	if err != nil {
		return d, fmt.Errorf("%q is not a time that passes", text)
	}
	if time.Duration(clock) > longest {
		return d, fmt.Errorf("%s is more than a year", text)
	}
	return delay{clock: time.Duration(clock)}, nil
}

func (d delay) isZero() bool { return d == delay{} }

// after is when d has passed since t.
func (d delay) after(t time.Time, c *calendar.Calendar) time.Time {
	switch {
	case d.days > 0:
		return c.AddBusinessDays(t, d.days)
	case d.business > 0:
		return c.AddBusinessTime(t, d.business)
	}
	return t.Add(d.clock)
}

func (d delay) String() string {
	switch {
	case d.days > 0:
		return plural(d.days, "business day")
	case d.business > 0 && d.business%time.Hour == 0:
		return plural(int(d.business/time.Hour), "business hour")
	case d.business > 0:
		return plural(int(d.business/time.Minute), "business minute")
	}
	return model.Duration(d.clock).String()
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + unit + "s"
}

package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// counts is what a gateway itself says that it holds and did.
type counts struct {
	// total and firing are alerts, summed over all incidents.
	incidents, total, firing int
	// verdicts are the counters of all sources together.
	verdicts map[string]int
}

// count pages through all incidents and reads the metrics.
func (t *target) count(ctx context.Context) (counts, error) {
	var sum counts
	for cursor := ""; ; {
		var page struct {
			Incidents []struct {
				Alerts struct {
					Total  int `json:"total"`
					Firing int `json:"firing"`
				} `json:"alerts"`
			} `json:"incidents"`
			NextCursor string `json:"next_cursor"`
		}
		address := "http://" + t.addr + "/api/v1/incidents?limit=1000&cursor=" + url.QueryEscape(cursor)
		status, body, err := get(ctx, address, t.token)
		if err != nil {
			return sum, fmt.Errorf("bench: %w", err)
		}
		if status != 200 {
			return sum, fmt.Errorf("bench: GET %s: %d %.200s", address, status, body)
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return sum, fmt.Errorf("bench: GET %s: %w", address, err)
		}
		for _, i := range page.Incidents {
			sum.incidents++
			sum.total += i.Alerts.Total
			sum.firing += i.Alerts.Firing
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	var err error
	sum.verdicts, err = t.judged(ctx)
	return sum, err
}

// judged reads the verdicts of all gateways from their metrics.
func (t *target) judged(ctx context.Context) (map[string]int, error) {
	sums := map[string]int{}
	err := t.expositions(ctx, func(text []byte) error {
		one, err := verdicts(text)
		for verdict, n := range one {
			sums[verdict] += n
		}
		return err
	})
	return sums, err
}

// expositions reads the metrics of all gateways.
func (t *target) expositions(ctx context.Context, take func(text []byte) error) error {
	for _, addr := range t.addrs() {
		status, body, err := get(ctx, "http://"+addr+"/metrics", t.token)
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		if status != 200 {
			return fmt.Errorf("bench: GET /metrics: %d", status)
		}
		if err := take(body); err != nil {
			return err
		}
	}
	return nil
}

const (
	// storedWithin is how long gateways may take to store what they have gathered of
	// repeats: half a minute, and what that takes.
	storedWithin = time.Minute
	storedPoll   = 250 * time.Millisecond
)

// repeatsStored waits until the gateways have stored the repeats that they have gathered.
func (t *target) repeatsStored(ctx context.Context) error {
	for began := time.Now(); time.Since(began) < storedWithin; {
		gathered := false
		err := t.expositions(ctx, func(text []byte) error {
			_, rest, found := bytes.Cut(text, []byte("\ntocsin_store_redis_repeats "))
			gathered = gathered || found && !bytes.HasPrefix(rest, []byte("0\n"))
			return nil
		})
		if err != nil || !gathered {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(storedPoll):
		}
	}
	return fmt.Errorf("bench: the gateways have not stored the repeats within %s", storedWithin)
}

// verdicts sums tocsin_alerts_total{source,verdict} of a text exposition over the sources.
func verdicts(exposition []byte) (map[string]int, error) {
	sums := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(exposition))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "tocsin_alerts_total{")
		if !ok {
			continue
		}
		_, after, _ := strings.Cut(rest, `verdict="`)
		verdict, after, _ := strings.Cut(after, `"`)
		_, number, _ := strings.Cut(after, "} ")
		value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || verdict == "" {
			return nil, fmt.Errorf("bench: metric line %q is not understood", lines.Text())
		}
		sums[verdict] += int(value)
	}
	return sums, lines.Err()
}

// verify compares what the gateway says with what it has acknowledged, and
// returns what does not agree.
func verify(workload string, s sent, before, after counts) (wrong []string) {
	check := func(what string, got, want int) {
		if got != want {
			wrong = append(wrong, fmt.Sprintf("%s: %s: got %d, want %d as acknowledged", workload, what, got, want))
		}
	}
	total, firing := after.total-before.total, after.firing-before.firing
	switch workload {
	case W1, W3:
		check("new alerts in incidents", total, 0)
		check("verdict duplicate", after.verdicts["duplicate"]-before.verdicts["duplicate"], s.acked)
	default:
		check("new alerts in incidents", total, s.acked-s.resolved)
		check("more alerts firing", firing, s.acked-2*s.resolved)
	}
	for _, bad := range []string{"rejected", "failed"} {
		check("verdict "+bad, after.verdicts[bad]-before.verdicts[bad], 0)
	}
	return wrong
}

package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Report is everything that a run found.
type Report struct {
	Started time.Time `json:"started"`
	System  string    `json:"system"`
	CPUs    int       `json:"cpus"`
	Go      string    `json:"go"`
	// Load is the machine's load average of one minute when the run began.
	Load         string `json:"load_average"`
	Alertmanager string `json:"alertmanager,omitempty"`
	// Redis is nil if the store was a folder; Gateways is how many were on it.
	Redis    *RedisFacts `json:"redis,omitempty"`
	Gateways int         `json:"gateways,omitempty"`
	Rounds   int         `json:"rounds"`
	Scale    float64     `json:"scale"`
	Results  []Result    `json:"results"`
	// Footprint is nil if none of idle, memory and restart was asked for.
	Footprint *Footprint `json:"footprint,omitempty"`
	// Growth is nil if it was not asked for.
	Growth *GrowthReport `json:"growth,omitempty"`
	// Skipped says what was not measured, and why.
	Skipped []string `json:"skipped,omitempty"`
	// Wrong says where a gateway's own figures disagree with its acknowledgements.
	Wrong []string `json:"wrong"`
}

// Result is what one workload gave on one target.
type Result struct {
	Workload string        `json:"workload"`
	Target   string        `json:"target"`
	Rounds   []Measurement `json:"rounds"`
	// The medians of the rounds.
	AlertsPerSecond float64 `json:"alerts_per_second"`
	P50             float64 `json:"p50_ms"`
	P99             float64 `json:"p99_ms"`
	// CPUPer1000 is the server's CPU seconds per 1,000 alerts, with those of Redis; 0 if unknown.
	CPUPer1000 float64 `json:"cpu_seconds_per_1000_alerts,omitempty"`
	// RedisCPUPer1000 is the part of Redis, RedisCommandsPer1000 how many commands
	// it ran for 1,000 alerts, those in scripts too.
	RedisCPUPer1000      float64 `json:"redis_cpu_seconds_per_1000_alerts,omitempty"`
	RedisCommandsPer1000 float64 `json:"redis_commands_per_1000_alerts,omitempty"`
	// CPURatio is how many times the CPU of Tocsin this target needs for an
	// alert: the median of each round's ratio. 0 if unknown.
	CPURatio float64 `json:"cpu_ratio_to_tocsin,omitempty"`
	Errors   int     `json:"errors"`
}

// Measurement is one workload on one target in one round.
type Measurement struct {
	// Alerts counts those in requests that were answered 2xx.
	Alerts               int     `json:"acknowledged_alerts"`
	Requests             int     `json:"requests"`
	Errors               int     `json:"errors"`
	FirstError           string  `json:"first_error,omitempty"`
	Seconds              float64 `json:"seconds"`
	AlertsPerSecond      float64 `json:"alerts_per_second"`
	P50                  float64 `json:"p50_ms"`
	P99                  float64 `json:"p99_ms"`
	CPUPer1000           float64 `json:"cpu_seconds_per_1000_alerts,omitempty"`
	RedisCPUPer1000      float64 `json:"redis_cpu_seconds_per_1000_alerts,omitempty"`
	RedisCommandsPer1000 float64 `json:"redis_commands_per_1000_alerts,omitempty"`
	GeneratorSeconds     float64 `json:"generator_cpu_seconds"`
	ResidentBytes        int64   `json:"resident_bytes,omitempty"`
	RedisResidentBytes   int64   `json:"redis_resident_bytes,omitempty"`
}

func newMeasurement(s sent, before, after spent) Measurement {
	m := Measurement{Alerts: s.acked, Requests: s.requests, Errors: s.errors, FirstError: s.firstError, Seconds: s.took.Seconds(),
		P50: s.quantile(0.5), P99: s.quantile(0.99), GeneratorSeconds: (after.own - before.own).Seconds(),
		ResidentBytes: after.server.resident, RedisResidentBytes: after.redis.resident}
	m.AlertsPerSecond = float64(s.acked) / s.took.Seconds()
	thousands := float64(s.acked) / 1000
	if after.redis.known {
		m.RedisCPUPer1000 = (after.redis.cpu - before.redis.cpu).Seconds() / thousands
		m.RedisCommandsPer1000 = float64(after.redis.commands-before.redis.commands) / thousands
	}
	if before.server.known && after.server.known {
		m.CPUPer1000 = (after.server.cpu-before.server.cpu).Seconds()/thousands + m.RedisCPUPer1000
	}
	return m
}

func (r *Report) add(workload, target string, m Measurement) {
	res := r.result(workload, target)
	if res == nil {
		r.Results = append(r.Results, Result{Workload: workload, Target: target})
		res = &r.Results[len(r.Results)-1]
	}
	res.Rounds = append(res.Rounds, m)
}

func (r *Report) result(workload, target string) *Result {
	i := slices.IndexFunc(r.Results, func(x Result) bool { return x.Workload == workload && x.Target == target })
	if i < 0 {
		return nil
	}
	return &r.Results[i]
}

func (r *Report) summarize() {
	for i := range r.Results {
		r.Results[i].summarize()
	}
	for i := range r.Results {
		res := &r.Results[i]
		res.CPURatio = ratio(res, r.result(res.Workload, tocsin))
	}
	if r.Growth != nil {
		r.Growth.summarize()
	}
}

func (r *Result) summarize() {
	for _, f := range []struct {
		to *float64
		of func(Measurement) float64
	}{
		{&r.AlertsPerSecond, func(m Measurement) float64 { return m.AlertsPerSecond }},
		{&r.P50, func(m Measurement) float64 { return m.P50 }},
		{&r.P99, func(m Measurement) float64 { return m.P99 }},
		{&r.CPUPer1000, func(m Measurement) float64 { return m.CPUPer1000 }},
		{&r.RedisCPUPer1000, func(m Measurement) float64 { return m.RedisCPUPer1000 }},
		{&r.RedisCommandsPer1000, func(m Measurement) float64 { return m.RedisCommandsPer1000 }},
	} {
		*f.to = median(values(r.Rounds, f.of))
	}
	for _, m := range r.Rounds {
		r.Errors += m.Errors
	}
}

// ratio compares round with round, because both saw the same machine.
func ratio(of, to *Result) float64 {
	if to == nil {
		return 0
	}
	var all []float64
	for i := range min(len(of.Rounds), len(to.Rounds)) {
		if to.Rounds[i].CPUPer1000 > 0 && of.Rounds[i].CPUPer1000 > 0 {
			all = append(all, of.Rounds[i].CPUPer1000/to.Rounds[i].CPUPer1000)
		}
	}
	return median(all)
}

func values(rounds []Measurement, f func(Measurement) float64) []float64 {
	all := make([]float64, len(rounds))
	for i, m := range rounds {
		all[i] = f(m)
	}
	return all
}

// median of nothing is 0.
func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(all))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// titles say what each workload is.
var titles = map[string]string{
	W1: "duplicate storm: known alerts, 100 a request, 8 connections",
	W2: "new alerts, 100 a request, 8 connections",
	W3: "one known alert a request, 64 connections",
	W4: "every alert fires, then resolves, 100 a request, 8 connections",
}

// goals say what Tocsin is to reach on two cores: on a folder, and on a Redis
// that shares the cores and whose CPU counts too.
var goals = map[bool]map[string]string{
	false: {
		W1: "at least 150,000 alerts/s, at most 0.008 CPU s",
		W2: "at least 60,000 alerts/s, at most 0.020 CPU s",
		W3: "at least 15,000 alerts/s, p99 at most 25 ms, at most 0.060 CPU s",
		W4: "at least 50,000 alerts/s",
	},
	true: {
		W1: "at least 120,000 alerts/s, at most 0.010 CPU s with Redis",
		W2: "at least 50,000 alerts/s, at most 0.025 CPU s with Redis",
		W3: "at least 12,000 alerts/s, p99 at most 25 ms, at most 0.080 CPU s with Redis",
		W4: "at least 35,000 alerts/s",
	},
}

func (r *Report) write(w io.Writer, output string) error {
	if output == "json" {
		return json.MarshalWrite(w, r, jsontext.WithIndent("  "), json.FormatNilSliceAsNull(false))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s, %d CPUs, %s, load %s at the start; %s\n", r.System, r.CPUs, r.Go, r.Load, r.Started.Format(time.RFC3339))
	fmt.Fprintf(&b, "Median (min-max) of %s, the load generator on the same machine. CPU s: the server's per 1,000\n", plural(r.Rounds, "round"))
	fmt.Fprintf(&b, "alerts. Ratio: CPU of this one per alert by that of Tocsin. Scale %g.", r.Scale)
	if r.Alertmanager != "" {
		fmt.Fprintf(&b, " Compared: %s.", r.Alertmanager)
	}
	b.WriteByte('\n')
	if r.Redis != nil {
		r.Redis.write(&b, r.Gateways)
	}
	for _, workload := range []string{W1, W2, W3, W4} {
		r.writeWorkload(&b, workload)
	}
	if r.Footprint != nil {
		r.Footprint.write(&b, r.Redis != nil)
	}
	if r.Growth != nil {
		r.Growth.write(&b, r.Redis != nil)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "\nskipped: %s\n", s)
	}
	for _, s := range r.Wrong {
		fmt.Fprintf(&b, "\nWRONG: %s\n", s)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeWorkload(b *strings.Builder, workload string) {
	first := true
	for _, res := range r.Results {
		if res.Workload != workload {
			continue
		}
		if first {
			fmt.Fprintf(b, "\n%s %s\n   goal: %s\n", workload, titles[workload], goals[r.Redis != nil][workload])
			fmt.Fprintf(b, "   %-12s %-31s %6s %6s  %-22s %6s %6s\n", "", "alerts/s", "p50 ms", "p99 ms", "CPU s", "ratio", "errors")
			first = false
		}
		rate := spread(values(res.Rounds, func(m Measurement) float64 { return m.AlertsPerSecond }), grouped)
		cpu := "unknown"
		if res.CPUPer1000 > 0 {
			cpu = spread(values(res.Rounds, func(m Measurement) float64 { return m.CPUPer1000 }), cpuText)
		}
		times := "-"
		if res.CPURatio > 0 {
			times = short(res.CPURatio) + "x"
		}
		fmt.Fprintf(b, "   %-12s %-31s %6s %6s  %-22s %6s %6d\n", res.Target, rate, short(res.P50), short(res.P99), cpu, times, res.Errors)
		if res.CPUPer1000 > 0 && res.RedisCPUPer1000 > 0 {
			gateway := median(values(res.Rounds, func(m Measurement) float64 { return m.CPUPer1000 - m.RedisCPUPer1000 }))
			fmt.Fprintf(b, "   %-12s of the CPU s: gateway %s, Redis %s; %s commands of Redis per 1,000 alerts\n", "",
				cpuText(gateway), cpuText(res.RedisCPUPer1000), grouped(res.RedisCommandsPer1000))
		}
		for _, m := range res.Rounds {
			if m.FirstError != "" {
				fmt.Fprintf(b, "   %-12s first error: %.80s\n", "", m.FirstError)
				break
			}
		}
	}
}

func (f *RedisFacts) write(b *strings.Builder, gateways int) {
	fmt.Fprintf(b, "\nRedis %s, %s on it\n", f.Version, plural(gateways, "gateway"))
	for names := range slices.Chunk(redisSettings, 3) {
		b.WriteString("  ")
		for _, name := range names {
			fmt.Fprintf(b, " %s=%q", name, f.Settings[name])
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "   keys of others: %s; meanwhile ended: %s of the AOF, %s of the RDB\n",
		grouped(float64(f.OtherKeys)), plural(int(f.Rewrites), "rewrite"), plural(int(f.Saves), "save"))
}

func (f *Footprint) write(b *strings.Builder, redis bool) {
	fmt.Fprintf(b, "\nFootprint of Tocsin\n")
	line := func(name, value, goal string) { fmt.Fprintf(b, "   %-34s %-28s %s\n", name, value, goal) }
	if f.IdleBytes > 0 {
		line("resident, idle", mega(f.IdleBytes), "goal: below 60 MB")
	}
	if f.Alerts == 0 {
		return
	}
	line("active alerts", grouped(float64(f.Alerts))+" ("+grouped(f.AcceptedPerSecond)+"/s)", "")
	if redis {
		line("resident with them (most)", mega(f.ResidentBytes)+" ("+mega(f.PeakBytes)+")", "goal: at most 60 MB at 1,000,000")
		line("memory of Redis", mega(f.RedisBytes), "")
		line("memory of Redis per alert", grouped(f.RedisBytesPerAlert)+" bytes", "goal: at most 1,126 (1.1 KB)")
	} else {
		line("resident with them (most)", mega(f.ResidentBytes)+" ("+mega(f.PeakBytes)+")", "")
		line("resident per alert", grouped(f.BytesPerAlert)+" bytes", "goal: at most 1,000 at 1,000,000")
		line("disk per alert", grouped(f.DiskBytesPerAlert)+" bytes", "")
	}
	if f.ReadySeconds > 0 {
		line("kill -9, start, ready after", short(f.ReadySeconds)+" s", "goal: below 5 s at 1,000,000")
		line("resident after the restart", mega(f.RestartedBytes), "")
	}
}

func spread(all []float64, text func(float64) string) string {
	if len(all) == 1 {
		return text(all[0])
	}
	return text(median(all)) + " (" + text(slices.Min(all)) + "-" + text(slices.Max(all)) + ")"
}

// grouped writes a whole number with commas: 12,345.
func grouped(x float64) string {
	s := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short writes three significant digits.
func short(x float64) string {
	switch {
	case x >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

func cpuText(x float64) string {
	if x == 0 {
		return "?"
	}
	return strconv.FormatFloat(x, 'f', 4, 64)
}

func mega(bytes int64) string {
	return strconv.FormatFloat(float64(bytes)/1e6, 'f', 0, 64) + " MB"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/bench"
	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/demo"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/simulate"
)

func registerDemo(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	app.Command("demo", "Play a bundled bad day into a throw-away gateway and show the incidents it becomes, what people would be told, and a report.")
	return map[string]func(context.Context) error{"demo": func(ctx context.Context) error {
		c, err := config.Load(nil, "built-in")
		if err != nil {
			return err
		}
		g, err := simulate.New(ctx, c, demo.Start)
		if err != nil {
			return err
		}
		defer func() { _ = g.Close() }() // it is in memory
		return demo.Run(ctx, demo.Options{
			Post: func(ctx context.Context, at time.Time, source string, body []byte) (int, []byte, error) {
				if err := g.Until(ctx, at); err != nil {
					return 0, nil, err
				}
				return g.Post(ctx, source, body)
			},
			Incidents: func(ctx context.Context) ([]demo.Incident, error) {
				list, err := g.Incidents(ctx)
				out := make([]demo.Incident, len(list))
				for n, i := range list {
					out[n] = demo.Incident{Reference: i.Reference, Severity: i.Severity, Priority: i.Priority, State: i.State, Title: i.Title,
						Alerts: i.Alerts.Total, OpenedAt: i.OpenedAt, ResolvedAt: i.ResolvedAt}
				}
				return out, err
			},
			Preview: func(ctx context.Context, reference string) ([]demo.Preview, error) {
				return demoPreview(ctx, g, reference)
			},
			Report: func(ctx context.Context, reference string) ([]demo.Field, error) {
				return demoReport(ctx, g, reference)
			},
		}, s.out)
	}}
}

// demoReceivers is a chat and a mailbox, of which nobody takes anything.
const demoReceivers = `
route: {receiver: people}
receivers:
  - name: people
    slack_configs:
      - api_url: https://chat.shop.example/hook
        title: '{{ .RouteLabels.summary }}'
        text: '{{ range $n, $a := .Alerts }}{{ if lt $n 4 }}• {{ $a.Annotations.summary }}{{ "\n" }}{{ end }}{{ end }}'
    email_configs:
      - {to: on-call@shop.example, from: Tocsin <tocsin@shop.example>, smarthost: "mail.shop.example:587", html: "", headers: {Subject: '{{ .RouteLabels.summary }}'}}
`

// demoPreview is what the receivers would be told of an incident now.
func demoPreview(ctx context.Context, g *simulate.Simulation, reference string) ([]demo.Preview, error) {
	c, err := config.Load([]byte(demoReceivers), "built-in")
	if err != nil {
		return nil, err
	}
	external := &url.URL{Scheme: "https", Host: "tocsin.shop.example"}
	templates, err := notify.NewTemplates(nil, external)
	if err != nil {
		return nil, err
	}
	all, err := receivers.New(receivers.Options{Alertmanager: c.Alertmanager, Config: c.Notify, Templates: templates, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	list, err := g.Preview(ctx, &notify.Settings{Integrations: all, Severities: c.Classify.Severities,
		Timing: func(*incident.Incident, string) notify.Timing { return notify.Timing{Routed: true} },
		Links: func(i *incident.Incident, _ string) notify.Links {
			return notify.Links{Incident: external.JoinPath("incidents", i.Reference).String()}
		}}, reference, "people")
	if err != nil {
		return nil, err
	}
	var out []demo.Preview
	for _, p := range list {
		if p.Error != "" {
			return nil, fmt.Errorf("%s: %s", p.Target, p.Error)
		}
		one := demo.Preview{Where: "by mail", Text: shown(p.ContentType, p.Body)}
		if p.ContentType != "message/rfc822" {
			one.Where = "in a chat such as Slack"
			if one.Text, err = chatText(p.Body); err != nil {
				return nil, err
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// demoReport is the form of a service disruption as the API makes it.
func demoReport(ctx context.Context, g *simulate.Simulation, reference string) ([]demo.Field, error) {
	status, answer, err := g.Get(ctx, "/api/v1/incidents/"+url.PathEscape(reference)+"/report?kind=disruption&format=json")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("the report: %d %.200s", status, answer)
	}
	var form struct {
		Sections []struct {
			Name   string `json:"name"`
			Fields []struct {
				Label  string `json:"label"`
				Text   string `json:"text"`
				Stated bool   `json:"stated"`
			} `json:"fields"`
		} `json:"sections"`
	}
	if err := json.Unmarshal(answer, &form); err != nil {
		return nil, err
	}
	var fields []demo.Field
	for _, s := range form.Sections {
		if s.Name != "form" {
			continue
		}
		for _, f := range s.Fields {
			fields = append(fields, demo.Field{Name: f.Label, Value: f.Text, Stated: f.Stated})
		}
	}
	return fields, nil
}

func registerBench(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	var o bench.Options
	var bare bool
	cmd := app.Command("bench", "Measure a gateway under load, beside a bare handler and, if it is installed, an Alertmanager.")
	cmd.Flag("target", "Ingest URL of a running gateway on this machine; default: start one on a temporary folder.").StringVar(&o.Target)
	cmd.Flag("store.url", "Redis for the gateways that it starts (redis://HOST:PORT); its keys begin with ?prefix=, default bench, and are removed.").
		Envar("TOCSIN_BENCH_STORE_URL").StringVar(&o.StoreURL) // not TOCSIN_STORE_URL, which is that of the real one
	cmd.Flag("gateways", "How many gateways work on that Redis.").Default("1").IntVar(&o.Gateways)
	cmd.Flag("token", "Token for the target.").StringVar(&o.Token)
	cmd.Flag("pid", "Process of the target, for its CPU time.").IntVar(&o.PID)
	cmd.Flag("alertmanager", "Alertmanager's program; default: from PATH.").StringVar(&o.Alertmanager)
	cmd.Flag("rounds", "How often everything is measured.").Default("3").IntVar(&o.Rounds)
	cmd.Flag("workload", "What to measure; may be repeated. Default: all but growth.").EnumsVar(&o.Workloads, bench.Workloads()...)
	cmd.Flag("scale", "Part of the full load, for a short run.").Default("1").Float64Var(&o.Scale)
	cmd.Flag("output", "table or json.").Default("table").EnumVar(&o.Output, "table", "json")
	cmd.Flag("serve-bare", "Serve the bare handler.").Hidden().BoolVar(&bare)
	return map[string]func(context.Context) error{"bench": func(ctx context.Context) error {
		if bare {
			return bench.ServeBare(ctx, "127.0.0.1:0")
		}
		// Where nobody reads its output any more it must end what it started.
		broken := make(chan os.Signal, 1)
		signal.Notify(broken, syscall.SIGPIPE)
		defer signal.Stop(broken)
		return bench.Run(ctx, o, s.out)
	}}
}

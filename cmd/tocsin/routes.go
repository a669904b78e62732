package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/mute/silences"
	"github.com/tocsin-gateway/tocsin/notify/route"
)

// routesTest is the command routes test.
type routesTest struct {
	*client
	file, verify string
	tree         bool
	labels       []string
}

func registerRoutes(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	cmd := app.Command("routes", "The routes of the configuration.")
	r := &routesTest{client: newClient(cmd, s)}
	cmd.Flag("config.file", "Configuration file; without one that of the gateway that runs is asked for.").StringVar(&r.file)
	test := cmd.Command("test", "Say which receivers are told of an incident with these labels.")
	test.Arg("labels", "Such as severity=critical; beside the senders' labels also priority, category, team, service, state and so on.").StringsVar(&r.labels)
	test.Flag("tree", "Show the routes that lead there.").BoolVar(&r.tree)
	test.Flag("verify.receivers", "Receivers, with commas, that it must be; exit 1 if it is not.").StringVar(&r.verify)
	return map[string]func(context.Context) error{test.FullCommand(): r.test}
}

// test runs routes test.
func (r *routesTest) test(ctx context.Context) error {
	config.InitMatchers(slog.New(slog.DiscardHandler))
	set := map[string]string{}
	for _, text := range r.labels {
		m, err := silences.ParseMatcher(text)
		if err != nil || m.Type != labels.MatchEqual {
			return fmt.Errorf("%q is not a label such as severity=critical", text)
		}
		set[m.Name] = m.Value
	}
	c, err := r.load(ctx)
	if err != nil {
		return err
	}
	if c.Alertmanager == nil || c.Alertmanager.Route == nil {
		return errors.New("the configuration has no route, so nobody is told of anything")
	}
	taken := route.New(c.Alertmanager.Route).Match(match.New(set))
	if r.tree {
		fmt.Fprintln(r.out, "Matching routes:")
		printRoutes(r.out, "", taken, 0)
		fmt.Fprintln(r.out)
	}
	names := make([]string, len(taken))
	for n, one := range taken {
		names[n] = one.Receiver
	}
	got := strings.Join(names, ",")
	fmt.Fprintln(r.out, visible(got))
	if r.verify != "" && r.verify != got {
		return fmt.Errorf("the receivers are %s, not %s", visible(got), visible(r.verify))
	}
	return nil
}

// load reads the file, or what a gateway shows of its own.
func (r *routesTest) load(ctx context.Context) (*config.Config, error) {
	var c *config.Config
	var err error
	if r.file != "" {
		c, err = config.LoadFile(r.file)
	} else {
		var status struct {
			Config struct {
				Original string `json:"original"`
			} `json:"config"`
		}
		if err := r.do(ctx, http.MethodGet, "/api/v2/status", nil, &status); err != nil {
			return nil, err
		}
		c, err = config.Load([]byte(status.Config.Original), "the gateway's configuration")
	}
	if mistakes := (*config.MistakesError)(nil); errors.As(err, &mistakes) {
		fmt.Fprintf(r.err, "tocsin: %v\n", err)
		return nil, errSaid
	}
	return c, err
}

// printRoutes writes the routes as a tree of their matchers, from a depth on.
func printRoutes(w io.Writer, indent string, taken []*route.Route, depth int) {
	if depth == 0 {
		fmt.Fprintf(w, ".\n└── default-route%s\n", receiverHere(taken, 0))
		indent = "    "
	}
	deeper := func(one *route.Route) bool { return len(one.Path) > depth }
	for len(taken) > 0 {
		first := slices.IndexFunc(taken, deeper)
		if first < 0 {
			return
		}
		name := taken[first].Path[depth]
		taken = taken[first:]
		same := 0
		for same < len(taken) && deeper(taken[same]) && taken[same].Path[depth] == name {
			same++
		}
		branch, below := "├── ", "│   "
		if !slices.ContainsFunc(taken[same:], deeper) {
			branch, below = "└── ", "    "
		}
		fmt.Fprintf(w, "%s%s%s%s\n", indent, branch, visible(name), receiverHere(taken[:same], depth+1))
		printRoutes(w, indent+below, taken[:same], depth+1)
		taken = taken[same:]
	}
}

// receiverHere names the receivers of the routes that end at a depth.
func receiverHere(taken []*route.Route, depth int) string {
	var out strings.Builder
	for _, one := range taken {
		if len(one.Path) == depth {
			out.WriteString("  receiver: " + visible(one.Receiver))
		}
	}
	return out.String()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis"
)

// storeCheck is the command store check.
type storeCheck struct {
	streams
	store              storeFlags
	configFile, output string
}

func registerStoreCheck(parent *kingpin.CmdClause, s streams) func(context.Context) error {
	v := &storeCheck{streams: s}
	cmd := parent.Command("check", "Look whether Redis is as Tocsin needs it: versions, persistence, memory, permissions, what is stored. Nothing is stored.")
	v.store.register(cmd, "The store. Default: store.url of the configuration file, or file:data.")
	cmd.Flag("config.file", "Configuration file, for its section store.").StringVar(&v.configFile)
	cmd.Flag("output", "table for people, json for scripts.").Short('o').Default("table").EnumVar(&v.output, "table", "json")
	return v.run
}

// storeReport is what store check says in JSON.
type storeReport struct {
	URL store.URL `json:"url"`
	// OK: nothing that was found keeps Tocsin from working.
	OK bool `json:"ok"`
	redis.Report
}

func (v *storeCheck) run(ctx context.Context) error {
	c := config.Default()
	if v.configFile != "" {
		loaded, err := config.LoadFile(v.configFile)
		if err != nil {
			return err
		}
		c = loaded
		for _, w := range c.Warnings {
			if strings.HasPrefix(w.Path, "store.") {
				fmt.Fprintf(v.err, "%s (warning)\n", w)
			}
		}
	}
	settings, err := v.store.settings(c.Store)
	if err != nil {
		return err
	}
	if !redis.Handles(settings.URL.Reveal()) {
		if err := knownScheme(settings.URL); err != nil {
			return err
		}
		return fmt.Errorf("%s is not a Redis: a folder is looked through by tocsin store verify DIR, while no gateway uses it", settings.URL)
	}
	options, err := redisOptions(settings)
	if err != nil {
		return err
	}
	found, err := redis.Examine(ctx, settings.URL.Reveal(), options)
	if err != nil { // a script wants to read that too
		found.Findings = append([]redis.Finding{{Fatal: true, Text: err.Error()}}, found.Findings...)
	}
	r := storeReport{URL: settings.URL, OK: found.Fatal() == 0, Report: found}
	if v.output == "json" {
		err = v.printJSON(r)
	} else {
		v.print(r)
		err = nil
	}
	switch n := found.Fatal(); {
	case err != nil:
		return err
	case n == 1:
		return errors.New("store check: Tocsin cannot work with it: there is 1 error")
	case n > 1:
		return fmt.Errorf("store check: Tocsin cannot work with it: there are %d errors", n)
	}
	return nil
}

func (v *storeCheck) printJSON(r storeReport) error {
	b, err := json.Marshal(r, jsontext.WithIndent("  "), json.Deterministic(true))
	if err == nil {
		_, err = fmt.Fprintf(v.out, "%s\n", escapeOdd(b))
	}
	return err
}

// print writes for people: what there is, then what is wrong with it.
func (v *storeCheck) print(r storeReport) {
	fmt.Fprintln(v.out, visible(r.URL.String()))
	if len(r.Servers) > 0 {
		rows := &table{}
		rows.add("VERSION", "ROLE", "REPLICAS", "APPENDONLY", "MEMORY", "POLICY", "SERVER")
		for _, s := range r.Servers {
			rows.add(s.Product+" "+s.Version, s.Role, fmt.Sprint(s.Replicas), appendOnly(s), memory(s), s.Policy, s.Address)
		}
		rows.write(v.out, "", 160)
	}
	switch {
	case r.Schema != "":
		fmt.Fprintln(v.out, stored(r.Report))
	case r.OK:
		fmt.Fprintln(v.out, "nothing is stored in it yet")
	}
	for _, f := range r.Findings {
		kind := "warning"
		if f.Fatal {
			kind = "error"
		}
		fmt.Fprintf(v.out, "%s: %s\n", kind, visible(f.String()))
	}
	if len(r.Findings) == 0 {
		fmt.Fprintln(v.out, "nothing is wrong with it")
	}
}

// stored says what is in it.
func stored(r redis.Report) string {
	gateways := fmt.Sprintf("%d gateways work on it", r.Gateways)
	switch r.Gateways {
	case 0:
		gateways = "no gateway works on it"
	case 1:
		gateways = "1 gateway works on it"
	}
	return fmt.Sprintf("schema %s, %d shards, %s", r.Schema, r.Shards, gateways)
}

// appendOnly says how a server keeps its log. How often it is synced is not
// known where the user may not ask.
func appendOnly(s redis.Server) string {
	switch {
	case !s.AppendOnly:
		return "no"
	case s.AppendFsync == "":
		return "yes, fsync unknown"
	}
	return "yes, fsync " + s.AppendFsync
}

func memory(s redis.Server) string {
	if s.MaxMemory == 0 {
		return megabytes(s.UsedMemory) + ", no limit"
	}
	return megabytes(s.UsedMemory) + " of " + megabytes(s.MaxMemory)
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/redis"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

// storeCopy is the command store copy.
type storeCopy struct {
	streams
	from, to side
	// password and passwordFile are for both sides.
	password, passwordFile string
	restart                bool

	shown time.Time // when progress was shown last
}

// side is one of the two stores.
type side struct{ url, passwordFile, configFile string }

func registerStoreCopy(parent *kingpin.CmdClause, s streams) func(context.Context) error {
	v := &storeCopy{streams: s}
	cmd := parent.Command("copy", "Copy all that a store holds into an empty one, such as file:data into redis://host. Nobody may use either meanwhile; the first one is not changed. "+
		"A copy that was interrupted goes on with the same command.")
	for _, side := range [...]struct {
		*side
		name, help string
	}{{&v.from, "from", "The store to copy from"}, {&v.to, "to", "The store to copy into, which must be empty"}} {
		cmd.Arg(side.name, side.help+": file:DIR or a URL of Redis.").Required().StringVar(&side.url)
		cmd.Flag(side.name+".config-file", "Configuration file with a section store for that side: user, password, TLS.").StringVar(&side.configFile)
		cmd.Flag(side.name+".password-file", "File with the password of Redis, for that side.").StringVar(&side.passwordFile)
	}
	cmd.Flag("store.password", "The password of Redis. Better: the file.").Hidden().StringVar(&v.password)
	cmd.Flag("store.password-file", "File with the password of Redis, for the side that has no other.").StringVar(&v.passwordFile)
	cmd.Flag("restart", "Throw away what an unfinished copy left in the second store, and begin again.").NoEnvar().BoolVar(&v.restart)
	return v.run
}

func (v *storeCopy) run(ctx context.Context) (err error) {
	from, err := v.openSource(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // it was only read
	to, err := v.openTarget(ctx)
	if err != nil {
		return err
	}
	report, err := transfer.Copy(ctx, from, to, transfer.Options{Restart: v.restart, Watch: v.watch})
	if err = errors.Join(err, to.Close()); err != nil {
		return v.explain(err, report)
	}
	return v.summarize(report)
}

// settings are those of one side.
func (v *storeCopy) settings(s side) (store.Config, error) {
	c := config.Default()
	if s.configFile != "" {
		loaded, err := config.LoadFile(s.configFile)
		if err != nil {
			return c.Store, err
		}
		c = loaded
	}
	flags := storeFlags{url: s.url, passwordFile: s.passwordFile}
	if s.passwordFile == "" && s.configFile == "" && !store.URL(s.url).HasPassword() {
		flags.password, flags.passwordFile = v.password, v.passwordFile
	}
	return flags.settings(c.Store)
}

func (v *storeCopy) openSource(ctx context.Context) (transfer.Source, error) {
	c, err := v.settings(v.from)
	if err != nil {
		return nil, err
	}
	url := c.URL.Reveal()
	if !redis.Handles(url) {
		if err := knownScheme(c.URL); err != nil {
			return nil, err
		}
		st, err := embedded.OpenSource(url, embedded.Options{Logger: v.log()})
		if err != nil {
			return nil, err // not st: a nil *Source is not a nil Source
		}
		return st, nil
	}
	options, err := redisOptions(c)
	if err != nil {
		return nil, err
	}
	options.Logger = v.log()
	st, err := redis.OpenSource(ctx, url, options)
	if err != nil {
		return nil, err // likewise
	}
	return st, nil
}

func (v *storeCopy) openTarget(ctx context.Context) (transfer.Target, error) {
	c, err := v.settings(v.to)
	if err != nil {
		return nil, err
	}
	url := c.URL.Reveal()
	if !redis.Handles(url) {
		if err := knownScheme(c.URL); err != nil {
			return nil, err
		}
		st, err := embedded.OpenTarget(url, embedded.Options{Logger: v.log()})
		if err != nil {
			return nil, err // likewise
		}
		return st, nil
	}
	options, err := redisOptions(c)
	if err != nil {
		return nil, err
	}
	options.Logger = v.log()
	st, err := redis.OpenTarget(ctx, url, options)
	if err != nil {
		return nil, err // likewise
	}
	return st, nil
}

// log shows what the stores warn of.
func (v *storeCopy) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(v.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// explain says what to do about an error.
func (v *storeCopy) explain(err error, r transfer.Report) error {
	var different *transfer.DifferentError
	switch {
	case errors.Is(err, transfer.ErrStarted):
		return fmt.Errorf("%w; to begin again: --restart", err)
	case errors.As(err, &different):
		return fmt.Errorf("%w; the second store cannot be used: copy again with --restart", err)
	case r.Sums.Units() > 0:
		return fmt.Errorf("%w\nthe copy is not finished: the same command goes on where it stopped", err)
	}
	return err
}

// watch writes a line a second for whoever looks on.
func (v *storeCopy) watch(p transfer.Progress) {
	if time.Since(v.shown) < time.Second || !terminal(v.err) {
		return
	}
	v.shown = time.Now()
	doing := "copied"
	if p.Verifying {
		doing = "compared"
	}
	var parts []string
	for _, k := range transfer.Kinds() {
		if n := p.Sums[k].Count; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
	}
	fmt.Fprintf(v.err, "%s: %s\n", doing, strings.Join(parts, ", "))
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	stat, err := f.Stat()
	return err == nil && stat.Mode()&os.ModeCharDevice != 0
}

// summarize says what was copied.
func (v *storeCopy) summarize(r transfer.Report) error {
	rows := &table{}
	rows.add("WHAT", "COUNT", "CHECKSUM")
	for _, k := range transfer.Kinds() {
		rows.add(k.String(), fmt.Sprint(r.Sums[k].Count), r.Sums[k].Check.String()[:16])
	}
	rows.write(v.out, "", 110)
	n := r.Sums.Units() - r.Resumed
	fmt.Fprintf(v.out, "%d copied in %s (%.0f/s)", n, r.Copied.Round(time.Millisecond), float64(n)/cmp.Or(r.Copied.Seconds(), 1))
	if r.Resumed > 0 {
		fmt.Fprintf(v.out, ", %d were there from before", r.Resumed)
	}
	_, err := fmt.Fprintf(v.out, "; compared in %s: both stores hold the same\n", r.Verified.Round(time.Millisecond))
	return err
}

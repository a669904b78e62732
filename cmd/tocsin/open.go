package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/redis"
	"github.com/tocsin-gateway/tocsin/store/redisurl"
)

// storeFlags say where the state is. They go before the configuration.
type storeFlags struct {
	url, password, passwordFile string
}

// register adds the flags to a command; help is that of --store.url.
func (f *storeFlags) register(cmd *kingpin.CmdClause, help string) {
	cmd.Flag("store.url", help).StringVar(&f.url)
	cmd.Flag("store.password", "The password of Redis. Better: the file.").Hidden().StringVar(&f.password)
	cmd.Flag("store.password-file", "File with the password of Redis.").StringVar(&f.passwordFile)
}

// settings returns the section store of a configuration with what the flags say.
func (f *storeFlags) settings(c store.Config) (store.Config, error) {
	if f.url != "" {
		c.URL = store.URL(f.url)
		// Who is named in the same breath as the host goes before who is in the file.
		switch t, err := redisurl.Parse(f.url); {
		case err != nil: // said when it is opened
		case t.Password != "":
			c.Username, c.Password = "", secret.String{}
		case t.Username != "":
			c.Username = ""
		}
	}
	password := strings.TrimRight(f.password, "\r\n")
	if f.passwordFile != "" {
		b, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return c, fmt.Errorf("store: password: %w", err)
		}
		if password = strings.TrimRight(string(b), "\r\n"); password == "" {
			return c, fmt.Errorf("store: password: %s is empty", f.passwordFile)
		}
	}
	if password != "" {
		c.Password = secret.New(password)
	}
	return c, nil
}

// warn says that a password can be seen.
func (f *storeFlags) warn(log *slog.Logger) {
	if store.URL(f.url).HasPassword() {
		log.Warn("--store.url or TOCSIN_STORE_URL holds a password, which lists of processes show: use TOCSIN_STORE_PASSWORD_FILE or store.password_file")
	}
}

// opening is what a store is told beside its settings; the zero value is right
// for a command that looks something up.
type opening struct {
	log        *slog.Logger
	registerer prometheus.Registerer
	failpoint  func(string)
}

// openStore opens the store that the settings name.
func openStore(ctx context.Context, c store.Config, o opening) (store.Store, error) {
	if redis.Handles(c.URL.Reveal()) {
		options, err := redisOptions(c)
		if err != nil {
			return nil, err
		}
		options.Logger, options.Registerer, options.Failpoint, options.Skew, options.Now = o.log, o.registerer, o.failpoint, clockSkew(), playedClock()
		st, err := redis.Open(ctx, c.URL.Reveal(), options)
		if err != nil {
			return nil, err // not st: a nil *Store is not a nil Store
		}
		return st, nil
	}
	if err := knownScheme(c.URL); err != nil {
		return nil, err
	}
	st, err := embedded.Open(c.URL.Reveal(), embedded.Options{Logger: o.log, Failpoint: o.failpoint, Now: playedClock()})
	if err != nil {
		return nil, err // likewise
	}
	return st, nil
}

// knownScheme says what can be written in place of a URL that no store has.
func knownScheme(u store.URL) error {
	scheme, _, found := strings.Cut(u.Reveal(), ":")
	if found && (scheme == "file" || scheme == "mem") {
		return nil
	}
	return fmt.Errorf("store: %q is not a store: write file:DIR for a folder, redis://HOST for Redis, or mem: for nothing that lasts", u)
}

// openURL opens the store that a URL names, as it is without a configuration but
// for the password that the environment holds.
func openURL(ctx context.Context, f storeFlags, o opening) (store.Store, error) {
	c, err := f.settings(config.Default().Store)
	if err != nil {
		return nil, err
	}
	return openStore(ctx, c, o)
}

// redisOptions makes options of settings.
func redisOptions(c store.Config) (redis.Options, error) {
	o := redis.Options{Username: c.Username, Password: c.Password.Reveal(), Timeout: time.Duration(c.Timeout), InFlight: c.MaxInFlight,
		Durability: redis.Durability(c.Durability), Replicas: c.Replicas}
	t, err := redisurl.Parse(c.URL.Reveal())
	if err != nil {
		return o, fmt.Errorf("store: the URL of Redis: %w", err)
	}
	if firstOf(c.Username, t.Username) != "" && firstOf(o.Password, t.Password) == "" {
		return o, errors.New("store: there is a user for Redis, but no password: name the file that has it, with store.password_file or TOCSIN_STORE_PASSWORD_FILE")
	}
	if t.TLS {
		if o.TLS, err = c.TLS.Client(); err != nil {
			return o, err
		}
	}
	return o, nil
}

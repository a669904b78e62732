package rota

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

const (
	// readLimit is how long one reading may take.
	readLimit = 30 * time.Second
	// redirectsAtMost are followed, on the same host only.
	redirectsAtMost = 5
)

// DialFunc makes a connection.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// FeedOptions are what a Feed needs beside its configuration.
type FeedOptions struct {
	// Zone is that of times without one; nil means what the file says, else UTC.
	Zone *time.Location
	// Dial is how connections are made: whoever has a list of addresses that nothing
	// may go to gives a function that keeps to it. Nil dials everywhere.
	Dial DialFunc
	// Now is the clock; nil is the machine's.
	Now func() time.Time
	Log *slog.Logger
}

// Feed reads an iCalendar file again and again and keeps the last one that was
// good. It is a Source.
type Feed struct {
	config  ICalConfig
	options FeedOptions
	client  *http.Client

	// etag, modified and last are of the good file; only Read uses them.
	etag, modified string
	last           []byte

	mu    sync.Mutex
	good  *ICal
	state State
}

// State is how reading goes.
type State struct {
	// Good is when the file was last read, or had not changed; zero is never.
	Good time.Time
	// StaleSince is when reading began to fail; zero if it does not.
	StaleSince time.Time
	// Err is why it fails. It does not hold the URL.
	Err error
	// Skipped is how many events of the file are not understood.
	Skipped int
}

// NewFeed makes a Feed for a section that names a file or a URL. It reads nothing
// yet but the certificates.
func NewFeed(c ICalConfig, o FeedOptions) (*Feed, error) {
	problems := map[string]string{}
	if c.check(problems); len(problems) > 0 {
		return nil, problemsError(problems)
	}
	if c.File == "" && !c.URL.IsSet() {
		return nil, errors.New("rota: ical names no file and no url")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Feed{config: c, options: o}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("rota: ca_file: %w", err)
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("rota: ca_file: no certificate in %s", c.CAFile)
		}
	}
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	f.client = &http.Client{CheckRedirect: sameHost, Transport: &http.Transport{DialContext: dial, TLSClientConfig: secure,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: readLimit, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true}}
	return f, nil
}

// sameHost follows redirects to where the secret of the URL is known already.
func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > redirectsAtMost || r.URL.Scheme != "https" || r.URL.Host != via[0].URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// Calendar is the last file that was good; nil if there was none yet.
func (f *Feed) Calendar() *ICal {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.good
}

// State is how reading goes.
func (f *Feed) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Run reads the file now and then until ctx ends. It blocks.
func (f *Feed) Run(ctx context.Context) error {
	defer f.client.CloseIdleConnections()
	every := time.Duration(f.config.Every)
	if every == 0 {
		every = usualEvery
	}
	for {
		_ = f.Read(ctx) // it is in the state and in the log
		pause := every - every/10 + rand.N(every/5)
		if f.Calendar() == nil {
			pause = min(pause, leastEvery) // without any, nobody is on call
		}
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
	}
}

// Read reads the file once. It is for one goroutine at a time. What begins and what
// ends is logged once.
func (f *Feed) Read(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	data, same, commit, err := f.fetch(limited)
	var fresh *ICal
	if err == nil && !same && (f.last == nil || !bytes.Equal(data, f.last)) {
		fresh, err = ParseICal(data, Options{Zone: f.options.Zone, Person: f.config.Person, Names: f.config.Names})
	}
	if ctx.Err() != nil {
		return ctx.Err() // we are being stopped, the file is not to blame
	}
	now := f.options.Now()
	f.mu.Lock()
	before := f.state
	if err != nil {
		if f.state.Err = err; before.Err == nil {
			f.state.StaleSince = now
		}
	} else {
		f.state.Good, f.state.StaleSince, f.state.Err = now, time.Time{}, nil
		if fresh != nil {
			f.good, f.state.Skipped = fresh, fresh.SkippedAll
		}
	}
	f.mu.Unlock()
	if err == nil {
		commit()
		if fresh != nil {
			f.last = data
		}
	}
	f.say(ctx, before, err, fresh)
	return err
}

func (f *Feed) say(ctx context.Context, before State, err error, fresh *ICal) {
	switch {
	case err != nil && before.Err == nil:
		f.options.Log.ErrorContext(ctx, "the rota cannot be read; the last good one stays", "err", err, "good", before.Good)
	case err == nil && before.Err != nil:
		f.options.Log.InfoContext(ctx, "the rota can be read again", "since", before.StaleSince)
	}
	if fresh != nil && fresh.SkippedAll > 0 {
		f.options.Log.WarnContext(ctx, "events of the rota are not understood and left out", "count", fresh.SkippedAll, "first", fresh.Skipped[0])
	}
}

// fetch reads the file, or says that it is the same as the last good one. Commit
// remembers how to ask whether it changed.
func (f *Feed) fetch(ctx context.Context) (data []byte, same bool, commit func(), err error) {
	commit = func() {}
	if f.config.File != "" {
		file, err := os.Open(f.config.File)
		if err != nil {
			return nil, false, commit, fmt.Errorf("rota: %w", err)
		}
		defer func() { _ = file.Close() }() // it was only read
		data, err := bounded(file)
		return data, false, commit, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.config.URL.Reveal(), nil)
	if err != nil {
		return nil, false, commit, errors.New("rota: the URL cannot be read")
	}
	r.Header.Set("User-Agent", "Tocsin")
	r.Header.Set("Accept", "text/calendar, */*;q=0.1")
	if f.config.Username != "" {
		r.SetBasicAuth(f.config.Username, f.config.Password.Reveal())
	}
	if f.etag != "" {
		r.Header.Set("If-None-Match", f.etag)
	}
	if f.modified != "" {
		r.Header.Set("If-Modified-Since", f.modified)
	}
	answer, err := f.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which is a secret
		}
		return nil, false, commit, fmt.Errorf("rota: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	switch {
	case answer.StatusCode == http.StatusNotModified && f.last != nil:
		return nil, true, commit, nil
	case answer.StatusCode/100 == 3:
		return nil, false, commit, fmt.Errorf("rota: answered %d, a redirect that leads to another host or nowhere", answer.StatusCode)
	case answer.StatusCode != http.StatusOK:
		return nil, false, commit, fmt.Errorf("rota: answered %d", answer.StatusCode)
	}
	commit = func() { f.etag, f.modified = answer.Header.Get("ETag"), answer.Header.Get("Last-Modified") }
	data, err = bounded(answer.Body)
	return data, false, commit, err
}

// bounded reads all, up to one byte more than a file may have.
func bounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, fileLimit+1))
	if err != nil {
		return nil, fmt.Errorf("rota: %w", err)
	}
	return data, nil
}

// Package config reads the configuration file. It puts together the sections
// that the other packages own, and finds every mistake in them at once, each
// with its line and column and with what to write instead.
//
// The file is a superset of alertmanager.yml: the sections of Alertmanager mean
// what they mean there and are read by its own loader.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	amconfig "github.com/prometheus/alertmanager/config"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/config/nearest"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/formats"
	"github.com/tocsin-gateway/tocsin/ingest/imap"
	"github.com/tocsin-gateway/tocsin/ingest/nsca"
	"github.com/tocsin-gateway/tocsin/ingest/smtp"
	"github.com/tocsin-gateway/tocsin/mute"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/recorder"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/spool"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/answers"
	"github.com/tocsin-gateway/tocsin/web/status"
)

// sizeLimit is how large a file may be, in bytes.
const sizeLimit = 4 << 20

// Config is a configuration without mistakes. Nobody changes it after Load.
type Config struct {
	// Sources are those that are enabled, by name. Format, Namespace and
	// OnStoreFailure are filled in where the file does not say them.
	Sources   map[string]ingest.SourceConfig `yaml:"sources"`
	Classify  router.Config                  `yaml:"classify"`
	Correlate dedupe.Config                  `yaml:"correlate"`
	Incidents incident.Config                `yaml:"incidents"`
	// Heartbeats are the messages that are expected again and again, and Ping is
	// the one that Tocsin sends.
	Heartbeats []router.Heartbeat `yaml:"heartbeats"`
	Ping       PingConfig         `yaml:"ping"`
	Store      store.Config       `yaml:"store"`
	Spool      spool.Config       `yaml:"spool"`
	SMTP       smtp.Config        `yaml:"smtp"`
	IMAP       []imap.Config      `yaml:"imap"`
	NSCA       nsca.Config        `yaml:"nsca"`
	Recorder   recorder.Config    `yaml:"recorder"`
	Notify     receivers.Config   `yaml:"notify"`
	Services   []mute.Service     `yaml:"services"`
	// Maintenance are the windows in which nobody is told.
	Maintenance []mute.Window `yaml:"maintenance"`
	// Process is the team's process.
	Process process.Config `yaml:"process"`
	Web     web.Config     `yaml:"web"`
	Answers answers.Config `yaml:"answers"`
	Status  status.Config  `yaml:"status"`
	// Alertmanager holds Alertmanager's sections; nil if the file has neither
	// route nor receivers.
	Alertmanager *amconfig.Config `yaml:"-"`
	// Receivers are the blocks of the receivers that Alertmanager does not have, by
	// the receiver's name.
	Receivers map[string]*receivers.Own `yaml:"-"`
	// Warnings are oddities that do not keep the file from being used.
	Warnings []Mistake `yaml:"-" json:"-"`
	// Text is the file as it was read. It may hold secrets.
	Text secret.String `yaml:"-" json:"-"`
	// Hash is the SHA-256 of Text in hexadecimal digits. It does not see what
	// the files and variables hold that the text names.
	Hash string `yaml:"-" json:"-"`
}

// LoadFile reads the file at path. The error is a *MistakesError if the file
// could be read.
func LoadFile(path string) (*Config, error) {
	// Opening a pipe would wait for somebody to write into it.
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("config: %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, sizeLimit+1))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return Load(text, path)
}

// Load reads a configuration from text. The name stands in messages, and files
// that the text names are relative to its folder. The error is always a
// *MistakesError. Secrets come from the environment and from files at this time.
func Load(text []byte, name string) (*Config, error) {
	d := &decoder{file: name, dir: filepath.Dir(name), at: map[string]place{}, bad: map[string]bool{}}
	c := Default()
	if root := d.parse(text); root != nil {
		d.root = root
		d.sections(root, c)
		c.Receivers = d.ownReceivers(root)
		c.Alertmanager = d.alertmanager(root, string(text))
		c.Store.TLS = d.filesOf(c.Store.TLS)
		for name, s := range c.Sources {
			s.SNS.CertificateFile, s.API.CAFile = d.beside(s.SNS.CertificateFile), d.beside(s.API.CAFile)
			c.Sources[name] = s
		}
		c.SMTP.TLS.CertFile, c.SMTP.TLS.KeyFile = d.beside(c.SMTP.TLS.CertFile), d.beside(c.SMTP.TLS.KeyFile)
		for i := range c.IMAP {
			c.IMAP[i].CAFile = d.beside(c.IMAP[i].CAFile)
		}
		for name, r := range c.Process.Rotas {
			r.ICal.File, r.ICal.CAFile = d.beside(r.ICal.File), d.beside(r.ICal.CAFile)
			c.Process.Rotas[name] = r
		}
		d.check(c)
	}
	if len(d.mistakes) > 0 {
		return nil, &MistakesError{inOrder(d.mistakes)}
	}
	c.complete()
	c.Warnings = inOrder(d.warnings)
	sum := sha256.Sum256(text)
	c.Text, c.Hash = secret.New(string(text)), hex.EncodeToString(sum[:])
	return c, nil
}

// sections decodes our own sections of the file.
func (d *decoder) sections(root *yaml.Node, c *Config) {
	v := reflect.ValueOf(c).Elem()
	own := fieldsOf(v.Type())
	known := slices.Concat(own.names, alertmanagerSections)
	for _, p := range d.pairs(root, slot{}, 0) {
		index, ours := own.index[p.name]
		switch {
		case ours:
			d.remember(p, p.name)
			d.value(p.value, v.FieldByIndex(index), slot{path: p.name, depth: 1})
		case isAlertmanagers(p.name):
			d.at[p.name] = placeOf(p.key)
		default:
			suggestion := nearest.Suggest(p.name, known)
			if suggestion == "" {
				suggestion = "Tocsin's sections are " + strings.Join(own.names, ", ")
			}
			d.wrong(placeOf(p.key), "", "unknown section "+quote(p.name), suggestion)
		}
	}
}

// complete takes disabled sources away and fills in what a source does not say.
func (c *Config) complete() {
	for name, s := range c.Sources {
		if s.Disabled {
			delete(c.Sources, name)
			continue
		}
		c.Sources[name] = completeSource(name, s)
	}
}

func completeSource(name string, s ingest.SourceConfig) ingest.SourceConfig {
	if s.Format == "" {
		s.Format = name
	}
	if s.Namespace == "" {
		s.Namespace = name
	}
	if s.OnStoreFailure == "" {
		s.OnStoreFailure = formats.All[s.Format].OnStoreFailure()
	}
	return s
}

// String returns the configuration as YAML, with <secret> for each secret.
func (c Config) String() string {
	out, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Sprintf("<config: %v>", err)
	}
	if c.Alertmanager != nil {
		return string(out) + c.Alertmanager.String()
	}
	return string(out)
}

// Check loads the file at path and writes what it finds to w: each mistake in
// a line of its own, or the warnings and a summary. It returns an error if the
// file cannot be used; the mistakes in it have been written then.
func Check(path string, w io.Writer) error {
	c, err := LoadFile(path)
	if mistakes := (*MistakesError)(nil); errors.As(err, &mistakes) {
		if _, err := fmt.Fprintln(w, err); err != nil {
			return fmt.Errorf("config: %w", err)
		}
		return fmt.Errorf("config: %s: %s", path, count(len(mistakes.Mistakes), "mistake"))
	} else if err != nil {
		return err
	}
	for _, warning := range c.Warnings {
		if _, err := fmt.Fprintf(w, "%s (warning)\n", warning); err != nil {
			return fmt.Errorf("config: %w", err)
		}
	}
	if _, err := fmt.Fprintf(w, "%s: good: %s\n", path, c.summary()); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

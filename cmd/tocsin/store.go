package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/redis"
)

var errBackupOfRedis = errors.New("a Redis is backed up as Redis is: redis-cli --rdb FILE, see docs/operations.md")

func registerStore(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	cmd := app.Command("store", "Check, copy, back up, verify and restore the state.")
	check := registerStoreCheck(cmd, s)
	transfer := registerStoreCopy(cmd, s)
	backup := cmd.Command("backup", "Write a backup of a running gateway, or of a folder that none uses, to a tar file.")
	to := backup.Arg("file", "The tar file to write.").Required().String()
	url := backup.Flag("store.url", "Back up this store instead of that of a running gateway.").NoEnvar().String()
	remote := newClient(backup, s)
	verify := cmd.Command("verify", "Check a backup, or the folder of a gateway that does not run: checksums, timelines, counts and indexes.")
	what := verify.Arg("path", "The tar file or folder; file: in front of it, as in --store.url, does no harm.").Required().String()
	restore := cmd.Command("restore", "Unpack a backup into a new folder.")
	from := restore.Arg("file", "The tar file.").Required().String()
	dir := restore.Arg("folder", "The folder, empty or missing.").Required().String()
	return map[string]func(context.Context) error{
		"store check": check,
		"store copy":  transfer,
		"store backup": func(ctx context.Context) error {
			return writeFile(*to, func(w io.Writer) error {
				if *url == "" {
					return remote.download(ctx, "/api/v1/store/backup", w)
				}
				if redis.Handles(*url) {
					return fmt.Errorf("%s: %w", store.URL(*url), errBackupOfRedis)
				}
				if err := knownScheme(store.URL(*url)); err != nil {
					return err
				}
				st, err := embedded.Open(*url, embedded.Options{})
				if err != nil {
					return err
				}
				defer func() { _ = st.Close() }() // it was only read
				return st.Backup(ctx, w)
			})
		},
		"store verify": func(ctx context.Context) error {
			report, err := embedded.Verify(strings.TrimPrefix(*what, "file:"))
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%d incidents, %d alerts, %d timeline entries\n", report.Incidents, report.Alerts, report.TimelineEntries)
			for _, p := range report.Problems {
				fmt.Fprintln(s.out, p)
			}
			if n := len(report.Problems); n > 0 {
				return fmt.Errorf("%s: %d problems", *what, n)
			}
			return nil
		},
		"store restore": func(ctx context.Context) error { return embedded.Restore(*from, *dir) },
	}
}

// writeFile writes a new file through f; after an error there is none.
func writeFile(name string, f func(io.Writer) error) error {
	out, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f(out); err != nil {
		_ = out.Close()     // the other error says more
		_ = os.Remove(name) // likewise
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return out.Close()
}

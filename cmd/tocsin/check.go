package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/tocsin-gateway/tocsin/config"
)

func registerCheck(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	cmd := app.Command("check", "Check a configuration file: all mistakes, with line and column.")
	file := cmd.Arg("file", "The configuration file.").Required().String()
	return map[string]func(context.Context) error{"check": func(context.Context) error {
		if err := config.Check(*file, s.out); err != nil {
			fmt.Fprintf(s.err, "tocsin: %v\n", err)
			return errSaid
		}
		return nil
	}}
}

func registerHealthcheck(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	cmd := app.Command("healthcheck", "Ask a running gateway whether it is ready; for containers.")
	url := cmd.Flag("url", "Address of the gateway.").Default("http://127.0.0.1:9095").String()
	return map[string]func(context.Context) error{"healthcheck": func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, *url+"/-/ready", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("not ready: %s", answer.Status)
		}
		return nil
	}}
}

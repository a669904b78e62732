package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // an image without files has no time zones

	"github.com/alecthomas/kingpin/v2"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/common/version"
)

// A program that was built without a version says so, wherever it says which it is.
func init() { version.Version = firstOf(version.Version, "development") }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// errSaid is returned by a command that has said what is wrong.
var errSaid = errors.New("said already")

// codedError is an error of a command that ends with another code than 1.
type codedError struct {
	error
	code int
}

func (e codedError) Unwrap() error { return e.error }

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	app := kingpin.New("tocsin", "An alert-ingestion gateway: takes alerts from every monitoring tool, loses none, and turns them into the few incidents that matter.")
	app.DefaultEnvars()
	app.HelpFlag.Short('h').NoEnvar()
	app.UsageWriter(out).ErrorWriter(errOut)
	app.Version(version.Print("tocsin"))
	app.VersionFlag.NoEnvar() // TOCSIN_VERSION is a likely name for something else
	exit := -1
	app.Terminate(func(code int) {
		if exit < 0 {
			exit = code
		}
	})
	gin.SetMode(gin.ReleaseMode)
	s := streams{in, out, errOut}
	commands := map[string]func(context.Context) error{}
	for _, register := range []func(*kingpin.Application, streams) map[string]func(context.Context) error{
		registerServe, registerCheck, registerExplain, registerIncident, registerNotify, registerReport, registerSilence, registerRoutes, registerSend, registerToken, registerUser, registerStore, registerDemo, registerBench, registerHealthcheck} {
		for name, command := range register(app, s) {
			commands[name] = command
		}
	}
	name, err := app.Parse(args)
	if exit >= 0 { // --help or --version
		return exit
	}
	if err != nil {
		fmt.Fprintf(errOut, "tocsin: %v, try --help\n", err)
		return exitUsage
	}
	coded := codedError{code: exitError}
	if err = commands[name](ctx); err == nil {
		return exitOK
	}
	errors.As(err, &coded)
	if !errors.Is(err, errSaid) {
		fmt.Fprintf(errOut, "tocsin: %v\n", err)
	}
	return coded.code
}

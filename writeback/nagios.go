package writeback

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// CommandFile writes to the named pipe that a Nagios on the same machine, or one
// of its descendants, reads commands from.
//
// https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/extcommands.html
type CommandFile struct {
	// Path is command_file in nagios.cfg.
	Path string
	// Sticky acknowledgements stay until all is well, others until the state changes.
	Sticky bool
	// Notify lets Nagios tell its own contacts.
	Notify bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Acknowledge acknowledges the problem.
func (f *CommandFile) Acknowledge(ctx context.Context, t Target) error {
	sticky := "1"
	if f.Sticky {
		sticky = "2"
	}
	notify := "0"
	if f.Notify {
		notify = "1"
	}
	return f.write(ctx, "ACKNOWLEDGE_HOST_PROBLEM", "ACKNOWLEDGE_SVC_PROBLEM", t, sticky, notify, notPersistent)
}

// Unacknowledge takes the acknowledgement away, if there is one. Nagios keeps no
// author of that.
func (f *CommandFile) Unacknowledge(ctx context.Context, t Target) error {
	return f.write(ctx, "REMOVE_HOST_ACKNOWLEDGEMENT", "REMOVE_SVC_ACKNOWLEDGEMENT", t)
}

// Note leaves a comment.
func (f *CommandFile) Note(ctx context.Context, t Target) error {
	return f.write(ctx, "ADD_HOST_COMMENT", "ADD_SVC_COMMENT", t, notPersistent)
}

// notPersistent comments go with the acknowledgement, or a restart.
const notPersistent = "0"

// pipeBuffer is how much is written at once or not at all (PIPE_BUF, pipe(7)), so
// that lines of several writers do not mix.
const pipeBuffer = 4096

// write writes one command. Options stand between the names and the author; a
// command without any has neither author nor comment.
func (f *CommandFile) write(ctx context.Context, host, service string, t Target, options ...string) error {
	t, err := t.checked()
	if err != nil {
		return err
	}
	if strings.Contains(t.Host+t.Service, ";") {
		return permanent("%q, %q: a name with ; cannot be said in a command", t.Host, t.Service)
	}
	now := time.Now
	if f.Now != nil {
		now = f.Now
	}
	words := []string{host, t.Host}
	if t.Service != "" {
		words = []string{service, t.Host, t.Service}
	}
	if len(options) > 0 {
		// The comment is the last word, so ; may stand in it.
		words = append(append(words, options...), strings.ReplaceAll(t.Author, ";", ","), t.Comment)
	}
	line := fmt.Sprintf("[%d] %s\n", now().Unix(), strings.Join(words, ";"))
	if len(line) > pipeBuffer {
		return permanent("the command has %d bytes, more than %d", len(line), pipeBuffer)
	}
	return f.put(ctx, line)
}

// put writes a line into the pipe, and waits for nobody longer than the timeout.
func (f *CommandFile) put(ctx context.Context, line string) error {
	// Without a reader the pipe cannot be opened; with O_NONBLOCK that is an error.
	pipe, err := os.OpenFile(f.Path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("writeback: %s: nobody reads it: Nagios is not running", f.Path)
	case err != nil:
		return fmt.Errorf("writeback: %w", err)
	}
	defer pipe.Close()
	info, err := pipe.Stat()
	if err != nil {
		return fmt.Errorf("writeback: %w", err)
	}
	if info.Mode()&fs.ModeNamedPipe == 0 {
		return permanent("%s is not a named pipe", f.Path)
	}
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := pipe.SetWriteDeadline(deadline); err != nil {
		return fmt.Errorf("writeback: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = pipe.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := pipe.WriteString(line); err != nil {
		return fmt.Errorf("writeback: %w", err)
	}
	return nil
}

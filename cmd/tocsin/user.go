package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kingpin/v2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/term"
)

const (
	// passwordCost is how much work it is to try a password.
	passwordCost = 12
	// passwordLength is the least length of a password, in characters, and
	// passwordBytes the greatest in bytes: bcrypt looks at no more.
	passwordLength = 12
	passwordBytes  = 72
)

// users are the commands on people who sign in with a password.
type users struct{ streams }

func registerUser(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	cmd := app.Command("user", "People who sign in with a password (web.users of the configuration file).")
	u := &users{s}
	hash := cmd.Command("hash", "Read a password from the terminal or standard input, and print what goes into password_hash.")
	return map[string]func(context.Context) error{hash.FullCommand(): u.hash}
}

// hash runs user hash. The hash alone goes to standard output, so that it can be
// redirected into a file.
func (u *users) hash(context.Context) error {
	password, err := u.password()
	if err != nil {
		return err
	}
	switch {
	case utf8.RuneCountInString(password) < passwordLength:
		return fmt.Errorf("the password is shorter than %d characters", passwordLength)
	case len(password) > passwordBytes:
		return fmt.Errorf("the password is longer than %d bytes, and bcrypt would not look at the rest", passwordBytes)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), passwordCost)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(u.out, "%s\n", hash)
	return err
}

// password reads a password: from a terminal twice and unseen, else the first line.
func (u *users) password() (string, error) {
	if f, ok := u.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		first, err := u.ask(f, "Password: ")
		if err != nil {
			return "", err
		}
		second, err := u.ask(f, "Once more: ")
		if err == nil && first != second {
			err = errors.New("these are two different passwords")
		}
		return first, err
	}
	line, err := bufio.NewReader(io.LimitReader(u.in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func (u *users) ask(f *os.File, prompt string) (string, error) {
	fmt.Fprint(u.err, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(u.err)
	return string(b), err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web"
)

// tokens are the commands on API tokens.
type tokens struct {
	*client
	store storeFlags
	new   web.NewToken
	id    string
}

func registerToken(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	cmd := app.Command("token", "Make, list and delete API tokens, in a running gateway or in the store of one that does not run.")
	t := &tokens{client: newClient(cmd, s)}
	t.store.register(cmd, "The store of a gateway that does not run, such as file:data, or a Redis.")
	create := cmd.Command("create", "Make a token for a person, a program or a source. It is shown once.")
	create.Flag("role", "What its holder may do: viewer (read), responder (work on incidents) or admin (everything).").EnumVar(&t.new.Role, web.Roles()...)
	create.Flag("source", "The source that it may send alerts to.").StringVar(&t.new.Source)
	create.Flag("name", "The name that its holder goes by.").StringVar(&t.new.Name)
	create.Validate(func(*kingpin.CmdClause) error {
		if (t.new.Role == "") == (t.new.Source == "") {
			return errors.New("token create: give either --role or --source")
		}
		return nil
	})
	list := cmd.Command("list", "List the tokens, without their values.")
	remove := cmd.Command("delete", "Delete a token: it is not accepted any more.")
	remove.Arg("id", "The token's id, as token list shows it.").Required().StringVar(&t.id)
	return map[string]func(context.Context) error{create.FullCommand(): t.create, list.FullCommand(): t.list, remove.FullCommand(): t.remove}
}

// withStore calls f with the store that --store.url names.
func (t *tokens) withStore(ctx context.Context, f func(store.Store) error) (err error) {
	st, err := openURL(ctx, t.store, opening{})
	if err != nil {
		return fmt.Errorf("%w (a gateway that runs is asked without --store.url)", err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return f(st)
}

// create runs token create. The token alone goes to standard output, so that it
// can be redirected into a file.
func (t *tokens) create(ctx context.Context) error {
	var made web.CreatedTokenJSON
	var err error
	if t.store.url == "" {
		body := map[string]string{}
		for name, value := range map[string]string{"role": t.new.Role, "source": t.new.Source, "name": t.new.Name} {
			if value != "" {
				body[name] = value
			}
		}
		err = t.do(ctx, http.MethodPost, "/api/v1/tokens", body, &made)
	} else {
		err = t.withStore(ctx, func(st store.Store) error {
			token, value, err := web.CreateToken(ctx, st, t.new)
			made = web.CreatedTokenJSON{TokenJSON: web.ViewToken(token), Token: value.Reveal()}
			return err
		})
	}
	if err != nil {
		return err
	}
	what := "role " + made.Role
	if made.Source != "" {
		what = "source " + made.Source
	}
	fmt.Fprintf(t.err, "token %s (%s) for %s; keep it, it is not shown again:\n", visible(made.ID), visible(made.Name), visible(what))
	_, err = fmt.Fprintln(t.out, made.Token)
	return err
}

// list runs token list.
func (t *tokens) list(ctx context.Context) error {
	var all web.TokensJSON
	var err error
	if t.store.url == "" {
		err = t.do(ctx, http.MethodGet, "/api/v1/tokens", nil, &all)
	} else {
		t.date = time.Now()
		err = t.withStore(ctx, func(st store.Store) error {
			list, err := web.ListTokens(ctx, st)
			for _, token := range list {
				all.Tokens = append(all.Tokens, web.ViewToken(token))
			}
			return err
		})
	}
	if err != nil {
		return err
	}
	if len(all.Tokens) == 0 {
		fmt.Fprintln(t.err, "no tokens")
		return nil
	}
	rows := &table{}
	rows.add("ID", "ROLE", "SOURCE", "AGE", "NAME")
	for _, token := range all.Tokens {
		rows.add(token.ID, token.Role, token.Source, age(t.date, token.CreatedAt), token.Name)
	}
	rows.write(t.out, "", 110)
	return nil
}

// remove runs token delete.
func (t *tokens) remove(ctx context.Context) error {
	if t.store.url == "" {
		return t.do(ctx, http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(t.id), nil, nil)
	}
	return t.withStore(ctx, func(st store.Store) error {
		err := web.DeleteToken(ctx, st, t.id)
		if errors.Is(err, incident.ErrNotFound) {
			return fmt.Errorf("there is no token %s", visible(t.id))
		}
		return err
	})
}

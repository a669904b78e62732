package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/web"
)

// saying is a command that says something to one incident: what it takes becomes
// members of the body of a request.
type saying struct {
	*incidents
	clause *kingpin.CmdClause
	// path is what stands after the incident in the address. A member that is one of
	// inPath goes where it has {n}.
	path    string
	members []func(body map[string]any) error
	// required: one of these at least has to be there.
	required []string
}

const (
	ordinal = "number"
	duty    = "duty"
)

var inPath = [...]string{ordinal, duty}

// registerProcess adds the commands on what people make of an incident.
func (i *incidents) registerProcess(cmd *kingpin.CmdClause) map[string]func(context.Context) error {
	commands := map[string]func(context.Context) error{}
	say := func(name, path, help string) *saying {
		s := &saying{incidents: i, clause: cmd.Command(name, help), path: path}
		i.takesName(s.clause)
		commands[s.clause.FullCommand()] = s.run
		return s
	}
	s := say("assess", "assess", "Say how bad an incident is, and what is seen.")
	s.choice("impact", "How many or how much is affected.", incident.Grades()).choice("urgency", "How soon it matters.", incident.Grades())
	s.text("category", "What kind of problem it is.").words("observations", "What is seen.").end()
	s = say("assign", "assign", "Give a role to a person, or an incident to a team.")
	s.choiceOrNone("role", "Which role.", incident.Roles()).text("who", "Who takes it.").nobody("nobody", "who", "Nobody has the role any more.")
	s.text("team", "Which team has it from now on.").end("who", "team")
	s = say("category", "category", "Say what kind of problem it is.")
	s.word("category", "One of the configuration.").end()
	s = say("level", "level", "Say how severe the disruption is.")
	s.word("level", strings.Join(incident.Levels(), ", ")+".").end()
	s = say("phase", "phase", "Say how far people are.")
	s.word("phase", strings.Join(incident.Phases(), ", ")+".").end()
	s = say("severity", "severity", "Set the severity; alerts do not change it any more.")
	s.word("severity", "One of the configuration.").end()
	s = say("work", "work", "Say that you work on an incident now.")
	s.words("on", "What you do.").end()
	s = say("escalate", "escalate", "Hand an incident to another support level.")
	s.text("to", "Such as L3.").choice("reason", "Why.", incident.Reasons()).end("to")
	s = say("update", "update", "Write a status update.")
	s.words("what", "What happened.").choiceOrNone("phase", "How far people are.", incident.Phases())
	for _, f := range [...][2]string{{"analysis", "What the analysis says."}, {"progress", "What was done."}, {"forecast", "How long it will take."}, {"contact", "Whom to ask."}} {
		s.text(f[0], f[1])
	}
	s.future("restoration", "restoration", "When the service is expected back").yes("public", "It may stand on the status page.").list("for", "A receiver that it goes to as well; again for more.").end("what")
	s = say("sign", "updates/{n}/sign", "Sign a status update, which lets it out.")
	s.word(ordinal, "The number of the update.").end()
	s = say("customers", "customers", "Say which customers an incident affects: all of them, or none.")
	s.wordList("customers", "Their names; none if there are none.").end()
	s = say("next-contact", "next-contact", "Say when the customers hear from us again.")
	s.future("at", "at", "When").nobody("never", "at", "They need not hear from us.").end("at")
	s = say("contacted", "contacts", "Write down that somebody was contacted.")
	s.word("who", "Who was contacted.").choice("channel", "How.", incident.ContactChannels()).truth("reached", "They answered.").text("note", "What they said.").end()
	s = say("followed-up", "contacts/followed-up", "Write down that somebody who was contacted knows that it is over.")
	s.word("who", "Who.").end()
	s = say("confirm", "confirm", "Say that the service is back.")
	s.text("customer", "The customer who says so.").end()
	s = say("found", "findings", "Write down what was found out; what is not said stays as it is.")
	s.list("why", "A step on the way to the cause; again for the next.").rename("why", "whys")
	found := []string{"whys"}
	for _, f := range [...][2]string{{"cause", "The root cause."}, {"solution", "What ended it."}, {"workaround", "What helps meanwhile."}, {"fix", "What is permanent."},
		{"follow_up", "A link to what is left."}, {"financial", "What it cost."}, {"reputational", "What it did to our name."}, {"operational", "What could not be done."},
		{"symptoms", "What was seen."}, {"systems", "Which systems were affected."}, {"populations", "Who was affected."}, {"recommendations", "What should be done."},
		{"lessons", "What was learned."}, {"lessons_detection", "What was learned of how it was noticed."}, {"lessons_response", "Of how people came together."},
		{"lessons_diagnosis", "Of how the cause was found."}, {"lessons_communication", "Of how people were told."}, {"lessons_restoration", "Of how the service came back."},
		{"recurrence", "Whether it will come again."}, {"detection", "Whether it was seen soon enough."}, {"communication", "How people were told."}} {
		s.text(f[0], f[1])
		found = append(found, f[0])
	}
	s.end(found...)
	s = say("cause", "causes", "Write down a likely cause, or what became of it.")
	s.words("text", "The cause.").choiceOrNone("state", "What became of it, open if nothing is said", incident.CauseStates()).end("text")
	s = say("action", "actions", "Plan something so that it does not come again.")
	s.words("text", "What is to be done.").text("owner", "Who does it.").future("due", "due", "By when").choiceOrNone("kind", "Of which kind, corrective if nothing is said", incident.ActionKinds()).end("text")
	s = say("action-done", "actions/{n}/done", "Say that an action is done.")
	s.word(ordinal, "The number of the action.").end()
	s = say("duty-done", "duties/{n}/done", "Say that something the process asks for is done.")
	s.word(duty, "Its name, as incident show has it.").end()
	s = say("duty-waive", "duties/{n}/waive", "Say why something the process asks for need not be done; --comment has the reason.")
	s.word(duty, "Its name, as incident show has it.").end()
	s = say("correct", "correct", "Correct when it went down, or was restored.")
	s.past("went-down", "went_down", "When it went down").past("restored", "restored", "When it was back").end("went_down", "restored")
	s = say("link", "link", "Add a link, such as to logs.")
	s.word("name", "What it leads to.").word("url", "The address.").choiceOrNone("kind", "What the process may ask for.", incident.LinkKinds()).end()
	s = say("merge", "merge", "Make an incident a part of another one.")
	s.text("into", "The reference or id of the other one.").end("into")
	s = say("child", "children", "Open an incident of its own for one customer.")
	s.text("customer", "Whose it is.").text("title", "What it is called; default: the first line of the description.").words("description", "What the customer is to know.").end("customer")
	s = say("snooze", "snooze", "Tell nobody of an incident for a time.")
	s.future("until", "until", "Until when").seconds("for", "for_seconds", "For how long, such as 2h.").end("until", "for_seconds")
	return commands
}

// end adds who and why. Of the required members one at least has to be there.
func (s *saying) end(required ...string) {
	s.takesWhoAndWhy(s.clause)
	s.required = required
	s.clause.Validate(func(*kingpin.CmdClause) error {
		_, err := s.say()
		return err
	})
}

// say is the body, with the ordinal.
func (s *saying) say() (map[string]any, error) {
	body := map[string]any{}
	for _, member := range s.members {
		if err := member(body); err != nil {
			return nil, fmt.Errorf("%s: %w", s.clause.FullCommand(), err)
		}
	}
	for _, name := range s.required {
		if _, said := body[name]; said {
			return body, nil
		}
	}
	names := strings.NewReplacer("for_seconds", "for", "whys", "why", "_", "-").Replace(strings.Join(s.required, ", "))
	switch len(s.required) {
	case 0:
		return body, nil
	case 1:
		return nil, fmt.Errorf("%s: %s is missing", s.clause.FullCommand(), names)
	}
	return nil, fmt.Errorf("%s: say at least one of %s", s.clause.FullCommand(), names)
}

func (s *saying) run(ctx context.Context) error {
	body, err := s.say()
	if err != nil {
		return err
	}
	at := s.path
	for _, name := range inPath {
		if n, ok := body[name].(string); ok {
			at = strings.ReplaceAll(at, "{n}", url.PathEscape(n))
			delete(body, name)
		}
	}
	for name, value := range map[string]string{"by": s.by, "comment": s.comment} {
		if value != "" {
			body[name] = value
		}
	}
	var raw jsontext.Value
	if err := s.do(ctx, http.MethodPost, path(s.name, "/"+at), body, &raw); err != nil {
		return err
	}
	if err := s.printDone(raw); err != nil || s.output == "json" {
		return err
	}
	return s.printNumber(raw)
}

// printNumber says by which number an update is signed, or an action done, that was
// just written.
func (s *saying) printNumber(raw jsontext.Value) error {
	var v web.IncidentJSON
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("the answer is not understood: %w", err)
	}
	switch n := len(v.Updates); {
	case s.path == "update" && n > 0 && v.Updates[n-1].NeedsSignature && v.Updates[n-1].SignedBy == "":
		fmt.Fprintf(s.out, "update %d waits for a signature: tocsin incident sign %s %d\n", v.Updates[n-1].ID, visible(v.Reference), v.Updates[n-1].ID)
	case s.path == "actions" && len(v.Actions) > 0:
		fmt.Fprintf(s.out, "action %d\n", v.Actions[len(v.Actions)-1].ID)
	}
	return nil
}

func (s *saying) member(set func(body map[string]any) error) *saying {
	s.members = append(s.members, set)
	return s
}

func flagName(name string) string { return strings.ReplaceAll(name, "_", "-") }

// text is a flag for a text.
func (s *saying) text(name, help string) *saying {
	v := s.clause.Flag(flagName(name), help).String()
	return s.member(func(body map[string]any) error {
		if *v != "" {
			body[name] = *v
		}
		return nil
	})
}

// choice is a flag for one of a few words, which has to be there.
func (s *saying) choice(name, help string, words []string) *saying {
	v := s.clause.Flag(flagName(name), strings.TrimSuffix(help, ".")+": "+strings.Join(words, ", ")+".").Required().Enum(words...)
	return s.member(func(body map[string]any) error {
		body[name] = *v
		return nil
	})
}

// choiceOrNone is choice for what may be left out.
func (s *saying) choiceOrNone(name, help string, words []string) *saying {
	v := s.clause.Flag(flagName(name), strings.TrimSuffix(help, ".")+": "+strings.Join(words, ", ")+".").Enum(words...)
	return s.member(func(body map[string]any) error {
		if *v != "" {
			body[name] = *v
		}
		return nil
	})
}

// word is an argument that has to be there.
func (s *saying) word(name, help string) *saying {
	v := s.clause.Arg(name, help).Required().String()
	return s.member(func(body map[string]any) error {
		body[name] = *v
		return nil
	})
}

// words are the arguments that make one text.
func (s *saying) words(name, help string) *saying {
	v := s.clause.Arg(name, help).Strings()
	return s.member(func(body map[string]any) error {
		if len(*v) > 0 {
			body[name] = strings.Join(*v, " ")
		}
		return nil
	})
}

// wordList are the arguments as a list, which may be empty.
func (s *saying) wordList(name, help string) *saying {
	v := s.clause.Arg(name, help).Strings()
	return s.member(func(body map[string]any) error {
		body[name] = append([]string{}, *v...)
		return nil
	})
}

// list is a flag that may be there several times.
func (s *saying) list(name, help string) *saying {
	v := s.clause.Flag(flagName(name), help).Strings()
	return s.member(func(body map[string]any) error {
		if len(*v) > 0 {
			body[name] = *v
		}
		return nil
	})
}

// rename gives a member the name that it has in the body.
func (s *saying) rename(from, to string) *saying {
	return s.member(func(body map[string]any) error {
		if v, ok := body[from]; ok {
			delete(body, from)
			body[to] = v
		}
		return nil
	})
}

// yes is a flag that is true if it is there.
func (s *saying) yes(name, help string) *saying {
	v := s.clause.Flag(flagName(name), help).Bool()
	return s.member(func(body map[string]any) error {
		if *v {
			body[name] = true
		}
		return nil
	})
}

// truth is a flag that has to be said either way: --reached or --no-reached.
func (s *saying) truth(name, help string) *saying {
	v := s.clause.Flag(flagName(name), help).Required().Bool()
	return s.member(func(body map[string]any) error {
		body[name] = *v
		return nil
	})
}

// nobody is a flag that says of a member that it is nobody, or never.
func (s *saying) nobody(name, of, help string) *saying {
	v := s.clause.Flag(name, help).Bool()
	return s.member(func(body map[string]any) error {
		switch _, said := body[of]; {
		case !*v:
		case said:
			return fmt.Errorf("either --%s or --%s", flagName(of), name)
		case of == "at":
			body[of] = nil
		default:
			body[of] = ""
		}
		return nil
	})
}

// past is a flag for a time that is over.
func (s *saying) past(flag, name, help string) *saying {
	v := s.clause.Flag(flag, help+": RFC 3339, or how long ago, such as 20m.").String()
	return s.member(func(body map[string]any) error {
		at, err := pointInTime(*v, time.Now())
		if at != "" {
			body[name] = at
		}
		return err
	})
}

// future is a flag for a time to come.
func (s *saying) future(flag, name, help string) *saying {
	v := s.clause.Flag(flag, help+": RFC 3339, or in how long, such as 2h or 7d.").String()
	return s.member(func(body map[string]any) error {
		at, err := futureTime(*v, time.Now())
		if at != "" {
			body[name] = at
		}
		return err
	})
}

// seconds is a flag for a duration.
func (s *saying) seconds(flag, name, help string) *saying {
	v := s.clause.Flag(flag, help).String()
	return s.member(func(body map[string]any) error {
		if *v == "" {
			return nil
		}
		d, err := model.ParseDuration(*v)
		if err != nil || time.Duration(d) < time.Second {
			return fmt.Errorf("%q is not a duration such as 2h", *v)
		}
		if _, said := body["until"]; said {
			return errors.New("either --until or --for")
		}
		body[name] = int64(time.Duration(d) / time.Second)
		return nil
	})
}

// futureTime returns text, which is RFC 3339 or a duration from now, as RFC 3339.
func futureTime(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return text, nil
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return "", fmt.Errorf("%q is neither RFC 3339, such as 2026-11-21T03:00:00Z, nor a duration such as 2h", text)
	}
	return now.Add(time.Duration(d)).UTC().Format(time.RFC3339), nil
}

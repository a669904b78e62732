package targettest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// jql is as much of Jira's query language as searches for issues by label need,
// https://support.atlassian.com/jira-software-cloud/docs/use-advanced-search-with-jira-query-language-jql/.
type jql struct {
	tokens []string
	now    time.Time
}

// matcher says whether an issue is meant.
type matcher func(*JiraIssue) bool

var jqlToken = regexp.MustCompile(`^(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|!=|>=|<=|=|>|<|\(|\)|,|[A-Za-z0-9_.+-]+)`)

// parseJQL returns what the query means; order by is only read.
func parseJQL(query string, now time.Time) (m matcher, err error) {
	q := &jql{now: now}
	for rest := strings.TrimSpace(query); rest != ""; rest = strings.TrimSpace(rest) {
		token := jqlToken.FindString(rest)
		if token == "" {
			return nil, fmt.Errorf("JQL: unexpected %.20q", rest)
		}
		q.tokens = append(q.tokens, token)
		rest = rest[len(token):]
	}
	defer func() {
		if p, ok := recover().(jqlError); ok {
			m, err = nil, p
		}
	}()
	m = q.or()
	if q.word("order") {
		q.need("by")
		for {
			q.field("status", "resolutiondate", "created", "updated", "key")
			if !q.word("asc") {
				q.word("desc")
			}
			if !q.word(",") {
				break
			}
		}
	}
	if len(q.tokens) > 0 {
		return nil, fmt.Errorf("JQL: unexpected %s", q.tokens[0])
	}
	return m, nil
}

type jqlError string

func (e jqlError) Error() string { return "JQL: " + string(e) }

func (q *jql) fail(format string, args ...any) { panic(jqlError(fmt.Sprintf(format, args...))) }

func (q *jql) next() string {
	if len(q.tokens) == 0 {
		q.fail("it ends too early")
	}
	token := q.tokens[0]
	q.tokens = q.tokens[1:]
	return token
}

// word takes the next token if it is this one.
func (q *jql) word(w string) bool {
	if len(q.tokens) > 0 && strings.EqualFold(q.tokens[0], w) {
		q.tokens = q.tokens[1:]
		return true
	}
	return false
}

func (q *jql) need(w string) {
	if got := q.next(); !strings.EqualFold(got, w) {
		q.fail("got %s in the place of %s", got, w)
	}
}

func (q *jql) field(known ...string) string {
	got := q.next()
	if !slices.Contains(known, strings.ToLower(got)) {
		q.fail("there is no field %s", got)
	}
	return strings.ToLower(got)
}

// value is one that may be in quotes.
func (q *jql) value() string {
	token := q.next()
	if token[0] != '"' && token[0] != '\'' {
		return token
	}
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(token[1:len(token)-1], `\'`, `'`) + `"`)
	if err != nil {
		q.fail("%s: %v", token, err)
	}
	return out
}

func (q *jql) or() matcher {
	m := q.and()
	for q.word("or") {
		a, b := m, q.and()
		m = func(i *JiraIssue) bool { return a(i) || b(i) }
	}
	return m
}

func (q *jql) and() matcher {
	m := q.clause()
	for q.word("and") {
		a, b := m, q.clause()
		m = func(i *JiraIssue) bool { return a(i) && b(i) }
	}
	return m
}

func (q *jql) clause() matcher {
	if q.word("(") {
		m := q.or()
		q.need(")")
		return m
	}
	switch q.field("project", "labels", "resolution", "resolutiondate", "statuscategory") {
	case "project":
		q.need("=")
		project := q.value()
		return func(i *JiraIssue) bool { return strings.HasPrefix(i.Key, project+"-") }
	case "labels":
		labels := q.values()
		return func(i *JiraIssue) bool {
			return slices.ContainsFunc(labels, func(l string) bool { return slices.Contains(i.Labels, l) })
		}
	case "statuscategory":
		q.need("!=")
		q.need("done")
		return func(i *JiraIssue) bool { return !i.Done }
	case "resolutiondate":
		return q.resolutionDate()
	}
	return q.resolution()
}

// values are those of = or in.
func (q *jql) values() []string {
	if q.word("=") {
		return []string{q.value()}
	}
	q.need("in")
	q.need("(")
	out := []string{q.value()}
	for q.word(",") {
		out = append(out, q.value())
	}
	q.need(")")
	return out
}

func (q *jql) resolutionDate() matcher {
	if q.word("is") {
		q.need("empty")
		return func(i *JiraIssue) bool { return i.Resolved.IsZero() }
	}
	q.need(">=")
	text := q.value()
	minutes, err := strconv.Atoi(strings.TrimSuffix(text, "m"))
	if err != nil || minutes >= 0 {
		q.fail("%s is not so many minutes ago", text)
	}
	since := q.now.Add(time.Duration(minutes) * time.Minute)
	return func(i *JiraIssue) bool { return !i.Resolved.IsZero() && !i.Resolved.Before(since) }
}

// resolution: one that is empty does not differ from any.
func (q *jql) resolution() matcher {
	if q.word("is") {
		q.need("empty")
		return func(i *JiraIssue) bool { return i.Resolution == "" }
	}
	q.need("!=")
	name := q.value()
	return func(i *JiraIssue) bool { return i.Resolution != "" && i.Resolution != name }
}

package tocsin_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tocsin-gateway/tocsin"

// picture says which of our packages each may import; what is not listed is
// forbidden. "x/..." is x and all below it. A package takes the first line that
// fits it. The order is that of an alert's way: each line knows the ones above it.
var picture = []struct {
	pkg string
	may []string
}{
	// What a source told us. It knows nothing of ours.
	{"alert", nil},
	// What holds for every alert; for tests.
	{"alert/alerttest", []string{"alert"}},
	// The seed of everybody's properties; for tests.
	{"testseed", nil},
	// Virtual time; for tests.
	{"testbubble", nil},
	// Secrets that do not show themselves.
	{"config/secret", nil},
	// What was meant by a wrong word.
	{"config/nearest", nil},
	// What we made of it: pure.
	{"incident", []string{"alert"}},
	// Matchers, asked of incidents and alerts: pure.
	{"match", []string{"incident", "alert"}},
	// The team's process: pure.
	{"process/calendar", nil},
	// Who is on call; it also reads files and URLs.
	{"process/rota", []string{"process/calendar", "config/secret"}},
	{"process", []string{"process/calendar", "process/rota", "match", "incident", "config/nearest"}},
	// Is it news, and whose incident is it: pure.
	{"dedupe", []string{"incident", "alert"}},
	// Wire format → alerts.
	{"ingest", []string{"ingest/fields", "alert", "config/secret"}},
	// What small formats are made of, the formats, and the list of all of them.
	{"ingest/fields", []string{"alert"}},
	{"ingest/formats", []string{"ingest/...", "alert"}},
	// What holds for every decoder; for tests.
	{"ingest/ingesttest", []string{"ingest", "alert", "alert/alerttest"}},
	// A real Icinga for everybody's tests, and the events that one has to say.
	{"ingest/icinga/icingatest", nil},
	{"ingest/icinga/stream", []string{"config/secret", "remote"}},
	{"ingest/nsca", []string{"ingest", "ingest/fields", "ingest/nagios", "config/secret"}},
	// Mail in, over SMTP and out of mailboxes. What it means is said by the format.
	{"ingest/imap", []string{"ingest", "config/secret"}},
	{"ingest/smtp", []string{"ingest", "ingest/email", "config/secret"}},
	{"ingest/...", []string{"ingest", "ingest/fields", "ingest/email", "alert", "config/nearest", "config/secret"}},
	// What people did here, told to the tool that the alert came from.
	{"writeback", []string{"config/secret", "remote"}},
	// Folders that one process uses at a time.
	{"folder", nil},
	// Requests that wait on this machine while the store is away.
	{"spool", []string{"folder", "ingest"}},
	// Requests that are kept on this machine for people to look at.
	{"recorder", []string{"folder", "ingest"}},
	// The door to all state, and the backends behind it.
	{"store/failpoint", nil},
	{"store/embedded", []string{"store", "store/transfer", "store/row", "store/repeats", "incident", "alert"}},
	{"store/redis", []string{"store", "store/transfer", "store/redisurl", "store/row", "store/repeats", "incident", "alert"}},
	{"store/redis/redistest", nil},
	{"store/embedded/embeddedtest", []string{"store/embedded"}},
	// From one of them to another, in units that all agree on.
	{"store/transfer", []string{"store", "store/row", "incident", "alert"}},
	// The grammar of URLs, which the file is checked against without a driver.
	{"store/redisurl", nil},
	{"store", []string{"incident", "alert", "config/secret"}},
	{"store/...", []string{"store", "incident", "alert"}},
	// The APIs of the tools that alerts come from.
	{"remote", []string{"ingest", "alert"}},
	// Who is told, what, and how. Of the store it knows the door only.
	{"notify/route", []string{"match"}},
	{"notify/outgoing", []string{"notify"}},
	// What the tools would say to a request; for tests.
	{"notify/targettest", []string{"notify", "incident", "alert"}},
	{"notify/receivers", []string{"notify/...", "config/secret"}},
	{"notify", []string{"incident", "alert", "store"}},
	// The links in messages.
	{"notify/links", []string{"notify", "incident"}},
	{"notify/wire", []string{"notify", "incident"}},
	{"notify/...", []string{"notify", "notify/block", "notify/outgoing", "notify/wire", "incident", "alert", "config/secret"}},
	// What hides messages. Decisions are pure; of the store it knows the door only.
	{"mute/silences", []string{"notify", "match", "store", "incident"}},
	{"mute", []string{"notify", "match", "store", "incident", "alert"}},
	// When a business is open: pure.
	{"process/calendar", nil},
	// What can be said of many incidents: pure.
	{"report/stats", []string{"incident"}},
	{"report/similar", []string{"incident", "alert"}},
	// Documents of what is known: pure.
	{"report", []string{"incident"}},
	// The way of an alert through the stages. Of the store it knows the door only.
	{"router", []string{"dedupe", "incident", "alert", "store"}},
	// The API and the console; its tests' validator is for everybody's tests.
	{"web/webtest", []string{"web"}},
	// What changes, for pages that are open. Of the store it knows the door only.
	{"web/live", []string{"store", "incident"}},
	// The pages for people. They know the API from outside, and its shapes.
	{"web/console", []string{"web", "web/live", "notify", "mute/silences"}},
	// The page for everybody. Of the store it knows the door only.
	{"web/status", []string{"incident", "store"}},
	// What people do where they were notified. It is served beside the API.
	{"web/answers", []string{"web", "notify", "notify/links", "router", "incident", "alert", "config/secret"}},
	// Who is signed in, where else they sign in, and what they did.
	{"web/session", []string{"incident"}},
	{"web/openid", []string{"config/secret"}},
	// A provider for everybody's tests.
	{"web/openid/openidtest", nil},
	{"web/audit", []string{"incident"}},
	{"web", []string{"web/live", "web/session", "web/openid", "web/audit", "report/stats", "report/similar", "ingest/fields", "mute/silences", "match", "notify", "process", "report", "router", "incident", "alert", "store", "config/secret"}},
	// The file: it composes what the packages own.
	{"config", []string{"ingest", "ingest/formats", "ingest/imap", "ingest/nsca", "ingest/smtp", "router", "dedupe", "incident", "mute", "notify/receivers", "process", "recorder", "spool", "store", "store/redisurl", "web", "web/answers", "web/status", "config/nearest", "config/secret"}},
	// All of it put together, on any store.
	{"gateway", []string{"config", "config/secret", "web", "web/answers", "web/console", "web/live", "web/status", "ingest", "ingest/formats", "ingest/icinga", "ingest/icinga/stream", "remote", "writeback", "router", "dedupe", "incident", "match", "mute/...", "notify", "notify/links", "notify/receivers", "notify/route", "process", "process/calendar", "process/rota", "report", "alert", "recorder", "spool", "store"}},
	// The same engine on a virtual clock.
	{"simulate", []string{"gateway", "config", "web", "ingest", "router", "dedupe", "notify", "incident", "alert", "store", "store/embedded"}},
	// They see Tocsin from outside, over HTTP, so they use nothing of its inside.
	{"bench", []string{"demo"}},
	{"demo", []string{"bench"}},
	{"e2e/browser", nil},
	{"e2e", []string{"ingest/icinga/icingatest", "web/webtest"}},
	// It also has to know what of a notification is nobody's business.
	{"send", []string{"ingest/nagios"}},
	// Wiring.
	{"cmd/...", []string{"alert", "bench", "config/...", "dedupe", "demo", "gateway", "incident", "ingest/...", "match", "mute/silences", "notify", "notify/receivers", "notify/route", "recorder", "router", "send", "simulate", "spool", "store/...", "web", "web/status"}},
}

// libraries says where a library may be imported.
var libraries = []struct {
	library string
	only    []string
}{
	{"github.com/gin-gonic/gin", []string{"cmd/...", "ingest", "web/...", "gateway", "simulate", "bench"}},
	{"github.com/cockroachdb/pebble", []string{"store/embedded"}},
	{"github.com/redis/go-redis", []string{"store/redis/..."}},
	{"github.com/emersion/go-smtp", []string{"ingest/smtp", "notify/targettest"}},
	// It moves with every version, so one package knows it.
	{"github.com/prometheus/alertmanager/config/receiver", []string{"notify/module"}},
	{"github.com/prometheus/alertmanager/eventrecorder", []string{"notify/module"}},
	{"github.com/emersion/go-imap", []string{"ingest/imap"}},
	{"github.com/emersion/go-message", []string{"ingest/email"}},
	{"github.com/arran4/golang-ical", []string{"process/rota"}},
	{"github.com/teambition/rrule-go", []string{"process/rota"}},
	{"github.com/coreos/go-oidc", []string{"web/openid"}},
	{"golang.org/x/oauth2", []string{"web/openid"}},
	{"github.com/gorilla/feeds", []string{"web/status"}},
	{"github.com/klauspost/compress", []string{"recorder"}},
	{"pgregory.net/rapid", []string{"testseed"}},
	{"github.com/prometheus/client_golang", []string{"ingest", "ingest/smtp", "mute", "notify", "recorder", "router", "spool", "store", "store/redis", "web/...", "gateway", "simulate", "cmd/..."}},
	{"net/http", []string{"ingest/...", "notify/...", "process/rota", "remote", "writeback", "web/...", "gateway", "simulate", "bench", "demo", "e2e", "send", "cmd/..."}},
	// The heart reads nothing and writes nothing.
	{"os", []string{"config/...", "folder", "ingest/...", "notify/...", "recorder", "process/rota", "remote", "writeback", "spool", "store/...", "web/...", "gateway", "simulate", "bench", "demo", "e2e", "send", "cmd/..."}},
	{"log/slog", []string{"config/...", "ingest/...", "mute/...", "notify/...", "process/rota", "recorder", "spool", "store/...", "router", "web/...", "gateway", "simulate", "bench", "demo", "e2e", "cmd/..."}},
}

// fits reports whether the pattern covers the package.
func fits(pattern, pkg string) bool {
	if parent, all := strings.CutSuffix(pattern, "/..."); all {
		return pkg == parent || strings.HasPrefix(pkg, parent+"/")
	}
	return pkg == pattern
}

func anyFits(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, pkg) })
}

// imports reads what the packages of this module import, without their tests.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	graph := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if base := d.Name(); name != "." && (base == "testdata" || base[0] == '.' || base[0] == '_') {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(name))
		if graph[pkg] == nil {
			graph[pkg] = []string{}
		}
		for _, i := range file.Imports {
			target, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(graph[pkg], target) {
				graph[pkg] = append(graph[pkg], target)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return graph
}

// TestImportPicture: each package imports only what the picture in the design says.
func TestImportPicture(t *testing.T) {
	graph := imports(t)
	for pkg, targets := range graph {
		line := slices.IndexFunc(picture, func(l struct {
			pkg string
			may []string
		}) bool {
			return fits(l.pkg, pkg)
		})
		if line < 0 {
			if pkg != "." {
				t.Errorf("package %s is not in the picture", pkg)
			}
			continue
		}
		for _, target := range targets {
			if ours, ok := strings.CutPrefix(target, module+"/"); ok && !anyFits(picture[line].may, ours) {
				t.Errorf("%s imports %s; it may import %q", pkg, ours, picture[line].may)
			}
		}
	}
	for _, l := range picture {
		if !slices.ContainsFunc(sortedKeys(graph), func(pkg string) bool { return fits(l.pkg, pkg) }) {
			t.Errorf("the picture has %s, but there is no such package", l.pkg)
		}
	}
}

// TestLibrariesAtTheEdge: what talks to the world stays where the design has it.
func TestLibrariesAtTheEdge(t *testing.T) {
	for pkg, targets := range imports(t) {
		for _, target := range targets {
			for _, l := range libraries {
				if (target == l.library || strings.HasPrefix(target, l.library+"/")) && pkg != "." && !anyFits(l.only, pkg) {
					t.Errorf("%s imports %s, which is only for %q", pkg, target, l.only)
				}
			}
		}
	}
}

// TestBubblesAreOfTestbubble: no test starts a bubble in which the race detector crashes.
func TestBubblesAreOfTestbubble(t *testing.T) {
	const start = "synctest." + "Test("
	found := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(text), start) {
			return err
		}
		found++
		if pkg := path.Dir(filepath.ToSlash(name)); pkg != "testbubble" {
			t.Errorf("%s: write testbubble.Test, not %s)", name, start)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("testbubble starts no bubble either, so nothing was looked at")
	}
}

// TestNoImportGoesInACircle, and so each package can be read on its own.
func TestNoImportGoesInACircle(t *testing.T) {
	graph := imports(t)
	const onTheWay, done = 1, 2
	state := map[string]int{}
	var visit func(pkg string, way []string)
	visit = func(pkg string, way []string) {
		way = append(slices.Clip(way), pkg)
		switch state[pkg] {
		case onTheWay:
			t.Errorf("a circle: %s", strings.Join(way, " → "))
			return
		case done:
			return
		}
		state[pkg] = onTheWay
		for _, target := range graph[pkg] {
			if ours, ok := strings.CutPrefix(target, module+"/"); ok {
				visit(ours, way)
			}
		}
		state[pkg] = done
	}
	for _, pkg := range sortedKeys(graph) {
		visit(pkg, nil)
	}
}

func sortedKeys(graph map[string][]string) []string {
	keys := make([]string, 0, len(graph))
	for k := range graph {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// TestThePictureBites: the rules above find what they are for.
func TestThePictureBites(t *testing.T) {
	for _, c := range []struct {
		pattern, pkg string
		want         bool
	}{{"store", "store", true}, {"store", "store/embedded", false}, {"store/...", "store", true}, {"store/...", "store/embedded", true},
		{"store/...", "storehouse", false}, {"web", "web/webtest", false}} {
		if got := fits(c.pattern, c.pkg); got != c.want {
			t.Errorf("%s fits %s: got %v, want %v", c.pattern, c.pkg, got, c.want)
		}
	}
}

package router

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/dedupe"
)

// IdentityVersion counts the changes of what is built in: how fingerprints and
// keys are made without any configuration. Raise it with each such change.
const IdentityVersion = 1

// identityLimit is how large the text of an Identity may be, in bytes. It is
// never larger than the configuration file it comes from by more than quoting.
const identityLimit = 32 << 20

// Identity is everything that the fingerprint and the key of an alert, and
// whether it is suppressed, derive from. Its text is stored with the incidents
// made under it (a generation), so that alerts still find these incidents after
// the configuration has changed. Make it with NewIdentity.
type Identity struct {
	Version int
	// Correlate has the rules' names, matchers and labels, and nothing else.
	Correlate dedupe.Config
	// Classify has the severities, and of the rules what decides about suppression
	// and about the labels that correlation sees (service and set.labels). Rules
	// that only set other things are left out.
	Classify Config
	// Sources has those sources whose identity is not the plain one, which is
	// their name as the namespace and no ignored label. So a new plain source
	// makes no new generation.
	Sources map[string]SourceIdentity
}

// SourceIdentity is what tells the alerts of a source apart.
type SourceIdentity struct {
	Namespace string `json:"namespace"`
	// IgnoreLabels are in order.
	IgnoreLabels []string `json:"ignore_labels,omitempty"`
}

// NewIdentity takes from a configuration what belongs to its identity.
func NewIdentity(correlate dedupe.Config, classify Config, sources map[string]SourceIdentity) Identity {
	id := Identity{Version: IdentityVersion, Classify: Config{
		Severities:      listOrNil(classify.Severities),
		DefaultSeverity: classify.DefaultSeverity,
		SeverityWords:   mapOrNil(classify.SeverityWords),
	}}
	for _, r := range correlate.Rules {
		id.Correlate.Rules = append(id.Correlate.Rules,
			dedupe.Rule{Name: r.Name, Matchers: listOrNil(r.Matchers), By: listOrNil(r.By)})
	}
	for _, r := range classify.Rules {
		if r.Set.Service == "" && len(r.Set.Labels) == 0 && !r.Suppress && !r.Stop {
			continue
		}
		id.Classify.Rules = append(id.Classify.Rules, Rule{
			Name: r.Name, Matchers: listOrNil(r.Matchers), Annotations: listOrNil(r.Annotations),
			Sources: listOrNil(r.Sources), Capture: mapOrNil(r.Capture),
			Set:      Set{Service: r.Set.Service, Labels: mapOrNil(r.Set.Labels)},
			Suppress: r.Suppress, Stop: r.Stop,
		})
	}
	for name, s := range sources {
		if s.Namespace == name && len(s.IgnoreLabels) == 0 {
			continue
		}
		if id.Sources == nil {
			id.Sources = map[string]SourceIdentity{}
		}
		ignored := slices.Sorted(slices.Values(s.IgnoreLabels))
		id.Sources[name] = SourceIdentity{s.Namespace, slices.Compact(ignored)}
	}
	return id
}

// Source returns the identity of the named source.
func (id Identity) Source(name string) SourceIdentity {
	if s, ok := id.Sources[name]; ok {
		return s
	}
	return SourceIdentity{Namespace: name}
}

// Text returns id as JSON. Equal identities have equal texts.
func (id Identity) Text() []byte {
	text, err := json.Marshal(textOf(id), json.Deterministic(true))
	if err != nil {
		// unreachable: a configuration is valid UTF-8, and the types always encode
		panic(fmt.Sprintf("router: identity: %v", err))
	}
	return text
}

// Hash names the generation of id: the first eight bytes of the
// SHA-256 of the text.
func (id Identity) Hash() [8]byte {
	sum := sha256.Sum256(id.Text())
	return [8]byte(sum[:8])
}

// ParseIdentity reads what Text wrote. A text with something that this version
// does not know is an error: with a part of it, keys would come out differently.
func ParseIdentity(text []byte) (Identity, error) {
	if len(text) > identityLimit {
		return Identity{}, fmt.Errorf("router: identity: larger than %d bytes", identityLimit)
	}
	var t identityText
	if err := json.Unmarshal(text, &t, json.RejectUnknownMembers(true)); err != nil {
		return Identity{}, fmt.Errorf("router: identity: %w", err)
	}
	if t.Version < 1 || t.Version > IdentityVersion {
		return Identity{}, fmt.Errorf("router: identity: version %d is not known here, the newest is %d", t.Version, IdentityVersion)
	}
	return t.identity(), nil
}

// identityText is the JSON of an Identity. It has its own types so that a new
// field elsewhere cannot change the text, and with it every generation.
type identityText struct {
	Version         int                       `json:"version"`
	Correlate       []correlateText           `json:"correlate,omitempty"`
	Severities      []string                  `json:"severities,omitempty"`
	DefaultSeverity string                    `json:"default_severity,omitempty"`
	SeverityWords   map[string]string         `json:"severity_words,omitempty"`
	Classify        []classifyText            `json:"classify,omitempty"`
	Sources         map[string]SourceIdentity `json:"sources,omitempty"`
}

type correlateText struct {
	Name     string   `json:"name"`
	Matchers []string `json:"matchers,omitempty"`
	By       []string `json:"by,omitempty"`
}

type classifyText struct {
	Name        string            `json:"name"`
	Matchers    []string          `json:"matchers,omitempty"`
	Annotations []string          `json:"annotations,omitempty"`
	Sources     []string          `json:"sources,omitempty"`
	Capture     map[string]string `json:"capture,omitempty"`
	Service     string            `json:"service,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Suppress    bool              `json:"suppress,omitzero"`
	Stop        bool              `json:"stop,omitzero"`
}

func textOf(id Identity) identityText {
	t := identityText{Version: id.Version, Severities: id.Classify.Severities, DefaultSeverity: id.Classify.DefaultSeverity,
		SeverityWords: id.Classify.SeverityWords, Sources: id.Sources}
	for _, r := range id.Correlate.Rules {
		t.Correlate = append(t.Correlate, correlateText{r.Name, r.Matchers, r.By})
	}
	for _, r := range id.Classify.Rules {
		t.Classify = append(t.Classify, classifyText{r.Name, r.Matchers, r.Annotations, r.Sources, r.Capture,
			r.Set.Service, r.Set.Labels, r.Suppress, r.Stop})
	}
	return t
}

func (t identityText) identity() Identity {
	correlate, classify := dedupe.Config{}, Config{Severities: t.Severities, DefaultSeverity: t.DefaultSeverity, SeverityWords: t.SeverityWords}
	for _, r := range t.Correlate {
		correlate.Rules = append(correlate.Rules, dedupe.Rule{Name: r.Name, Matchers: r.Matchers, By: r.By})
	}
	for _, r := range t.Classify {
		classify.Rules = append(classify.Rules, Rule{Name: r.Name, Matchers: r.Matchers, Annotations: r.Annotations,
			Sources: r.Sources, Capture: r.Capture, Set: Set{Service: r.Service, Labels: r.Labels}, Suppress: r.Suppress, Stop: r.Stop})
	}
	id := NewIdentity(correlate, classify, t.Sources)
	id.Version = t.Version
	return id
}

// listOrNil copies a list; an empty one becomes nil, as it comes back from a text.
func listOrNil(list []string) []string { return append([]string(nil), list...) }

// mapOrNil copies a map; an empty one becomes nil.
func mapOrNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}

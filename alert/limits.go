package alert

import "slices"

// The limits of what is kept of one alert (docs: security, label explosion).
const (
	// MaxLabels is how many labels, and how many annotations, are kept.
	MaxLabels = 256
	// MaxName is the longest name of a label or annotation in bytes.
	MaxName = 256
	// MaxLabelValue is the longest value of a label in bytes; also of the identity.
	MaxLabelValue = 4 << 10
	// MaxText is the longest annotation, comment or link in bytes.
	MaxText = 64 << 10
)

// keptFirst are the labels that stay when there are too many, because the
// stages after ingest read them by name.
var keptFirst = []string{"alertname", "cluster", "environment", "host", "instance", "job", "namespace",
	"service", "severity", "team"}

// Limit cuts what is over the limits, between characters, and sets FlagCut if
// it did. It must be called after the fingerprint was computed, which is of
// the whole. Labels that others share are not changed but replaced.
func Limit(a *Alert) {
	if WithinLimits(a) {
		return
	}
	a.Flags |= FlagCut
	a.Labels = limitLabels(a.Labels, MaxLabelValue)
	a.Annotations = limitLabels(a.Annotations, MaxText)
	a.Identity = CutText(a.Identity, MaxLabelValue)
	a.Key = CutText(a.Key, MaxLabelValue)
	a.Group = CutText(a.Group, MaxLabelValue)
	a.GeneratorURL = CutText(a.GeneratorURL, MaxText)
	a.Author = CutText(a.Author, MaxLabelValue)
	a.Comment = CutText(a.Comment, MaxText)
}

// WithinLimits reports whether Limit leaves a as it is.
func WithinLimits(a *Alert) bool {
	return labelsWithin(a.Labels, MaxLabelValue) && labelsWithin(a.Annotations, MaxText) &&
		len(a.Identity) <= MaxLabelValue && len(a.Key) <= MaxLabelValue && len(a.Group) <= MaxLabelValue && len(a.GeneratorURL) <= MaxText &&
		len(a.Author) <= MaxLabelValue && len(a.Comment) <= MaxText
}

func labelsWithin(ls Labels, value int) bool {
	if len(ls) > MaxLabels {
		return false
	}
	for i := range ls {
		if len(ls[i].Name) > MaxName || len(ls[i].Value) > value {
			return false
		}
	}
	return true
}

// limitLabels returns what is kept of ls, sorted and without equal names: two
// long names may have become one, then the first stays.
func limitLabels(ls Labels, value int) Labels {
	kept := make(Labels, 0, min(len(ls), MaxLabels))
	if len(ls) > MaxLabels {
		for _, l := range ls {
			if slices.Contains(keptFirst, l.Name) {
				kept = append(kept, l)
			}
		}
	}
	first := len(kept)
	for _, l := range ls {
		if len(kept) == MaxLabels {
			break
		}
		if first == 0 || !slices.Contains(keptFirst, l.Name) {
			kept = append(kept, l)
		}
	}
	for i := range kept {
		kept[i] = Label{CutText(kept[i].Name, MaxName), CutText(kept[i].Value, value)}
	}
	slices.SortStableFunc(kept, compareNames)
	return slices.CompactFunc(kept, func(a, b Label) bool { return a.Name == b.Name })
}

package targettest

import (
	"regexp"
	"strings"
)

var (
	wikiEscaped = regexp.MustCompile(`\\[{}\[\]|!*_+^~?#-]`)
	wikiMarkup  = map[string]*regexp.Regexp{
		"mention":   regexp.MustCompile(`\[~[^\]]*\]`),
		"link":      regexp.MustCompile(`\[[^\]\n]+\]`),
		"macro":     regexp.MustCompile(`\{[a-z]+(:[^}]*)?\}`),
		"image":     regexp.MustCompile(`![^!\s][^!\n]*!`),
		"bare link": regexp.MustCompile(`[a-z]+://\S+`),
		"bold":      regexp.MustCompile(`(^|\W)\*\w[^*\n]*\w\*(\W|$)`),
		"strike":    regexp.MustCompile(`(^|\s)-\w[^-\n]*\w-(\s|$)`),
		"break":     regexp.MustCompile(`\\\\`),
		"heading":   regexp.MustCompile(`(?m)^\s*(h[1-6]|bq)\.\s`),
		"table":     regexp.MustCompile(`(?m)^\s*\|`),
	}
)

// WikiLive lists what Jira makes of wiki markup that is no plain text,
// https://jira.atlassian.com/secure/WikiRendererHelpAction.jspa?section=all, but for
// the links that begin with one of the given addresses.
func WikiLive(text string, but ...string) (live []string) {
	text = wikiEscaped.ReplaceAllString(text, "")
	for _, address := range but {
		// Links of ours, with and without words.
		ours := regexp.MustCompile(`(\[[^\]|\n]*\|)?` + regexp.QuoteMeta(address) + `[^\s\]|]*\]?`)
		text = ours.ReplaceAllString(text, "")
	}
	for what, found := range wikiMarkup {
		for _, m := range found.FindAllString(text, -1) {
			live = append(live, what+" "+strings.TrimSpace(m))
		}
	}
	return live
}

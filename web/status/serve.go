package status

import (
	"net/http"
	"strconv"
	"strings"
)

// contentPolicy lets in the one style sheet, and nothing else at all.
const contentPolicy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP answers everything below /status, and / with the page, for a listener
// that has nothing else. Everybody may ask; nothing depends on who does.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		p.refuse(w, http.StatusMethodNotAllowed, "The status page can only be read.\n")
		return
	}
	c, e := p.config.Load(), p.shown.Load()
	switch path := r.URL.Path; {
	case !c.Enabled:
		p.refuse(w, http.StatusNotFound, "There is no status page here.\n")
	case path == "/status/": // relative, as a proxy may have put something in front
		h.Set("Location", "../status")
		p.refuse(w, http.StatusPermanentRedirect, "The status page is at /status.\n")
	case path == "/status/assets/status.css":
		p.send(w, r, style, http.StatusOK)
	case e == nil || e.of != c: // what was shown before may not be public any more
		h.Set("Retry-After", "5")
		p.refuse(w, http.StatusServiceUnavailable, "The status is not known yet. Try again in a few seconds.\n")
	default:
		if path == "/" {
			path = "/status"
		}
		if d := e.documents[path]; d != nil {
			p.send(w, r, d, http.StatusOK)
		} else {
			p.send(w, r, e.missing, http.StatusNotFound)
		}
	}
}

// refuse answers with a line that no cache keeps.
func (p *Page) refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // who asked is gone, if anything
	p.metrics.requests[status].Inc()
}

// send answers with a document, or with 304 if the other side has it.
func (p *Page) send(w http.ResponseWriter, r *http.Request, d *document, status int) {
	h := w.Header()
	body, tag := d.plain, d.tag
	if d.zipped != nil && takesGzip(r.Header.Values("Accept-Encoding")) {
		body, tag = d.zipped, d.zippedTag
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", d.cached)
	if d == style && r.URL.RawQuery == "v="+strings.Trim(d.tag, `"`) {
		h.Set("Cache-Control", cachedForever)
	}
	h.Set("Content-Type", d.mediaType)
	if status == http.StatusOK {
		h.Set("ETag", tag)
		h.Set("Last-Modified", d.modified.Format(http.TimeFormat))
		if d.known(r.Header, tag) {
			h.Del("Content-Type")
			h.Del("Content-Encoding")
			status, body = http.StatusNotModified, nil
		}
	}
	if status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // who asked is gone, if anything
	}
	p.metrics.requests[status].Inc()
}

// known reports whether whoever asks has the document, which goes by tag: RFC 9110,
// 13.2.2.
func (d *document) known(h http.Header, tag string) bool {
	if tags := h.Values("If-None-Match"); len(tags) > 0 {
		for known := range strings.SplitSeq(strings.Join(tags, ","), ",") {
			if known = strings.TrimPrefix(strings.TrimSpace(known), "W/"); known == "*" || known == tag {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(h.Get("If-Modified-Since"))
	return err == nil && !d.modified.After(since)
}

// takesGzip reports whether one of the Accept-Encoding headers has gzip in it, or
// anything, and not with the weight 0.
func takesGzip(headers []string) bool {
	for _, header := range headers {
		for part := range strings.SplitSeq(header, ",") {
			name, weight, _ := strings.Cut(part, ";")
			if name = strings.TrimSpace(name); !strings.EqualFold(name, "gzip") && name != "*" {
				continue
			}
			_, q, weighted := strings.Cut(strings.ReplaceAll(weight, " ", ""), "q=")
			f, err := strconv.ParseFloat(q, 64)
			return !weighted || err == nil && f > 0
		}
	}
	return false
}

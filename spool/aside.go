package spool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/tocsin-gateway/tocsin/ingest"
)

// asideFolder is where requests are kept that nobody takes. Nobody but people
// looks at it.
const asideFolder = "aside"

// SetAside keeps a request as a file for people to look at: as it came over
// HTTP, less its credentials. It returns the file's path when that is durable.
// The same request has the same file.
func (s *Spool) SetAside(r ingest.Request) (path string, err error) {
	text := captured(r)
	sum := sha256.Sum256(text)
	name := fmt.Sprintf("%s-%s-%x.http", r.ReceivedAt.UTC().Format("20060102T150405.000Z"), plain(r.Source), sum[:6])
	dir := filepath.Join(s.opts.Dir, asideFolder)
	path = filepath.Join(dir, name)
	defer func() {
		if err != nil {
			err = fmt.Errorf("spool: set aside: %w", err)
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = s.disk.writer(f).Write(text)
	if err == nil {
		err = s.disk.sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return "", err
	}
	return path, errors.Join(syncDir(dir), syncDir(s.opts.Dir))
}

// captured writes a request as HTTP has it.
func captured(r ingest.Request) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\n", plain(r.Method), (&url.URL{Path: r.Path}).RequestURI())
	if r.ContentType != "" {
		fmt.Fprintf(&b, "Content-Type: %s\r\n", strings.Map(printable, r.ContentType))
	}
	fmt.Fprintf(&b, "X-Tocsin-Source: %s\r\nX-Tocsin-Format: %s\r\nX-Tocsin-Received-At: %s\r\nContent-Length: %d\r\n\r\n",
		plain(r.Source), plain(r.Format), r.ReceivedAt.UTC().Format(time.RFC3339Nano), len(r.Body))
	b.Write(r.Body)
	return b.Bytes()
}

// plain leaves what may stand in the name of a source, or in a method.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_') {
			return r
		}
		return -1
	}, text)
}

func printable(r rune) rune {
	if unicode.IsControl(r) || r == unicode.ReplacementChar {
		return -1
	}
	return r
}

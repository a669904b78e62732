package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxHeader bounds what stands before the body of a captured request.
const maxHeader = 1 << 20

// ReadHTTP reads one whole HTTP/1 request as it was captured: request line,
// headers, empty line, body. A chunked body is put together. What comes after
// the body, other than line breaks, is an error: the length would be wrong. The
// request's own Body is empty afterwards. bodyLimit is in bytes.
func ReadHTTP(r io.Reader, bodyLimit ByteSize) (*http.Request, []byte, error) {
	// Chunks have a frame of their own: in the worst case, chunks of one byte,
	// six times as large as what is in them.
	in := bufio.NewReader(io.LimitReader(r, maxHeader+6*int64(bodyLimit)))
	request, err := http.ReadRequest(in)
	if err != nil {
		return nil, nil, fmt.Errorf("ingest: read captured request: not an HTTP request: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(request.Body, int64(bodyLimit)+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, nil, fmt.Errorf("ingest: read captured request: the body breaks off after %d bytes%s: %w", len(body), announced(request), err)
	case err != nil:
		return nil, nil, fmt.Errorf("ingest: read captured request: body: %w", err)
	case len(body) > int(bodyLimit):
		return nil, nil, fmt.Errorf("ingest: read captured request: the body is larger than %v", bodyLimit)
	}
	rest, err := io.ReadAll(io.LimitReader(in, 512))
	if err != nil {
		return nil, nil, fmt.Errorf("ingest: read captured request: after the body: %w", err)
	}
	if rest = bytes.TrimSpace(rest); len(rest) > 0 {
		return nil, nil, fmt.Errorf("ingest: read captured request: there is more after the body of %d bytes%s: %q", len(body), announced(request), rest[:min(len(rest), 40)])
	}
	request.Body = http.NoBody
	return request, body, nil
}

// announced says how long a request said its body would be.
func announced(r *http.Request) string {
	if r.ContentLength < 0 {
		return ""
	}
	return fmt.Sprintf(" (Content-Length: %d)", r.ContentLength)
}

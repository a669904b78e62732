// Package remote asks the tools that alerts come from, over their own APIs, what
// is open there. It does not decide what follows from that.
package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest"
)

// answerLimit bounds what a tool may answer, in bytes.
const answerLimit = 256 << 20

// NewClient returns a client for a tool's API. It follows no redirects: a password
// is only for whom it was given for.
func NewClient(c ingest.APIConfig) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("remote: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("remote: %s holds no certificate", c.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	return &http.Client{Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// get fetches a path of the tool's API.
func get(ctx context.Context, client *http.Client, c ingest.APIConfig, path string, query url.Values) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.URL, "/")+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("remote: %w", err)
	}
	switch {
	case c.BearerToken.IsSet():
		r.Header.Set("Authorization", "Bearer "+c.BearerToken.Reveal())
	case c.Password.IsSet():
		r.SetBasicAuth(c.Username, c.Password.Reveal())
	}
	r.Header.Set("Accept", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("remote: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("remote: GET %s: answered %d", path, answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit+1))
	if err != nil {
		return nil, fmt.Errorf("remote: GET %s: %w", path, err)
	}
	if len(body) > answerLimit {
		return nil, errors.New("remote: the answer is larger than 256 MiB")
	}
	return body, nil
}

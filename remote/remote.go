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
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest"
)

// answerLimit bounds what a tool may answer, in bytes.
const answerLimit = 256 << 20

// Client returns a client for a tool's API. CAFile holds the certificates, PEM,
// that the server's must come from; empty means those of the system. ServerName
// is the name in the certificate, if the URL has another. It follows no redirects:
// a password is only for whom it was given for. It has no time-out.
func Client(caFile, serverName string) (*http.Client, error) {
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("remote: ca_file: %w", err)
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("remote: ca_file: no certificate in %s", caFile)
		}
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	return &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second,
			ResponseHeaderTimeout: time.Minute, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
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

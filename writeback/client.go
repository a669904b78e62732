package writeback

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/remote"
)

// Server is a tool that is written to over HTTP.
type Server struct {
	// URL is https://icinga.example.com:5665 or that of Nagios' cmd.cgi.
	URL      string
	User     string
	Password secret.String
	// CAFile holds the certificates, as PEM, that the server's must come from;
	// empty means those of the system.
	CAFile string
	// ServerName is the name in the server's certificate, if the URL has another.
	ServerName string
}

// timeout bounds each request, and maxAnswer what is read of its answer.
const (
	timeout   = 15 * time.Second
	maxAnswer = 256 << 10
)

// client checks s and makes a client for it.
func (s Server) client() (*http.Client, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, fmt.Errorf("writeback: url: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("writeback: url: %q is not like https://icinga.example.com:5665", s.URL)
	}
	client, err := remote.Client(s.CAFile, s.ServerName)
	if err != nil {
		return nil, fmt.Errorf("writeback: %w", err)
	}
	client.Timeout = timeout
	return client, nil
}

// send sends r with the credentials and returns the beginning of the answer.
func (s Server) send(client *http.Client, r *http.Request) (*http.Response, []byte, error) {
	r.SetBasicAuth(s.User, s.Password.Reveal())
	answer, err := client.Do(r)
	if err != nil {
		return nil, nil, fmt.Errorf("writeback: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("writeback: %w", err)
	}
	return answer, text, nil
}

package zoom

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Meeting is a Server-to-Server OAuth app, which makes a meeting for each incident:
// https://developers.zoom.us/docs/internal-apps/s2s-oauth/ and
// https://developers.zoom.us/docs/api/meetings/. It needs the scope
// meeting:write:meeting:admin, and meeting:read:list_meetings:admin so that none is
// made twice.
type Meeting struct {
	AccountID        string        `yaml:"account_id"`
	ClientID         string        `yaml:"client_id"`
	ClientSecret     secret.String `yaml:"client_secret,omitempty"`
	ClientSecretFile string        `yaml:"client_secret_file,omitempty"`
	// User is whose meeting it is: an id or a mail address.
	User string `yaml:"user"`
	// APIURL and TokenURL are the services; empty are Zoom's own.
	APIURL   string `yaml:"api_url,omitempty"`
	TokenURL string `yaml:"token_url,omitempty"`
}

const (
	defaultAPI   = "https://api.zoom.us/v2"
	defaultToken = "https://zoom.us/oauth/token"
	// meetingTime bounds all that is done for a meeting, so that there is time left
	// for the message.
	meetingTime = 5 * time.Second
	// topicLimit is the longest topic, in bytes, and scheduled is a meeting with a time.
	topicLimit = 200
	scheduled  = 2
	minutes    = 60
)

func (c *Meeting) problems(p block.Mistakes) {
	p.Set("meeting.account_id", c.AccountID)
	p.Set("meeting.client_id", c.ClientID)
	p.Need("meeting.client_secret", c.ClientSecret, c.ClientSecretFile)
	p.URL("meeting.api_url", c.APIURL)
	p.URL("meeting.token_url", c.TokenURL)
	if c.User == "" {
		p["meeting.user"] = "is missing; write the id or mail address of whose meeting it is"
	}
}

// meet makes the meeting of an incident, or finds the one that was made for it.
func (s *Sender) meet(ctx context.Context, m *notify.Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, meetingTime)
	defer cancel()
	c := s.config.Meeting
	key, err := outgoing.ReadSecret(c.ClientSecret.Reveal(), c.ClientSecretFile)
	if err != nil {
		return "", err
	}
	basic := base64.StdEncoding.EncodeToString([]byte(c.ClientID + ":" + key))
	var granted struct {
		AccessToken string `json:"access_token"`
	}
	to := block.Base(c.TokenURL, defaultToken)
	answer, err := block.Form(ctx, s.client, to, url.Values{"grant_type": {"account_credentials"}, "account_id": {c.AccountID}}, "Authorization", "Basic "+basic)
	if err != nil {
		return "", outgoing.Scrub(err, key, basic)
	}
	if json.Unmarshal(answer.Body, &granted) != nil || granted.AccessToken == "" {
		return "", s.client.Refused(answer, "the answer has no access_token")
	}
	link, err := s.meeting(ctx, m, granted.AccessToken)
	return link, outgoing.Scrub(err, key, basic, granted.AccessToken)
}

type meeting struct {
	Agenda  string `json:"agenda"`
	JoinURL string `json:"join_url"`
}

func (s *Sender) meeting(ctx context.Context, m *notify.Message, token string) (string, error) {
	where := block.Base(s.config.Meeting.APIURL, defaultAPI) + "/users/" + url.PathEscape(s.config.Meeting.User) + "/meetings"
	// Made before, and nobody recorded it. Without the scope to look, one is made.
	if answer, err := s.client.JSON(ctx, "GET", where+"?type=upcoming&page_size=300", nil, "Authorization", "Bearer "+token); err == nil {
		var list struct {
			Meetings []meeting `json:"meetings"`
		}
		if json.Unmarshal(answer.Body, &list) == nil {
			for _, one := range list.Meetings {
				if link := notify.WebURL(one.JoinURL); link != "" && strings.HasPrefix(one.Agenda, m.Key()) {
					return link, nil
				}
			}
		}
	}
	wanted := map[string]any{"topic": notify.Cut(notify.Line(m.Incident.Reference+" "+m.Incident.Title), topicLimit), "agenda": m.Key(), "type": scheduled,
		"start_time": m.SentAt.UTC().Format("2006-01-02T15:04:05Z"), "duration": minutes, "settings": map[string]any{"join_before_host": true}}
	answer, err := s.client.JSON(ctx, "POST", where, wanted, "Authorization", "Bearer "+token)
	if err != nil {
		return "", err
	}
	var made meeting
	if err := json.Unmarshal(answer.Body, &made); err != nil || notify.WebURL(made.JoinURL) == "" {
		return "", fmt.Errorf("answered %d without a join_url", answer.Status)
	}
	return made.JoinURL, nil
}

package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/testbubble"
)

// TestReportsKnowTheConfiguration: a system's owner, the objectives, what the process
// wants next and what is late.
func TestReportsKnowTheConfiguration(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk+`
services: [{name: shop, owner: Dora Dee}]
incidents: {priorities: {P1: {response: 5m, resolution: 4h}}}
process:
  profile: none
  duties:
    - {name: help, on: [opened], after: 10m, unless: [technical_help], text: ask for help, do: {notify: [ops]}}
    - {name: rise, on: [opened], after: 3h, do: {raise: {level: major}}}
`)
		defer o.stop()
		o.do("POST", "/api/v1/incidents", `{"title":"It is down","description":"d","reporter":"ann","service":"shop","impact":"high","urgency":"high"}`)
		ref := o.reference()
		if form := o.do("GET", "/api/v1/incidents/"+ref+"/report?format=md", ""); !strings.Contains(form, "| **System Owner** | Dora Dee |") {
			t.Errorf("the form does not name the owner: %s", form)
		}
		o.at(20 * time.Minute)
		bundle := o.do("GET", "/api/v1/incidents/"+ref+"/report?kind=handover&format=md", "")
		for _, want := range []string{"(overdue by 10 min) | help | ask for help |", "| rise | rise (by itself) |", "resolution-objective"} {
			if !strings.Contains(bundle, want) {
				t.Errorf("the bundle lacks %q: %s", want, bundle)
			}
		}
		if brief := o.do("GET", "/api/v1/reports/shift?format=md", ""); !strings.Contains(brief, "ask for help") {
			t.Errorf("the brief does not say what is due: %s", brief)
		}
		month := time.Now().UTC().Format("2006-01")
		pack := o.do("GET", "/api/v1/reports/monthly?format=md&month="+month, "")
		for _, want := range []string{"| **Response objectives** | 0 kept, 1 missed |", "| **Resolution objectives** | 0 kept, 0 missed, 1 still open |", "| **Other duties** | 0 kept, 1 missed |"} {
			if !strings.Contains(pack, want) {
				t.Errorf("the pack lacks %q: %s", want, pack)
			}
		}
	})
}

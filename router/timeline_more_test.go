package router

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// timeline is what was said of the only incident.
func (g *gateway) timeline() string { return strings.Join(g.said(g.incidents()[0].ID), ", ") }

// One acknowledgement in Icinga is three events of its stream.
func TestIcingaAckOnce(t *testing.T) {
	g := newGateway(t)
	g.say("icinga", `{"host":"web-01","service":"disk /","state":2,"state_type":1,"check_result":{"output":"x","state":2,"execution_end":1795226177.9},"timestamp":1795226178,"type":"StateChange","downtime_depth":0}`)
	g.clock.add(time.Second)
	live := `{"comment":{"__name":"c","author":"alice","entry_time":1795226179.24859,"entry_type":4,"host_name":"web-01","service_name":"disk /","text":"on it"},"timestamp":1795226179.253799,"type":"CommentAdded"}
{"author":"alice","check_result":{"execution_end":1795226177.9,"output":"x","state":2},"host":"web-01","notification_type":"ACKNOWLEDGEMENT","service":"disk /","text":"on it","timestamp":1795226179.254548,"type":"Notification","users":["a"]}
{"acknowledgement_type":2,"author":"alice","comment":"on it","expiry":0,"host":"web-01","service":"disk /","state":2,"state_type":1,"timestamp":1795226179.2546,"type":"AcknowledgementSet"}`
	g.say("icinga", live)
	// And what stream.catchUp makes of the same after a break in the connection.
	g.clock.add(time.Minute)
	g.say("icinga", `{"type":"AcknowledgementSet","host":"web-01","service":"disk /","author":"alice","comment":"on it","acknowledgement_type":2,"expiry":0,"timestamp":1795226179.24859}`)
	if got := g.timeline(); strings.Count(got, "acknowledge") > 1 || strings.Count(got, "note") > 0 {
		t.Errorf("one acknowledgement: %s", got)
	}
}

// Each step of an escalation of Zabbix says that the problem is acknowledged.
func TestZabbixSteps(t *testing.T) {
	g := newGateway(t)
	problem := `{"event_id":"7","event_name":"Disk","event_value":"1","host":"web","event_severity":"High","event_ack_status":%q,"event_update_status":%q,"event_update_action":%q,"user":%q}`
	g.say("zabbix", fmt.Sprintf(problem, "No", "0", "", ""))
	g.clock.add(time.Minute)
	g.say("zabbix", fmt.Sprintf(problem, "Yes", "1", "acknowledged", "ann"))
	for range 5 {
		g.clock.add(time.Hour)
		g.say("zabbix", fmt.Sprintf(problem, "Yes", "0", "", ""))
	}
	if got := g.timeline(); strings.Count(got, "acknowledge") > 1 {
		t.Errorf("one acknowledgement: %s", got)
	}
	// It is taken back there.
	g.clock.add(time.Hour)
	g.say("zabbix", fmt.Sprintf(problem, "No", "1", "unacknowledged", "ann"))
	if s := g.incidents()[0].State; s != incident.Open {
		t.Errorf("unacknowledged at the source: the incident is %s", s)
	}
}

// A spool sends a batch again after a crash: all of it is a copy.
func TestManyNotesAgain(t *testing.T) {
	g := newGateway(t)
	g.say("nagios", "HOSTNAME=web&NOTIFICATIONTYPE=PROBLEM&HOSTSTATE=DOWN")
	for range 2 {
		g.clock.add(time.Second)
		for n := range 20 { // the services of a host go into a downtime together
			g.say("nagios", fmt.Sprintf("HOSTNAME=web&SERVICEDESC=s%d&NOTIFICATIONTYPE=DOWNTIMESTART&SERVICESTATE=OK&TIMET=1795226179", n))
		}
	}
	if got := g.timeline(); strings.Count(got, "maintenance_started") != 20 {
		t.Errorf("20 downtimes, sent twice: %d entries", strings.Count(got, "maintenance_started"))
	}
}

// The form is sent twice while it reopens an incident.
func TestReportTwice(t *testing.T) {
	g := newGateway(t)
	r := Report{Title: "Printer", Description: "Printer", Reporter: "ann"}
	i, _, err := g.Report(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	g.clock.add(11 * time.Minute)
	if _, err := g.Act(t.Context(), i.ID.String(), 0, resolveIt); err != nil {
		t.Fatal(err)
	}
	g.clock.add(time.Minute)
	_, first, _ := g.Report(t.Context(), r)
	_, second, _ := g.Report(t.Context(), r)
	if second.String() != "duplicate" {
		t.Errorf("%v, %v: %s", first, second, g.timeline())
	}
}

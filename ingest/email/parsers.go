package email

import "github.com/tocsin-gateway/tocsin/alert"

// parser knows the mails of one program.
type parser struct {
	name string
	// recognise reports whether a mail is one of them.
	recognise func(*mail) bool
	// parse makes alerts of it; none if it says less than they need.
	parse func(*mail) []alert.Alert
}

// parsers are asked in this order.
var parsers = []parser{nagios, icinga, alertmanager, zabbix, uptimeKuma, monit, elastalert, cloudwatch,
	cron, fail2ban, logcheck, logwatch, smartd, mdadm, unattendedUpgrades}

// one is what most mails are.
func one(a alert.Alert) []alert.Alert { return []alert.Alert{a} }

package nagios

import (
	"testing"

	"github.com/tocsin-gateway/tocsin/ingest"
)

func TestSecretsAreTakenOut(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"environment": {"NAGIOS_HOSTNAME=web\nNAGIOS__HOSTSNMPCOMMUNITY=s3cret\nmore of it\nNAGIOS__SERVICEOWNER=ann\nAWS_KEY=s3cret\nNAGIOS_SERVICECHECKCOMMAND=check!-p s3cret",
			"NAGIOS_HOSTNAME=web\nNAGIOS__HOSTSNMPCOMMUNITY=\nNAGIOS__SERVICEOWNER=ann\nAWS_KEY=\nNAGIOS_SERVICECHECKCOMMAND=\n"},
		"environment with NUL": {"NAGIOS_HOSTNAME=web\x00NAGIOS_USER1=s3cret\nA=B\x00NAGIOS_SERVICEOUTPUT=a\nb=c\x00", "NAGIOS_HOSTNAME=web\x00NAGIOS_USER1=\x00NAGIOS_SERVICEOUTPUT=a\nb=c\x00"},
		"form":                 {"HOSTNAME=web&%5fHOSTPASSWORD=s3cret&HOSTOUTPUT=a+b&NAGIOS_ARG2=s3cret&token=s3cret", "HOSTNAME=web&%5fHOSTPASSWORD=&HOSTOUTPUT=a+b&NAGIOS_ARG2=&token="},
		"form in parts":        {"--x\r\nContent-Disposition: form-data; name=\"HOSTNAME\"\r\n\r\nweb\r\n--x\r\nContent-Disposition: form-data; name=\"_HOSTPWD\"\r\n\r\ns3cret\r\n--x--\r\n", "HOSTNAME=web"},
		"a text":               {"PROBLEM http://web/?a=b&token=c is down", "PROBLEM http://web/?a=b&token=c is down"},
		"JSON":                 {`{"hostname":"web","$_SERVICEAUTH$":"s3cret","vars":{"db_password":"s3cret"},"NOTIFICATIONAUTHOR":"ann"}`, `{"hostname":"web","$_SERVICEAUTH$":null,"vars":{"db_password":null},"NOTIFICATIONAUTHOR":"ann"}`},
		"broken JSON":          {`{"output":"say "x"","HOSTCHECKCOMMAND":"check!s3cret","hostname":"web"}`, `{"output":"say "x"","HOSTCHECKCOMMAND":null,"hostname":"web"}`},
		"empty":                {" ", " "},
	} {
		if tokens, got := Format.Tokens(ingest.Request{Body: []byte(c.body)}); string(got) != c.want || tokens != nil {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	// What is left of a form in parts is read, whatever its content type says.
	r := ingest.Request{Body: []byte("HOSTNAME=web&HOSTSTATE=DOWN"), ContentType: "multipart/form-data; boundary=x"}
	if b, err := Format.Decode(r); err != nil || len(b.Alerts) != 1 || b.Alerts[0].Key != "web" {
		t.Errorf("got %+v, %v", b, err)
	}
}

package sns

import (
	"testing"

	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

func TestDecode(t *testing.T) {
	ingesttest.Table{
		"raw delivery": {`{"AlarmName":"cpu","NewStateValue":"ALARM","AlarmArn":"arn:aws:cloudwatch:eu-west-1:123:alarm:cpu","StateChangeTime":"2026-11-21T01:17:43.012+0000","NewStateReason":"why"}`,
			"alert firing alertname=cpu region=eu-west-1 key=arn:aws:cloudwatch:eu-west-1:123:alarm:cpu identity=arn:aws:cloudwatch:eu-west-1:123:alarm:cpu from=2026-11-21T01:17:43.012Z | why"},
		"no ARN": {`{"AlarmName":"cpu","NewStateValue":"OK","AWSAccountId":"1","Region":"EU"}`, "alert resolved account=1 alertname=cpu region=EU key=1!EU!cpu | "},
		"by EventBridge": {`{"detail-type":"CloudWatch Alarm State Change","account":"1","time":"2026-11-21T01:18:00Z","region":"eu-west-1","resources":["arn:aws:cloudwatch:eu-west-1:123:alarm:cpu"],` +
			`"detail":{"alarmName":"cpu","state":{"value":"ALARM","reason":"why","timestamp":"2026-11-21T01:17:43.012+0000"},"previousState":{"value":"OK"},` +
			`"configuration":{"metrics":[{"id":"e"},{"metricStat":{"metric":{"namespace":"AWS/EC2","name":"CPUUtilization","dimensions":{"InstanceId":"i-1"}}}}]}}}`,
			"alert firing InstanceId=i-1 account=1 alertname=cpu host=i-1 region=eu-west-1 key=arn:aws:cloudwatch:eu-west-1:123:alarm:cpu identity=arn:aws:cloudwatch:eu-west-1:123:alarm:cpu from=2026-11-21T01:17:43.012Z | why"},
		"another event of EventBridge": {`{"Type":"Notification","TopicArn":"a:ops","Message":"{\"detail-type\":\"EC2 Instance State-change Notification\",\"detail\":{\"state\":\"stopped\"}}"}`,
			`information unknown alertname=ops topic=a:ops comment={"detail-type":"EC2 Instance State-change Notification","detail":{"state":"stopped"}} | {"detail-type":"EC2 Instance State-change Notification","detail":{"state":"stopped"}}`},
		"dimensions": {`{"AlarmName":"cpu","NewStateValue":"ALARM","Trigger":{"Dimensions":[{"name":"InstanceId","value":"i-1"},{"name":"alertname","value":"x"},7]}}`,
			"alert firing InstanceId=i-1 alertname=cpu host=i-1 key=!!cpu | "},
		"an envelope in text": {`{"Type":"Notification","TopicArn":"arn:aws:sns:eu-west-1:123:ops","MessageId":"m","Subject":"S","Message":"{\"a\":1}","Timestamp":"2026-11-21T01:00:00Z"}`,
			"information unknown alertname=ops topic=arn:aws:sns:eu-west-1:123:ops identity=m at=2026-11-21T01:00:00Z comment=S | S"},
		"subscription": {`{"Type":"SubscriptionConfirmation","TopicArn":"a:ops","Message":"x","SubscribeURL":"https://sns.eu-west-1.amazonaws.com/?x"}`,
			"information unknown alertname=ops topic=a:ops comment=SNS asks to confirm the subscription of a:ops link=https://sns.eu-west-1.amazonaws.com/?x | SNS asks to confirm the subscription of a:ops\nletter: SubscribeURL: to confirm the subscription of a:ops, open this link"},
		"a link elsewhere": {`{"Type":"SubscriptionConfirmation","TopicArn":"a:ops","SubscribeURL":"https://sns.eu-west-1.amazonaws.com.example.net/"}`,
			"information unknown alertname=ops topic=a:ops comment=SNS asks to confirm the subscription of a:ops | SNS asks to confirm the subscription of a:ops\nletter: SubscribeURL: to confirm the subscription of a:ops, open this link"},
		"end":          {`{"Type":"UnsubscribeConfirmation","TopicArn":"a:ops"}`, "information unknown alertname=ops topic=a:ops comment=The subscription of a:ops was ended; the link takes it back | The subscription of a:ops was ended; the link takes it back"},
		"another type": {`{"Type":"X"}`, `refused: Type: "X" is not Notification, SubscriptionConfirmation or UnsubscribeConfirmation`},
		"no type":      {`{"Message":"x"}`, "refused: Type: absent; this is not a message of SNS"},
		"no JSON":      {`disk full`, "foreign: not JSON: it begins like something else, or is empty"},
	}.Run(t, Format)
}

func TestReply(t *testing.T) {
	if r := reply(200, 1, ""); string(r.Body) != "accepted\n" {
		t.Errorf("got %q", r.Body)
	}
	if r := reply(403, 0, "why"); string(r.Body) != "why\n" {
		t.Errorf("got %q", r.Body)
	}
}

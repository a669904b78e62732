package receivers

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/tocsin-gateway/tocsin/notify/call"
	"github.com/tocsin-gateway/tocsin/notify/generic"
	"github.com/tocsin-gateway/tocsin/notify/opsgenie"
	"github.com/tocsin-gateway/tocsin/notify/rootly"
	"github.com/tocsin-gateway/tocsin/notify/statuspage"
	"github.com/tocsin-gateway/tocsin/notify/threema"
	"github.com/tocsin-gateway/tocsin/notify/webhook"
	"github.com/tocsin-gateway/tocsin/notify/zoom"
)

// Own are the blocks of a receiver that Alertmanager does not have. They stand
// beside those that it has.
type Own struct {
	SignedWebhooks []*webhook.SignedConfig `yaml:"signed_webhook_configs"`
	JSM            []*opsgenie.Config      `yaml:"jsm_configs"`
	Zoom           []*zoom.Config          `yaml:"zoom_configs"`
	Threema        []*threema.Config       `yaml:"threema_configs"`
	Statuspage     []*statuspage.Config    `yaml:"statuspage_configs"`
	Rootly         []*rootly.Config        `yaml:"rootly_configs"`
	Generic        []*generic.Config       `yaml:"generic_configs"`
	Calls          []*call.Config          `yaml:"call_configs"`
}

// OwnBlocks are the names of the blocks in Own.
func OwnBlocks() []string {
	var names []string
	t := reflect.TypeFor[Own]()
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("yaml"))
	}
	return names
}

// Problems returns what is wrong in the blocks: the path, such as
// zoom_configs[0].token, and what to write instead.
func (o *Own) Problems() map[string]string {
	all := map[string]string{}
	add := func(at string, problems map[string]string) {
		for field, problem := range problems {
			if field != "" && !strings.HasPrefix(field, "[") {
				field = "." + field
			}
			all[at+field] = problem
		}
	}
	v := reflect.ValueOf(o).Elem()
	for i, name := range OwnBlocks() {
		for n := range v.Field(i).Len() {
			if c, ok := v.Field(i).Index(n).Interface().(interface{ Problems() map[string]string }); ok {
				add(name+"["+strconv.Itoa(n)+"]", c.Problems())
			}
		}
	}
	return all
}

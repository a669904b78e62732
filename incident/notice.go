package incident

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// TypeNotice is the document of a Notice; its id is the text of a key, which is also
// the subject of the jobs that tell its targets.
const TypeNotice = "notice"

// Notice is something that people are told which is no incident, such as a downtime
// that is planned.
type Notice struct {
	// Name says what it is about, such as maintenance/database updates, and Title and
	// Text say it.
	Name  string `json:"name"`
	Title string `json:"title"`
	Text  string `json:"text"`
	// Begins and Ends are the times that it is about.
	Begins time.Time `json:"begins,omitzero"`
	Ends   time.Time `json:"ends,omitzero"`
	// Until is when it is of no use any more.
	Until time.Time `json:"until,omitzero"`
	// At is when it was handed over to be told. Short: that was later than promised.
	At    time.Time `json:"at"`
	Short bool      `json:"short,omitzero"`
	// Withdrawn: nothing of it holds any more. Who was not told of it is not.
	Withdrawn bool `json:"withdrawn,omitzero"`
	// Targets are those who are told.
	Targets []string `json:"targets,omitempty"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`
}

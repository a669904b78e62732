package storetest

import (
	"fmt"

	"github.com/tocsin-gateway/tocsin/incident"
)

var costTests = []test{
	{"an update costs the same in an incident of any size", costOfBatch},
	{"a repeat costs nothing", costOfRepeat},
}

// cost is what one Update read and wrote.
type cost struct{ reads, writes, bytes int64 }

// costOf runs one Update with nothing kept in memory.
func (f *fixture) costOf(c Coster, change incident.Change) cost {
	f.Helper()
	c.Forget()
	reads, writes, bytes := c.Costs()
	f.update(change)
	r, w, b := c.Costs()
	return cost{r - reads, w - writes, b - bytes}
}

func costOfBatch(f *fixture) {
	c, ok := f.Store.(Coster)
	if !ok {
		f.Log("this store does not say what its commits cost: not measured")
		return
	}
	const batch = 1000
	// Rows are to be the same in number, so anything that grows with the incident shows in
	// the last: a single bit for each alert is 2,500 bytes, ten times what is allowed.
	sizes := []int{10, 1_000, 20_000}
	measured := make([]cost, len(sizes))
	for n, size := range sizes {
		key := keyOf(n)
		for from := 0; from < size; from += batch {
			var messages []message
			for m := from; m < min(from+batch, size); m++ {
				messages = append(messages, message{n: 1_000_000 + m, text: "as it was", host: "one"})
			}
			f.update(f.send(key, messages...))
		}
		// Some new, some that say something else, some that end: the numbers have one length.
		mixed := []message{}
		for m := range 5 {
			mixed = append(mixed, message{n: 2_000_000 + m, text: "new", host: "one"},
				message{n: 1_000_000 + m, text: "as it is", host: "one"}, message{n: 1_000_005 + m, resolved: true, host: "one"})
		}
		measured[n] = f.costOf(c, f.send(key, mixed...))
		f.Logf("%d alerts in the incident: one update of %d read %d rows, wrote %d, %d bytes in all",
			size, len(mixed), measured[n].reads, measured[n].writes, measured[n].bytes)
		if got := f.ofKey(key); got.Alerts.Total != size+5 || got.Alerts.Firing != size {
			f.Errorf("the incident of %d alerts: got %+v", size, got.Alerts)
		}
	}
	small := measured[0]
	if small.reads == 0 || small.writes == 0 || small.bytes == 0 {
		f.Fatalf("nothing was measured: %+v", small)
	}
	for n, big := range measured {
		if big.reads != small.reads || big.writes != small.writes {
			f.Errorf("at %d alerts: %d rows read and %d written, at %d: %d and %d", sizes[n], big.reads, big.writes, sizes[0], small.reads, small.writes)
		}
		// The numbers in the rows have more digits: a few bytes for each row.
		if over := big.bytes - small.bytes; over < 0 || over > 4*(small.reads+small.writes) {
			f.Errorf("at %d alerts: %d bytes, at %d: %d", sizes[n], big.bytes, sizes[0], small.bytes)
		}
	}
}

func costOfRepeat(f *fixture) {
	c, ok := f.Store.(Coster)
	if !ok {
		f.Log("this store does not say what its commits cost: not measured")
		return
	}
	var messages []message
	var numbers []int
	for n := range 100 {
		messages, numbers = append(messages, message{n: n, text: fmt.Sprint(n)}), append(numbers, n)
	}
	f.update(f.send(keyOf(1), messages...))
	got := f.costOf(c, f.repeat(keyOf(1), f.clock.Now(), numbers...))
	if got.writes != 0 || got.reads > 102 {
		f.Errorf("a repeat of 100 alerts read %d rows and wrote %d, want at most one for each, two for their key and incident, and 0", got.reads, got.writes)
	}
}

package incident

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
)

// TestNewID: a valid UUID version 7 of the moment, that ends in the shard, and
// is the same for the same change.
func TestNewID(t *testing.T) {
	seen := map[ID]bool{}
	for n := range 2000 {
		seed := sha256.Sum256(binary.AppendUvarint(nil, uint64(n/4)))
		shard := byte(n % Shards)
		id := NewID(epoch, [16]byte(seed[:]), n, shard)
		u := uuid.UUID(id)
		if u.Version() != 7 || u.Variant() != uuid.RFC4122 {
			t.Fatalf("%s: version %v, variant %v", id, u.Version(), u.Variant())
		}
		if sec, ns := u.Time().UnixTime(); !time.Unix(sec, ns).Equal(epoch) {
			t.Fatalf("%s: of %v, want %v", id, time.Unix(sec, ns), epoch)
		}
		if id.Shard() != shard || id[15] != shard {
			t.Fatalf("%s: shard %d, want %d", id, id.Shard(), shard)
		}
		if seen[id] {
			t.Fatalf("%s: twice", id)
		}
		seen[id] = true
		if id != NewID(epoch, [16]byte(seed[:]), n, shard) {
			t.Fatal("not the same for the same change")
		}
	}
	if later := NewID(epoch.Add(time.Millisecond), [16]byte{}, 0, 0); later.String() <= NewID(epoch, [16]byte{0xff}, 0, 63).String() {
		t.Error("ids of later moments do not come later")
	}
}

func TestTextForms(t *testing.T) {
	id := NewID(epoch, [16]byte{1, 2, 3}, 0, 9)
	if back, err := ParseID(id.String()); err != nil || back != id {
		t.Errorf("%s: got %s (%v)", id, back, err)
	}
	for _, bad := range []string{"", "x", "INC-20261121-0025", "{" + id.String() + "}", "urn:uuid:" + id.String(), id.String()[:35]} {
		if got, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) = %s, want an error", bad, got)
		}
	}
	type all struct {
		ID         ID         `json:"id"`
		Key        Key        `json:"key"`
		Generation Generation `json:"generation"`
	}
	for _, want := range []all{{id, Key{1, 2}, Generation{3}}, {}} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got all
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("%s: got %+v (%v), want %+v", text, got, err, want)
		}
	}
	for _, bad := range []string{`{"key":"00"}`, `{"key":"zz000000000000000000000000000000"}`, `{"generation":"1"}`, `{"id":"1"}`} {
		var got all
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s: got %+v, want an error", bad, got)
		}
	}
}

// TestReference: short, of one form, and different for every incident of a day
// over all shards.
func TestReference(t *testing.T) {
	form := regexp.MustCompile(`^INC-20261121-[0-9A-HJKMNP-TV-Z]{4,}$`)
	seen := map[string]string{}
	for shard := range byte(Shards) {
		for n := uint64(1); n <= 300; n++ {
			r := Reference(epoch, n, shard)
			if !form.MatchString(r) {
				t.Fatalf("incident %d of shard %d: %q", n, shard, r)
			}
			what := fmt.Sprintf("%d of shard %d", n, shard)
			if other, twice := seen[r]; twice {
				t.Fatalf("%s: both %s and %s", r, other, what)
			}
			seen[r] = what
		}
	}
	for _, c := range []struct {
		n     uint64
		shard byte
		want  string
	}{{1, 0, "INC-20261121-0020"}, {1, 5, "INC-20261121-0025"}, {1 << 14, 63, "INC-20261121-1001Z"}} {
		if got := Reference(epoch, c.n, c.shard); got != c.want {
			t.Errorf("%d of shard %d: got %s, want %s", c.n, c.shard, got, c.want)
		}
	}
	if got := Reference(time.Date(2026, 11, 22, 1, 0, 0, 0, time.FixedZone("", 2*3600)), 1, 0); got != "INC-20261121-0020" {
		t.Errorf("the day is UTC's: got %s", got)
	}
}

func TestKeyShard(t *testing.T) {
	var n [Shards]int
	for i := range 6400 {
		sum := sha256.Sum256(binary.AppendUvarint(nil, uint64(i)))
		n[Key(sum[:16]).Shard()]++
	}
	for shard, count := range n {
		if count < 50 || count > 160 {
			t.Errorf("shard %d has %d of 6400 keys", shard, count)
		}
	}
}

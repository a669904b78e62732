package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/tocsin-gateway/tocsin/folder"
	"github.com/tocsin-gateway/tocsin/ingest"
	_ "github.com/tocsin-gateway/tocsin/testseed"
)

func checksumOf(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(nil, crc32.Checksum(b, castagnoli))
}

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	Helper()
	Error(...any)
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

// spooled is a folder with requests in several segments, and where each is.
type spooled struct {
	dir      string
	requests []ingest.Request
	// at is the segment of each, from and to its offsets.
	at       []uint64
	from, to []int64
}

// fill fills a folder from a few runs, and closes it.
func fill(t tb, dir string, random *rand.Rand) *spooled {
	sp := &spooled{dir: dir}
	for range 1 + random.IntN(3) {
		s := openPlain(t, dir)
		s.segmentSize = 2 << 10
		for range 1 + random.IntN(30) {
			r := request("s"+string(rune('a'+random.IntN(3))), len(sp.requests))
			if random.IntN(3) == 0 {
				r.Body = bytes.Repeat(r.Body, random.IntN(100))
			}
			if random.IntN(8) == 0 {
				r.Body = append(r.Body, mark[:]...)
			}
			if err := s.Append(context.Background(), r); err != nil {
				t.Fatal(err)
			}
			end := s.current.end
			sp.requests = append(sp.requests, r)
			sp.at, sp.from, sp.to = append(sp.at, s.current.number), append(sp.from, end-newRecord(r).size()), append(sp.to, end)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return sp
}

// openPlain opens a spool that the caller closes.
func openPlain(t tb, dir string) *Spool {
	s, err := Open(quiet(dir))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDamage cuts files short and turns bits over at random places. Whatever was
// not hit is handed on, in order; what was hit is said.
func TestDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		dir, err := os.MkdirTemp("", "tocsin-spool-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		sp := fill(t, dir, random)
		hit := make([]bool, len(sp.requests))
		for range 1 + random.IntN(3) {
			number := sp.at[random.IntN(len(sp.at))]
			path := filepath.Join(dir, segmentName(number))
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			from, to := int64(random.IntN(max(len(b), 1))), int64(len(b))
			switch random.IntN(3) {
			case 0: // cut short
				b = b[:from]
			case 1: // a bit
				if to = from + 1; from < int64(len(b)) {
					b[from] ^= 1 << random.IntN(8)
				}
			case 2: // a part of it
				to = min(to, from+int64(1+random.IntN(600)))
				for i := from; i < to; i++ {
					b[i] ^= byte(1 + random.IntN(255)) // never what it was
				}
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			for i := range hit {
				if sp.at[i] == number && sp.from[i] < to && from < sp.to[i] {
					hit[i] = true
				}
			}
		}
		var intact, damaged []ingest.Request
		for i, r := range sp.requests {
			if hit[i] {
				damaged = append(damaged, r)
			} else {
				intact = append(intact, r)
			}
		}
		s := openPlain(t, dir)
		if count(s.metrics.damaged) == 0 && len(damaged) > 0 {
			t.Errorf("%d requests are damaged, and nothing is said", len(damaged))
		}
		if err := s.Close(); err != nil { // as if it was killed before it handed on anything
			t.Fatal(err)
		}
		s = openPlain(t, dir)
		want(t, drained(t, s), intact)
		more := some("later", 0, 3)
		for _, r := range more {
			if err := s.Append(context.Background(), r); err != nil {
				t.Fatal(err)
			}
		}
		want(t, drained(t, s), more)
		if s.Len() != 0 {
			t.Errorf("length: got %d, want 0", s.Len())
		}
		kept := files(t, dir)
		for _, name := range kept {
			if !strings.HasSuffix(name, damagedSuffix) {
				t.Errorf("afterwards there is %s", name)
			}
		}
		if len(damaged) > 0 && len(kept) == 0 {
			t.Error("no damaged file was kept")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openPlain(t, dir)
		defer s.Close()
		if s.Len() != 0 || count(s.metrics.damaged) != 0 {
			t.Errorf("after all that: length %d, damaged %v, want nothing any more", s.Len(), count(s.metrics.damaged))
		}
	})
}

// TestDamageWhileItRuns: a file changes, or goes away, under a running process.
func TestDamageWhileItRuns(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(path string, b []byte) error
		// first and last that are handed on of twenty.
		left []ingest.Request
	}{
		"removed":        {func(path string, _ []byte) error { return os.Remove(path) }, nil},
		"cut to nothing": {func(path string, _ []byte) error { return os.Truncate(path, 0) }, nil},
		"first damaged": {func(path string, b []byte) error {
			b[headerSize+frameSize+20] ^= 1
			return os.WriteFile(path, b, 0o600)
		}, some("a", 1, 20)},
		"last damaged": {func(path string, b []byte) error {
			b[len(b)-1] ^= 1
			return os.WriteFile(path, b, 0o600)
		}, some("a", 0, 19)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			mustAppend(t, s, some("a", 0, 20)...)
			path := s.current.path
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(path, b); err != nil {
				t.Fatal(err)
			}
			want(t, drained(t, s), c.left)
			if n := count(s.metrics.damaged); n == 0 {
				t.Error("nothing was said")
			}
			if s.Len() != 0 || s.Holds("a") {
				t.Errorf("length %d, holds %t: the lost ones are waited for", s.Len(), s.Holds("a"))
			}
			mustAppend(t, s, some("a", 20, 22)...)
			want(t, drained(t, s), some("a", 20, 22))
		})
	}
}

func TestAMissingFileIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		which int // of the segments
		all   bool
	}{"the first": {which: 0}, "one in the middle": {which: 1}, "the last": {which: -1}, "all": {all: true}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			s.segmentSize = 512
			mustAppend(t, s, some("a", 0, 30)...)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			names := files(t, dir)
			if len(names) < 3 {
				t.Fatalf("only %v", names)
			}
			if !c.all {
				at := (c.which + len(names)) % len(names)
				names = names[at : at+1]
			}
			for _, name := range names {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			s = open(t, dir)
			if err := s.Prepare(); err != nil {
				t.Fatal(err)
			}
			if n := count(s.metrics.damaged); n != 1 {
				t.Errorf("damaged: got %v, want 1", n)
			}
			left := drained(t, s)["a"]
			if (len(left) == 0) != c.all || !slices.IsSortedFunc(left, func(a, b ingest.Request) int { return a.ReceivedAt.Compare(b.ReceivedAt) }) {
				t.Errorf("handed on %s", list(left))
			}
			mustAppend(t, s, some("b", 0, 2)...)
			want(t, drained(t, s), some("b", 0, 2))
		})
	}
}

// TestABodyCannotForgeRecords: a body that holds a whole record is a body, also
// where what is before it was damaged and the next record is searched for.
func TestABodyCannotForgeRecords(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	forged := newRecord(request("victim", 7))
	frame := forged.frame(1)
	evil := request("a", 0)
	evil.Body = slices.Concat(frame[:], forged.meta, forged.body)
	mustAppend(t, s, evil, request("a", 1))
	path := s.current.path
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[headerSize] ^= 1 // the first record is none any more
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	want(t, drained(t, s), some("a", 1, 2))
}

// FuzzSegment: whatever stands in a file, reading it ends, takes no more memory
// than the file, and finds the records around it.
func FuzzSegment(f *testing.F) {
	one := newRecord(request("a", 1))
	frame := one.frame(1)
	whole := slices.Concat(frame[:], one.meta, one.body)
	f.Add([]byte{}, []byte("body"))
	f.Add(whole, []byte("body"))
	f.Add(whole[:20], almost)
	f.Add(slices.Concat(mark[:], []byte{0xff, 0xff, 0xff, 0xff}, mark[:], []byte{20, 0, 0, 0}), mark[:])
	f.Add(header{number: 3}.bytes(), bytes.Repeat(mark[:], 3))
	f.Fuzz(func(t *testing.T, junk, body []byte) {
		r := request("a", 1)
		r.Body = body
		record := newRecord(r)
		frame := record.frame(1)
		part := slices.Concat(frame[:], record.meta, record.body)
		if i := bytes.Index(part[1:], mark[:]); i >= 0 {
			t.Fatalf("there is a mark in the record, at %d", i+1)
		}
		payload, err := parsePayload(slices.Concat(record.meta, record.body))
		if err != nil || !equal(payload, r) {
			t.Fatalf("got %+v, %v, want %+v", payload, err, r)
		}
		// Junk alone, as a whole file.
		for _, b := range [][]byte{junk, slices.Concat(header{number: 1}.bytes(), junk)} {
			scanned(t, b)
		}
		// And between good records.
		b := slices.Concat(header{number: 1}.bytes(), part, junk, part)
		all := scanned(t, b)
		ends := []int64{int64(headerSize + len(part)), int64(len(b))}
		for _, end := range ends {
			// A record that begins in the junk and has a good checksum would be one of ours.
			if !slices.ContainsFunc(all, func(f found) bool { return f.to == end && f.source == "a" }) {
				t.Errorf("the record that ends at %d was not found, only %+v, with %q in between", end, all, junk)
			}
		}
	})
}

// scanned reads b and checks that it was read as a whole, and once.
func scanned(t *testing.T, b []byte) (all []found) {
	t.Helper()
	r := &reader{file: bytes.NewReader(b), number: 1, end: int64(len(b))}
	_, gaps, err := r.scan(func(f found) { all = append(all, f) })
	if err != nil {
		if !strings.Contains(err.Error(), "version") {
			t.Errorf("got %v of %q", err, b)
		}
		return nil
	}
	read := int64(0)
	for _, f := range all {
		read += f.to - f.from
	}
	for _, g := range gaps {
		read += g.to - g.from
	}
	if read != int64(len(b)) && read != int64(len(b))-headerSize {
		t.Errorf("records and gaps are %d bytes of %d: %+v %+v", read, len(b), all, gaps)
	}
	return all
}

// unreadable fails on some sectors, as a disk does.
type badSectors struct {
	io.ReaderAt
	from, to int64
}

func (b badSectors) ReadAt(p []byte, at int64) (int, error) {
	if at < b.to && at+int64(len(p)) > b.from {
		return 0, errors.New("input/output error")
	}
	return b.ReaderAt.ReadAt(p, at)
}

func TestSectorsThatCannotBeRead(t *testing.T) {
	b := header{number: 1}.bytes()
	var starts []int64
	for n := range 400 {
		record := newRecord(request("a", n))
		frame := record.frame(1)
		starts = append(starts, int64(len(b)))
		b = slices.Concat(b, frame[:], record.meta, record.body)
	}
	bad := badSectors{bytes.NewReader(b), 8 << 10, 12 << 10}
	r := &reader{file: bad, number: 1, end: int64(len(b))}
	var got []int64
	_, gaps, err := r.scan(func(f found) { got = append(got, f.from) })
	if err != nil || len(gaps) != 1 {
		t.Errorf("got %d gaps, %v, want one", len(gaps), err)
	}
	for i, at := range starts {
		end := int64(len(b))
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		// A search reads 64 KiB at a time and gives up a sector at a time, so one more may be lost.
		if readable := end <= bad.from || at >= bad.to+folder.Sector; readable && !slices.Contains(got, at) {
			t.Errorf("the record at %d was not found", at)
		}
	}
}

// quiet are options without a log.
func quiet(dir string) Options {
	return Options{Config: Config{Dir: dir, MaxSize: ingest.GiB}, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
}

// TestCutBetweenTwoRecords: a file that is cut short exactly behind a record looks
// like one that was never longer.
func TestCutBetweenTwoRecords(t *testing.T) {
	for name, last := range map[string]bool{"the last file": true, "one before it": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			mustAppend(t, s, some("a", 0, 4)...)
			path, to := s.current.path, s.current.end
			mustAppend(t, s, request("a", 4))
			left := some("a", 0, 4)
			if !last {
				s.segmentSize = 1
				mustAppend(t, s, request("a", 5))
				left = append(left, request("a", 5))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, to); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			if n := count(s.metrics.damaged); n != 1 {
				t.Errorf("damaged: got %v, want 1", n)
			}
			want(t, drained(t, s), left)
		})
	}
}

// TestBlocksOfAnOlderFile: what a disk has left of another segment behind the end of
// this one is not taken for a part of it.
func TestBlocksOfAnOlderFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	mustAppend(t, s, some("old", 0, 5)...)
	old, err := os.ReadFile(s.current.path)
	if err != nil {
		t.Fatal(err)
	}
	want(t, drained(t, s), some("old", 0, 5))
	mustAppend(t, s, some("new", 0, 2)...)
	path := s.current.path
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(old[headerSize:]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, drained(t, open(t, dir)), some("new", 0, 2))
}

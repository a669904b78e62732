package recorder

import (
	"bytes"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
)

func newRegistry() *prometheus.Registry { return prometheus.NewRegistry() }

// blocksOf returns what is in the only segment of the folder.
func (g *rig) blocksOf() (file string, content []byte, blocks []block) {
	g.t.Helper()
	files := g.files()
	if len(files) != 1 {
		g.t.Fatalf("got %d files, want 1", len(files))
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		g.t.Fatal(err)
	}
	rd := &reader{bytes.NewReader(content), g.segments[0].number, int64(len(content))}
	blocks, gaps, err := rd.blocks()
	if err != nil || len(gaps) > 0 {
		g.t.Fatalf("gaps %v, %v", gaps, err)
	}
	return files[0], content, blocks
}

func (g *rig) write(file string, content []byte) {
	g.t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// TestTornBlock: wherever the last write broke off, it is cut and the rest is there.
func TestTornBlock(t *testing.T) {
	g := newRig(t, nil)
	g.record("a", 2)
	g.record("a", 3)
	file, content, blocks := g.blocksOf()
	last := blocks[1]
	for length := len(content) - 1; length >= 0; length-- {
		g.write(file, content[:length])
		g = g.again(nil)
		damage, want := 0.0, []int{2, 1}
		if int64(length) < last.at {
			want = nil
		}
		g.want(want...)
		g.counted(0, 0, damage)
		torn := length > 0 && int64(length) != last.at
		if said := strings.Contains(g.log.String(), "was not finished"); said != torn && length > 0 {
			t.Errorf("%d bytes: the log has %q", length, g.log)
		}
		if want == nil && len(g.files()) != 0 {
			t.Errorf("%d bytes: a file without a block is left", length)
		}
		g.n = 10
		g.record("a", 1) // goes into another file
		g.want(append([]int{11}, want...)...)
		for _, f := range g.files() {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The length is right, but the disk has not got what is in it.
	for _, at := range []int64{last.at, last.at + frameSize, last.to() - 1} {
		holed := slices.Clone(content)
		clear(holed[at:])
		g.write(file, holed)
		g = g.again(nil)
		g.want(2, 1)
		if info, err := os.Stat(file); err != nil || info.Size() != last.at {
			t.Errorf("zeros from %d on: got %v, %v, want it cut at %d", at, info, err, last.at)
		}
	}
}

// TestNumbersAreGivenOnce, although a power cut took blocks that had been read.
func TestNumbersAreGivenOnce(t *testing.T) {
	g := newRig(t, nil)
	g.record("a", 2)
	g.record("a", 3)
	seen := g.list(Query{Limit: 10})
	file, content, blocks := g.blocksOf()
	g.write(file, content[:blocks[1].at])
	g.clock.add(time.Second)
	g = g.again(nil)
	g.record("a", 1)
	for _, r := range g.list(Query{Limit: 1})[:1] {
		if slices.ContainsFunc(seen, func(s Recording) bool { return s.ID() == r.ID() }) {
			t.Errorf("the id %s is given a second time", r.ID())
		}
	}
	// Nor where the clock goes back.
	g.clock.add(-time.Hour)
	g = g.again(nil)
	g.record("a", 1)
	if list := g.list(Query{Limit: 10}); len(list) != 4 {
		t.Errorf("got %d, want 4", len(list))
	}
}

// TestDamage: every byte of a file in turn is another one; at most the block that
// it is in is lost, and it is counted once.
func TestDamage(t *testing.T) {
	g := newRig(t, nil)
	g.record("a", 2)
	g.record("b", 2)
	g.record("a", 2)
	file, content, blocks := g.blocksOf()
	for at := range content {
		if int64(at) >= blocks[2].at {
			break // that is a torn block
		}
		hurt := slices.Clone(content)
		hurt[at] ^= 0x40
		g.write(file, hurt)
		if int64(at) >= 8 && at < headerSize {
			continue // another version
		}
		g = g.again(nil)
		want := []int{6, 5, 4, 3, 2, 1}
		if at >= headerSize && int64(at) < blocks[1].at {
			want = []int{6, 5, 4, 3}
		} else if at >= headerSize {
			want = []int{6, 5, 2, 1}
		}
		g.want(want...)
		g.want(want...)
		g.counted(0, 0, 1)
		if n := strings.Count(g.log.String(), "damaged"); n != 1 {
			t.Errorf("byte %d: the log has %d lines: %s", at, n, g.log)
		}
	}
	// A part of the file is gone.
	g.write(file, slices.Concat(content[:blocks[0].at+5], content[blocks[1].at-9:]))
	g = g.again(nil)
	g.want(6, 5, 4, 3)
	// All of it is nonsense.
	g.write(file, random(len(content)))
	g = g.again(nil)
	g.want()
	g.record("a", 1)
	g.want(1)
}

// TestPlantedBlock: what a sender writes into a body is no block, even where
// damage makes us search for one.
func TestPlantedBlock(t *testing.T) {
	g := newRig(t, nil)
	g.record("a", 1)
	_, content, blocks := g.blocksOf()
	planted := slices.Concat(content[blocks[0].at:blocks[0].to()], random(1000)) // of another segment
	g.clock.add(2 * time.Hour)
	r := request("b", 2, g.clock.now())
	r.Body = slices.Concat(random(300<<10), planted)
	g.Record(r, 200)
	g.record("b", 1)
	files := g.files()
	last, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(last, planted) {
		t.Fatal("the body is compressed, and the test tests nothing")
	}
	last[headerSize] ^= 1
	g.write(files[1], last)
	g = g.again(nil)
	g.want(2, 1)
}

// FuzzSegment: whatever is in a file, it is read without harm, twice the same, and
// blocks do not overlap.
func FuzzSegment(f *testing.F) {
	g := newRig(f, nil)
	g.record("a", 3)
	g.record("b", 1)
	files := g.files()
	content, err := os.ReadFile(files[0])
	if err != nil {
		f.Fatal(err)
	}
	number := g.segments[0].number
	f.Add(content)
	f.Add(content[:len(content)-3])
	f.Add(slices.Concat(content[:40], content))
	f.Add(slices.Concat(content, mark[:], mark[:5], content[headerSize:]))
	f.Add([]byte{})
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		rd := &reader{bytes.NewReader(content), number, int64(len(content))}
		blocks, gaps, err := rd.blocks()
		again, gapsAgain, errAgain := rd.blocks()
		if !reflect.DeepEqual(blocks, again) || !reflect.DeepEqual(gaps, gapsAgain) || (err == nil) != (errAgain == nil) {
			t.Fatal("twice the same file, and it is read differently")
		}
		if err != nil {
			return
		}
		// Blocks and gaps are the file, and nothing twice.
		at, sum := int64(0), int64(0)
		for _, b := range blocks {
			if b.at < at || b.to() > rd.end {
				t.Fatalf("block %+v, and %d was read before, of %d", b, at, rd.end)
			}
			at = b.to()
			sum += b.to() - b.at
			if records, err := rd.records(&b, decoder); err == nil && len(records) != int(b.records) {
				t.Errorf("%d records, want %d", len(records), b.records)
			}
		}
		for _, g := range gaps {
			sum += g.to - g.from
		}
		if sum != rd.end && sum != rd.end-headerSize {
			t.Errorf("%d bytes are blocks or gaps, of %d", sum, rd.end)
		}
	})
}

// FuzzRecords: whatever a block holds, it is parsed without harm, and what was
// parsed is written the same.
func FuzzRecords(f *testing.F) {
	raw := appendRecord(nil, &queued{request("a", 1, morning), 200}, []byte("x"))
	f.Add(raw, uint32(1))
	f.Add(slices.Concat(raw, raw), uint32(2))
	f.Add(raw[:len(raw)-1], uint32(1))
	f.Add([]byte{}, uint32(1<<31))
	f.Fuzz(func(t *testing.T, raw []byte, count uint32) {
		records, err := parseRecords(raw, 5, count)
		if err != nil {
			return
		}
		var again []byte
		for i := range records {
			r := &records[i]
			if r.Size != len(r.Body) || r.number != 5+uint64(i) {
				t.Fatalf("got %+v", r)
			}
			again = appendRecord(again, &queued{r.Request, r.Code}, r.Body)
		}
		parsed, err := parseRecords(again, 5, count)
		if err != nil || !reflect.DeepEqual(parsed, records) {
			t.Errorf("got %+v, %v, want %+v", parsed, err, records)
		}
	})
}

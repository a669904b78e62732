package recorder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/tocsin-gateway/tocsin/folder"
)

const (
	segmentSuffix = ".recording"
)

// segment is a file of the recorder.
type segment struct {
	// number is that of its first record; the file is called so.
	number uint64
	path   string
	// began is when its first block was written.
	began time.Time

	// The rest is under Recorder.mu.

	// end is how long it is.
	end int64
	// span is of all that is in it, once somebody has looked.
	span
	// damaged are the places that could not be read, so as to count each once.
	damaged map[int64]bool
}

// formatNumber writes the number of a record, or of a segment.
func formatNumber(n uint64) string { return fmt.Sprintf("%016x", n) }

// parseNumber reads what formatNumber has written, and nothing else.
func parseNumber(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 16, 64)
	return n, err == nil && formatNumber(n) == s
}

// reader reads the file of a segment.
type reader struct {
	file   io.ReaderAt
	number uint64
	// end is how far to read.
	end int64
}

// gap is a part of a file that cannot be read.
type gap struct{ from, to int64 }

// start returns where the first block should be. The error says that the file is
// of a newer version.
func (r *reader) start() (int64, error) {
	var h [headerSize]byte
	if _, err := r.file.ReadAt(h[:], 0); r.end < headerSize || err != nil || [8]byte(h[:]) != segmentMagic {
		return 0, nil // damaged; blocks behind it can be found all the same
	}
	if v := binary.LittleEndian.Uint32(h[8:]); v != version {
		return 0, fmt.Errorf("a file of version %d, and this is a Tocsin that knows version %d", v, version)
	}
	return headerSize, nil
}

// block reads what the block at the given offset says about itself.
func (r *reader) block(at int64) (block, error) {
	var f [frameSize]byte
	if r.end-at < frameSize {
		return block{}, errDamaged
	}
	if _, err := r.file.ReadAt(f[:], at); err != nil {
		return block{}, errDamaged
	}
	b, err := parseFrame(f[:], r.number)
	if b.at = at; err == nil && b.to() > r.end {
		err = errDamaged
	}
	return b, err
}

// next returns the first block at or behind the given offset; io.EOF says that
// there is none.
func (r *reader) next(at int64) (block, error) {
	for at < r.end {
		if b, err := r.block(at); err == nil {
			return b, nil
		}
		at = folder.Search(r.file, at+1, r.end, mark[:])
	}
	return block{}, io.EOF
}

// blocks returns all blocks in their order, and what lies before, between and
// behind them.
func (r *reader) blocks() (blocks []block, gaps []gap, err error) {
	at, err := r.start()
	if err != nil {
		return nil, nil, err
	}
	if at == 0 && r.end > 0 {
		at = min(headerSize, r.end)
		gaps = append(gaps, gap{0, at})
	}
	for {
		b, err := r.next(at)
		if err != nil {
			if at < r.end {
				gaps = append(gaps, gap{at, r.end})
			}
			return blocks, gaps, nil
		}
		if b.at > at {
			gaps = append(gaps, gap{at, b.at})
		}
		blocks, at = append(blocks, b), b.to()
	}
}

// payload returns the compressed records of a block.
func (r *reader) payload(b *block) ([]byte, error) {
	p := make([]byte, b.length)
	if _, err := r.file.ReadAt(p, b.at+frameSize); err != nil && len(p) > 0 || crc32.Checksum(p, castagnoli) != b.sum {
		return nil, errDamaged
	}
	return p, nil
}

// records reads the records of a block.
func (r *reader) records(b *block, decoder *zstd.Decoder) ([]Recording, error) {
	p, err := r.payload(b)
	if err != nil {
		return nil, err
	}
	raw, err := decoder.DecodeAll(p, make([]byte, 0, b.raw))
	if err != nil || len(raw) != int(b.raw) {
		return nil, errDamaged // unreachable: we wrote it, and its checksum is good
	}
	return parseRecords(raw, b.first, b.records)
}

// load looks at what earlier runs have left.
func (r *Recorder) load() error {
	files, err := os.ReadDir(r.opts.Dir) // sorted, which is the order of the numbers
	if err != nil {
		return err
	}
	for _, f := range files {
		name, ours := strings.CutSuffix(f.Name(), segmentSuffix)
		number, ok := parseNumber(name)
		if !ours || !ok || !f.Type().IsRegular() {
			continue
		}
		s := &segment{number: number, path: filepath.Join(r.opts.Dir, f.Name())}
		if err := s.load(); err != nil {
			return err
		}
		r.segments = append(r.segments, s)
		r.bytes += s.end
	}
	if len(r.segments) == 0 {
		return nil
	}
	return r.cutLast()
}

// load finds out how long the segment is, and when it began.
func (s *segment) load() error {
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	s.end, s.began = info.Size(), info.ModTime()
	rd := &reader{file, s.number, s.end}
	at, err := rd.start()
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	if first, err := rd.next(at); err == nil {
		s.began = time.Unix(0, first.written)
	}
	return nil
}

// cutLast cuts what a process that was killed has not finished writing, and goes
// on counting where it stopped. Nothing is appended to the files of earlier runs.
func (r *Recorder) cutLast() error {
	s := r.segments[len(r.segments)-1]
	r.writer.next = s.number + 1
	file, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // what it was opened for has been done, or failed
	rd := &reader{file, s.number, s.end}
	blocks, _, err := rd.blocks()
	if err != nil {
		return err // unreachable: it was read before
	}
	for len(blocks) > 0 {
		last := &blocks[len(blocks)-1]
		r.writer.next = max(r.writer.next, last.end())
		if _, err := rd.payload(last); err == nil {
			if last.to() == s.end {
				return nil
			}
			r.log.Info("the last write of the recorder was not finished and is cut off", "file", s.path, "bytes", s.end-last.to())
			r.bytes += last.to() - s.end
			s.end = last.to()
			return file.Truncate(s.end)
		}
		blocks = blocks[:len(blocks)-1]
	}
	r.log.Info("the last write of the recorder was not finished and is removed", "file", s.path, "bytes", s.end)
	return r.remove(s)
}

// remove deletes the file of a segment. The caller is the one that writes.
func (r *Recorder) remove(s *segment) error {
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.segments {
		if r.segments[i] == s {
			r.segments = append(r.segments[:i:i], r.segments[i+1:]...)
			r.bytes -= s.end
			break
		}
	}
	return nil
}

package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/folder"
)

const (
	segmentSuffix = ".spool"
	// damagedSuffix is that of files that could not be read as a whole. Nobody but
	// people looks at them.
	damagedSuffix = ".damaged"
)

// segmentName is the name of the file, whose order is that of the numbers.
func segmentName(number uint64) string { return fmt.Sprintf("%016d%s", number, segmentSuffix) }

// parseName returns the number of the segment with the given file name.
func parseName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil
}

// segment is a file of the spool.
type segment struct {
	number uint64
	path   string
	// seed is the number that its checksums are over: number, unless somebody has
	// given the file another name.
	seed uint64

	// The rest is under Spool.mu.

	// size is that of the file, and end how far it can be read.
	size, end int64
	// acknowledged is how long it was when it was last heard of, by an earlier run.
	acknowledged int64
	// entries are the requests in it that wait.
	entries int
	// open: it is being appended to.
	open bool
	// damaged: something in it could not be read.
	damaged bool
}

// whole is where the segment ends, or ended before it was cut short.
func (s *segment) whole() int64 { return max(s.end, s.acknowledged) }

// found is a record that can be read.
type found struct {
	source   string
	at       time.Time
	from, to int64
}

// gap is a part of a file that cannot be read.
type gap struct{ from, to int64 }

// reader reads a segment's file.
type reader struct {
	file io.ReaderAt
	// number is the one that the checksums are over.
	number uint64
	// end is how far to read.
	end int64
}

// openReader opens the file of a segment; the caller closes it.
func openReader(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// header reads the header.
func (r *reader) header() (header, error) {
	var b [headerSize]byte
	if r.end < headerSize {
		return header{}, errDamaged
	}
	if _, err := r.file.ReadAt(b[:], 0); err != nil {
		return header{}, errDamaged
	}
	return parseHeader(b[:])
}

// record reads the record at the given offset into buffer, or into a larger
// one, and returns its payload and where it ends. io.EOF is the end,
// errDamaged is anything that is no record.
func (r *reader) record(at int64, buffer []byte) (payload []byte, to int64, err error) {
	if at >= r.end {
		return nil, at, io.EOF
	}
	var f [frameSize]byte
	if r.end-at < frameSize {
		return nil, at, errDamaged
	}
	if _, err := r.file.ReadAt(f[:], at); err != nil {
		return nil, at, errDamaged
	}
	length, sum, err := parseFrame(f[:])
	if err != nil || length > r.end-at-frameSize {
		return nil, at, errDamaged
	}
	if int64(cap(buffer)) < length {
		buffer = make([]byte, length)
	}
	buffer = buffer[:length]
	if _, err := r.file.ReadAt(buffer, at+frameSize); err != nil && length > 0 {
		return nil, at, errDamaged
	}
	if crc32.Update(begin(r.number, int(length)), castagnoli, buffer) != sum {
		return nil, at, errDamaged
	}
	return buffer, at + frameSize + length, nil
}

// next returns the first record that can be read at or behind the given
// offset: its payload, and where it is. io.EOF says that there is none.
func (r *reader) next(at int64, buffer []byte) (payload []byte, from, to int64, err error) {
	for {
		payload, to, err = r.record(at, buffer)
		if err == nil || err == io.EOF {
			return payload, at, to, err
		}
		at = folder.Search(r.file, at+1, r.end, mark[:])
	}
}

// scan reads everything, visits each record that can be read, and returns what
// lies before, between and behind them. The header is nil if it cannot be read.
// The error says that the file is of a newer version.
func (r *reader) scan(visit func(found)) (h *header, gaps []gap, err error) {
	at := int64(headerSize)
	switch read, err := r.header(); {
	case err == nil:
		h, r.number = &read, read.number
	case errors.Is(err, errDamaged):
		at = 0
	default:
		return nil, nil, err
	}
	var buffer []byte
	for {
		payload, from, to, err := r.next(at, buffer)
		bad := gap{at, from}
		if err == nil {
			buffer = payload[:0]
			if request, err := parsePayload(payload); err == nil {
				visit(found{source: request.Source, at: request.ReceivedAt, from: from, to: to})
			} else {
				bad.to = to // unreachable: we wrote it, and its checksum is good
			}
		}
		if bad.to > bad.from {
			gaps = append(gaps, bad)
		}
		if err != nil {
			return h, gaps, nil
		}
		at = to
	}
}

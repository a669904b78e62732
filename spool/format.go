package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest"
)

// A segment is a file: a header, and then one record after the other.
//
//	header: magic (8) · version (4) · number (8) · number and end of the segment before (8, 8) · checksum (4)
//	record: mark (8) · length (4) · checksum (4) · payload
//
// Numbers are little-endian, checksums are CRC-32C. That of a record is over the
// number of its segment, its length and its payload, so that what an older file
// left in the same blocks of the disk is none.
const (
	version    = 1
	headerSize = 40
	frameSize  = 16
)

var (
	segmentMagic = [8]byte{'T', 'O', 'C', 'S', 'P', 'O', 'O', 'L'}
	// mark begins each record, and stands nowhere else in a segment: that is how
	// the next record is found behind damage, and why a sender cannot write records
	// of its own into a body. Wherever the first bytes of a mark stand in a payload a zero
	// follows. They do not overlap themselves.
	mark    = [8]byte{0xff, 'T', 'C', 'S', 'P', 'L', 0xfe, 0x01}
	almost  = mark[:7]
	escaped = append(bytes.Clone(almost), 0)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that there is no record where one should be.
var errDamaged = errors.New("damaged")

// header is what a segment says about itself.
type header struct {
	number uint64
	// before is the end of the segment before: all that was acknowledged in it.
	before place
}

// place is an offset in a segment.
type place struct {
	segment uint64
	offset  int64
}

// less reports whether p is before q.
func (p place) less(q place) bool {
	return p.segment < q.segment || p.segment == q.segment && p.offset < q.offset
}

func (h header) bytes() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, segmentMagic[:]...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint64(b, h.number)
	b = binary.LittleEndian.AppendUint64(b, h.before.segment)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.before.offset))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseHeader returns errDamaged, or says that the file is of a newer version.
func parseHeader(b []byte) (header, error) {
	if len(b) < headerSize || [8]byte(b) != segmentMagic || crc32.Checksum(b[:headerSize-4], castagnoli) != binary.LittleEndian.Uint32(b[headerSize-4:]) {
		return header{}, errDamaged
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > version {
		return header{}, fmt.Errorf("its format is version %d, this Tocsin knows %d: use a newer one", v, version)
	}
	return header{number: binary.LittleEndian.Uint64(b[12:]),
		before: place{binary.LittleEndian.Uint64(b[20:]), int64(binary.LittleEndian.Uint64(b[28:]))}}, nil
}

// record is a request as it is written, but for the number of its segment.
type record struct {
	source string
	at     time.Time
	// meta and body are the payload.
	meta, body []byte
}

// newRecord encodes r. The record shares memory with r's body.
func newRecord(r ingest.Request) *record {
	meta := binary.LittleEndian.AppendUint64(nil, uint64(r.ReceivedAt.UnixNano()))
	for _, text := range [...]string{r.Source, r.Format, r.Method, r.Path, r.ContentType} {
		meta = append(binary.AppendUvarint(meta, uint64(len(text))), text...)
	}
	meta = append(meta, 0) // so that no mark begins in it and ends in the body
	return &record{source: r.Source, at: r.ReceivedAt, meta: escape(meta), body: escape(r.Body)}
}

func escape(b []byte) []byte {
	if !bytes.Contains(b, almost) {
		return b
	}
	return bytes.ReplaceAll(b, almost, escaped)
}

// size is how many bytes the record takes.
func (r *record) size() int64 { return frameSize + int64(len(r.meta)+len(r.body)) }

// frame is what stands before the payload in the segment with the given number.
func (r *record) frame(segment uint64) [frameSize]byte {
	length := len(r.meta) + len(r.body)
	sum := crc32.Update(crc32.Update(begin(segment, length), castagnoli, r.meta), castagnoli, r.body)
	var f [frameSize]byte
	copy(f[:], mark[:])
	binary.LittleEndian.PutUint32(f[8:], uint32(length))
	binary.LittleEndian.PutUint32(f[12:], sum)
	return f
}

// begin is the checksum of what comes before the payload.
func begin(segment uint64, length int) uint32 {
	var b [12]byte
	binary.LittleEndian.PutUint64(b[:], segment)
	binary.LittleEndian.PutUint32(b[8:], uint32(length))
	return crc32.Checksum(b[:], castagnoli)
}

// parseFrame returns the length and the checksum of the payload that follows.
func parseFrame(f []byte) (length int64, sum uint32, err error) {
	if len(f) < frameSize || [8]byte(f) != mark {
		return 0, 0, errDamaged
	}
	return int64(binary.LittleEndian.Uint32(f[8:])), binary.LittleEndian.Uint32(f[12:]), nil
}

// parsePayload decodes a payload with a good checksum. The request shares its memory.
func parsePayload(b []byte) (ingest.Request, error) {
	if bytes.Contains(b, escaped) {
		b = bytes.ReplaceAll(b, escaped, almost)
	}
	var r ingest.Request
	if len(b) < 8 {
		return r, errDamaged
	}
	r.ReceivedAt = time.Unix(0, int64(binary.LittleEndian.Uint64(b))).UTC()
	b = b[8:]
	for _, text := range [...]*string{&r.Source, &r.Format, &r.Method, &r.Path, &r.ContentType} {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return r, errDamaged
		}
		b = b[n:]
		*text, b = string(b[:length]), b[length:]
	}
	if len(b) == 0 || b[0] != 0 {
		return r, errDamaged
	}
	r.Body = b[1:]
	return r, nil
}

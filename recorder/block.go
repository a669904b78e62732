package recorder

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest"
)

// A segment is a file: a header, and then one block after the other.
//
//	header: magic (8) · version (4)
//	block:  mark (8) · number of its first record (8) · written (8) · earliest and latest receipt in it (8, 8) ·
//	        its sources (8) · how many records (4) · their length (4) · length (4) and checksum (4) of what follows ·
//	        checksum of all this (4) · the records, compressed with zstd
//	record: received (8) · code · source · format · method · path · content type · body
//
// Numbers are little-endian, those of a record varints but for the time; texts
// have their length before them. Times are in nanoseconds since 1970. Checksums
// are CRC-32C; that of a block begins with the number of its segment, so that
// what an older file left in the same blocks of the disk is none, and what a
// sender writes into a body is none either: it does not know the number.
const (
	version    = 1
	headerSize = 12
	frameSize  = 68
)

var (
	segmentMagic = [8]byte{'T', 'O', 'C', 'S', 'R', 'E', 'C', 'S'}
	// mark begins each block, so that the next one is found behind damage.
	mark = [8]byte{0xff, 'T', 'C', 'S', 'R', 'B', 0xfe, 0x01}
)

// maxRaw is how long the records of a block may be: a block is full with the
// record that makes it so.
const maxRaw = blockSize + maxRecord

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that something is not what was written.
var errDamaged = errors.New("damaged")

// block is what a block says about itself.
type block struct {
	first   uint64 // the number of its first record
	written int64
	span
	records, raw uint32
	length, sum  uint32 // of the compressed records
	at           int64  // where it begins in its segment
}

// to is where the block ends in its segment.
func (b *block) to() int64 { return b.at + frameSize + int64(b.length) }

// end is the number behind that of its last record.
func (b *block) end() uint64 { return b.first + uint64(b.records) }

// span is when requests came, and from where. The zero value spans nothing.
type span struct {
	earliest, latest int64
	// sources has the bit of each source; several sources share a bit.
	sources uint64
}

func sourceBit(source string) uint64 {
	return 1 << (crc32.Checksum([]byte(source), castagnoli) % 64)
}

// add widens the span.
func (s *span) add(other span) {
	if s.sources == 0 {
		*s = other
		return
	}
	s.earliest, s.latest = min(s.earliest, other.earliest), max(s.latest, other.latest)
	s.sources |= other.sources
}

// frame appends what stands before the records of the block in the segment of
// the given number.
func (b *block) frame(to []byte, segment uint64) []byte {
	start := len(to)
	to = append(to, mark[:]...)
	to = binary.LittleEndian.AppendUint64(to, b.first)
	to = binary.LittleEndian.AppendUint64(to, uint64(b.written))
	to = binary.LittleEndian.AppendUint64(to, uint64(b.earliest))
	to = binary.LittleEndian.AppendUint64(to, uint64(b.latest))
	to = binary.LittleEndian.AppendUint64(to, b.sources)
	to = binary.LittleEndian.AppendUint32(to, b.records)
	to = binary.LittleEndian.AppendUint32(to, b.raw)
	to = binary.LittleEndian.AppendUint32(to, b.length)
	to = binary.LittleEndian.AppendUint32(to, b.sum)
	return binary.LittleEndian.AppendUint32(to, frameSum(to[start:], segment))
}

func frameSum(frame []byte, segment uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], segment)
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, frame)
}

// parseFrame reads what frame has written; f is frameSize long.
func parseFrame(f []byte, segment uint64) (block, error) {
	var b block
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if [8]byte(f) != mark || u32(f[frameSize-4:]) != frameSum(f[:frameSize-4], segment) {
		return b, errDamaged
	}
	b.first, b.written = u64(f[8:]), int64(u64(f[16:]))
	b.span = span{int64(u64(f[24:])), int64(u64(f[32:])), u64(f[40:])}
	b.records, b.raw, b.length, b.sum = u32(f[48:]), u32(f[52:]), u32(f[56:]), u32(f[60:])
	if b.raw > maxRaw {
		return b, errDamaged // unreachable: we wrote it, and its checksum is good
	}
	return b, nil
}

func fileHeader() []byte {
	return binary.LittleEndian.AppendUint32(segmentMagic[:], version)
}

// appendRecord appends a request; the body is what is kept of its own.
func appendRecord(to []byte, q *queued, body []byte) []byte {
	to = binary.LittleEndian.AppendUint64(to, uint64(q.ReceivedAt.UnixNano()))
	to = binary.AppendUvarint(to, uint64(q.code))
	for _, text := range [...]string{q.Source, q.Format, q.Method, q.Path, q.ContentType} {
		to = append(binary.AppendUvarint(to, uint64(len(text))), text...)
	}
	return append(binary.AppendUvarint(to, uint64(len(body))), body...)
}

// parseRecords reads the records of a block, of which the first has the given
// number. Bodies share memory with raw.
func parseRecords(raw []byte, first uint64, records uint32) ([]Recording, error) {
	// The least that a record takes bounds what a wrong count can cost.
	const least = 8 + 7
	if int64(records)*least > int64(len(raw)) {
		return nil, errDamaged
	}
	out := make([]Recording, records)
	for i := range out {
		rest, err := out[i].parse(raw)
		if err != nil {
			return nil, err
		}
		raw, out[i].number = rest, first+uint64(i)
	}
	if len(raw) > 0 {
		return nil, errDamaged
	}
	return out, nil
}

// parse reads one record, and returns what follows it.
func (r *Recording) parse(b []byte) ([]byte, error) {
	if len(b) < 8 {
		return nil, errDamaged
	}
	r.ReceivedAt = time.Unix(0, int64(binary.LittleEndian.Uint64(b))).UTC()
	code, n := binary.Uvarint(b[8:])
	if n <= 0 {
		return nil, errDamaged
	}
	r.Code, b = int(code), b[8+n:]
	var text []byte
	for _, to := range [...]*string{&r.Source, &r.Format, &r.Method, &r.Path, &r.ContentType} {
		if text, b, n = cut(b); n <= 0 {
			return nil, errDamaged
		}
		*to = string(text)
	}
	if r.Body, b, n = cut(b); n <= 0 {
		return nil, errDamaged
	}
	r.Size = len(r.Body)
	return b, nil
}

// cut takes a text with its length from b; n is not positive if there is none.
func cut(b []byte) (text, rest []byte, n int) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return nil, nil, -1
	}
	b = b[n:]
	return b[:length:length], b[length:], n
}

// Recording is a request that was recorded.
type Recording struct {
	// Request is the request as it is kept. A list leaves its Body out.
	ingest.Request
	// Code is what it was answered with, Size how long the body is that is kept.
	Code, Size int
	number     uint64
}

// ID names the recording on this gateway for ever.
func (r *Recording) ID() string { return formatNumber(r.number) }

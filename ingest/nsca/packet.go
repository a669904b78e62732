package nsca

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest/fields"
	"github.com/tocsin-gateway/tocsin/ingest/nagios"
)

// A packet of version 3, numbers in big-endian order:
//
//	version (2) · unused (2) · CRC-32 (4) · time (4) · state (2) · host (64) · service (128) · output (512 or 4096) · unused (2)
//
// The checksum is of the whole packet with zeros in its own place, the time is
// the one that the server sent, and texts end at the first zero.
const (
	version    = 3
	sumAt      = 4
	timeAt     = 8
	stateAt    = 12
	hostAt     = 14
	serviceAt  = 78
	outputAt   = 206
	shortSize  = 720
	packetSize = 4304
)

var (
	errVersion = errors.New("not a packet of version 3: another method or password, or not send_nsca")
	errSum     = errors.New("wrong checksum: another method or password, or damaged")
)

// checkPacket says whether a decrypted packet is one.
func checkPacket(p []byte) error {
	if binary.BigEndian.Uint16(p) != version {
		return errVersion
	}
	var zero [4]byte
	sum := crc32.ChecksumIEEE(p[:sumAt])
	sum = crc32.Update(sum, crc32.IEEETable, zero[:])
	sum = crc32.Update(sum, crc32.IEEETable, p[sumAt+4:])
	if sum != binary.BigEndian.Uint32(p[sumAt:]) {
		return errSum
	}
	return nil
}

// packetTime is the time in a packet.
func packetTime(p []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint32(p[timeAt:])), 0)
}

// parsePacket reads a packet that was checked. Its time says nothing of the check.
func parsePacket(p []byte) nagios.Result {
	return nagios.Result{
		State:   int(int16(binary.BigEndian.Uint16(p[stateAt:]))),
		Host:    text(p[hostAt:serviceAt]),
		Service: text(p[serviceAt:outputAt]),
		Output:  text(p[outputAt : len(p)-2]),
	}
}

func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	s, _ := fields.Clean(string(b))
	return s
}

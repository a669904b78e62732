package spool

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// position is the file that remembers how far everything is. It is written in
// place, and synced only now and then: what it forgets is applied again.
type position struct {
	file *os.File
	// applied is where the drain goes on; kept is the end of what was acknowledged.
	applied, kept place
}

const (
	positionName = "position"
	positionSize = 48
)

var positionMagic = [8]byte{'T', 'O', 'C', 'S', 'P', 'L', 'P', 'O'}

// openPosition opens the file in the folder, or makes it. Known says that it
// could be read, or that there was none.
func openPosition(dir string) (p *position, known bool, err error) {
	f, err := os.OpenFile(filepath.Join(dir, positionName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	p = &position{file: f}
	var b [positionSize]byte
	n, err := f.ReadAt(b[:], 0)
	switch {
	case n == 0 && err == io.EOF:
		return p, true, nil
	case err != nil, [8]byte(b[:8]) != positionMagic, crc32.Checksum(b[:positionSize-4], castagnoli) != binary.LittleEndian.Uint32(b[positionSize-4:]):
		return p, false, nil
	}
	at := func(i int) place {
		return place{binary.LittleEndian.Uint64(b[i:]), int64(binary.LittleEndian.Uint64(b[i+8:]))}
	}
	p.applied, p.kept = at(12), at(28)
	return p, true, nil
}

// write writes the file, without a sync.
func (p *position) write() error {
	b := make([]byte, 0, positionSize)
	b = append(b, positionMagic[:]...)
	b = binary.LittleEndian.AppendUint32(b, version)
	for _, at := range [...]place{p.applied, p.kept} {
		b = binary.LittleEndian.AppendUint64(b, at.segment)
		b = binary.LittleEndian.AppendUint64(b, uint64(at.offset))
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_, err := p.file.WriteAt(b, 0)
	return err
}

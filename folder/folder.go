// Package folder is about folders that one process uses at a time: whose they
// are, and how to go on in a damaged file of theirs.
package folder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Lock makes the folder this process's until the returned file is closed. A
// process that is killed lets go of it. Setting is what names the folder in the
// configuration, for the error of whoever comes second.
func Lock(dir, setting string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("another process uses it; give each its own %s", setting)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

const (
	// searchStep is how much of a damaged file is searched at a time, in bytes.
	searchStep = 64 << 10
	// Sector is how much is given up where the disk cannot read, in bytes.
	Sector = 4 << 10
)

// Search returns the offset of the first mark at or behind the given offset, and
// before the end; the end if there is none. What cannot be read is passed over.
func Search(file io.ReaderAt, at, end int64, mark []byte) int64 {
	buffer := make([]byte, searchStep)
	for at < end {
		part := buffer[:min(searchStep, end-at)]
		if _, err := file.ReadAt(part, at); err != nil {
			at += Sector
			continue
		}
		if i := bytes.Index(part, mark); i >= 0 {
			return at + int64(i)
		}
		if at += int64(len(part)); at < end {
			at -= int64(len(mark)) - 1 // it may begin in one part and end in the next
		}
	}
	return end
}

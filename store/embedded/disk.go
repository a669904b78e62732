package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

var errDiskFull = errors.New("the disk is full: nothing is accepted until there is space again")

// The ballast is a file of no use but to be deleted when the disk is full: what
// the engine is in the middle of writing then still fits.

// diskFull is called by the engine's file system when a write found no space.
func (s *Store) diskFull() {
	if !s.full.Swap(true) {
		s.log.Error("disk full, nothing more is accepted", "folder", s.dir)
	}
	switch err := os.Remove(s.ballast); {
	case errors.Is(err, os.ErrNotExist):
		time.Sleep(fullPause) // nothing to give: the engine tries again at once, for ever
	case err != nil:
		s.log.Error("ballast", "err", err)
	}
}

const fullPause = 100 * time.Millisecond

// room makes sure that there is space to open the engine: it writes what its
// logs hold into new files first, and would wait for space for ever.
func (s *Store) room() error {
	if s.opts.FS != nil {
		return nil
	}
	logs, err := filepath.Glob(filepath.Join(s.dir, "*.log"))
	if err != nil {
		return err // unreachable: the pattern is right
	}
	need := s.opts.Reserve / 8
	for _, name := range logs {
		if stat, err := os.Stat(name); err == nil {
			need += uint64(stat.Size())
		}
	}
	free, err := freeSpace(s.dir)
	if err == nil && free < need {
		_ = os.Remove(s.ballast) // that is what it is for
		free, err = freeSpace(s.dir)
	}
	if err != nil || free >= need {
		return err
	}
	return fmt.Errorf("store: the disk of the folder %s is full: %d bytes are free, opening needs %d", s.dir, free, need)
}

// watchSpace stops accepting while there is less free space than the reserve,
// and starts again, with a new ballast, when there is more than twice as much.
func (s *Store) watchSpace() {
	if s.opts.FS != nil {
		return
	}
	free, err := freeSpace(s.dir)
	if err != nil {
		s.log.Warn("free space is unknown", "err", err)
		return
	}
	switch reserve := s.opts.Reserve; {
	case free < reserve/2:
		if !s.full.Swap(true) {
			s.log.Error("disk nearly full, nothing more is accepted", "folder", s.dir, "free_bytes", free, "reserve_bytes", reserve)
		}
	case free > reserve && s.full.Load():
		s.full.Store(false)
		s.listening.Store(s.Now().UnixNano())
		s.log.Info("there is space again", "folder", s.dir, "free_bytes", free)
		fallthrough
	case free > 2*reserve:
		s.makeBallast()
	}
}

func freeSpace(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// makeBallast writes the file if it is missing, a quarter of the reserve.
func (s *Store) makeBallast() {
	if _, err := os.Stat(s.ballast); err == nil {
		return
	}
	f, err := os.OpenFile(s.ballast, os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		// Real bytes, not a hole: only what is there can be given back.
		_, err = f.Write(make([]byte, s.opts.Reserve/4))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		s.log.Warn("no ballast", "err", err)
	}
}

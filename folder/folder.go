// Package folder is about folders that one process uses at a time.
package folder

import (
	"errors"
	"fmt"
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

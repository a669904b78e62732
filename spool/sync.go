package spool

import (
	"errors"
	"os"
)

// syncDir makes the folder's list of files durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

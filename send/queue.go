package send

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// MaxMessages is how many messages may wait in a folder.
	MaxMessages = 10_000
	// MaxBytes is how much they may take together.
	MaxBytes = 256 << 20
	// maxFile is how large a message can be.
	maxFile = 16 << 20
	// maxAside is how many messages are kept that nobody wants.
	maxAside = 1000
	// oldPart is how old a file is that somebody did not finish.
	oldPart = time.Hour
)

// Errors of a queue.
var (
	errBusy    = errors.New("another process delivers what waits")
	errFull    = fmt.Errorf("full: %d messages or %d MiB wait", MaxMessages, MaxBytes>>20)
	errDamaged = errors.New("damaged")
)

// queue is a folder of messages that wait, one file each. Anybody may add one; who
// holds the lock takes them out, in the order of their names, which is that of
// time. There are no credentials in it.
type queue struct{ dir string }

const (
	suffix   = ".msg"
	part     = ".part-"
	rejected = "rejected"
	unread   = "unread"
)

// add makes a message durable and returns its name.
func (q queue) add(m Message, now time.Time) (string, error) {
	if err := os.MkdirAll(q.dir, 0o700); err != nil {
		return "", err
	}
	names, size, err := q.list()
	if err != nil {
		return "", err
	}
	content := m.encode()
	if len(names) >= MaxMessages || size+int64(len(content)) > MaxBytes || len(content) > maxFile {
		return "", errFull
	}
	at := now.UnixNano()
	if len(names) > 0 { // if the clock went back, it is still the last one
		at = max(at, when(names[len(names)-1])+1)
	}
	f, err := os.CreateTemp(q.dir, part+"*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	// Two processes may have the same time, and in containers the same number.
	name := fmt.Sprintf("%019d-%s%s", at, strings.TrimPrefix(filepath.Base(f.Name()), part), suffix)
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(q.dir, name))
	}
	if err == nil {
		return name, syncDir(q.dir)
	}
	return "", errors.Join(err, os.Remove(f.Name()))
}

// when is the time in the name of a message.
func when(name string) int64 {
	digits, _, _ := strings.Cut(name, "-")
	n, _ := strconv.ParseInt(digits, 10, 64) // 0 if somebody else put it there
	return n
}

// list returns the names of the messages that wait, in order, and their size.
func (q queue) list() (names []string, size int64, err error) {
	entries, err := os.ReadDir(q.dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // delivered just now
		}
		names = append(names, e.Name())
		size += info.Size()
	}
	slices.Sort(names)
	return names, size, nil
}

// read returns a message that waits, or errDamaged.
func (q queue) read(name string) (Message, error) {
	file := filepath.Join(q.dir, name)
	if info, err := os.Stat(file); err == nil && info.Size() > maxFile {
		return Message{}, errDamaged
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return Message{}, err
	}
	return parse(b)
}

// remove forgets a message. If that is undone by a crash it is delivered again,
// which the gateway does not mind.
func (q queue) remove(name string) error {
	return os.Remove(filepath.Join(q.dir, name))
}

// setAside keeps a message in a folder of its own, the newest of them.
func (q queue) setAside(name, folder string) error {
	to := queue{filepath.Join(q.dir, folder)}
	if err := os.MkdirAll(to.dir, 0o700); err != nil {
		return err
	}
	names, _, err := to.list()
	if err != nil {
		return err
	}
	for _, old := range names[:max(0, len(names)-maxAside+1)] {
		if err := to.remove(old); err != nil {
			return err
		}
	}
	return errors.Join(os.Rename(filepath.Join(q.dir, name), filepath.Join(to.dir, name)), syncDir(to.dir))
}

// again puts what was rejected back into the queue.
func (q queue) again() error {
	from := queue{filepath.Join(q.dir, rejected)}
	names, _, err := from.list()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		err = errors.Join(err, os.Rename(filepath.Join(from.dir, name), filepath.Join(q.dir, name)))
	}
	return err
}

// lock makes this process the one that delivers, until the file is closed. A
// process that is killed lets go of it. It is the folder itself that is locked: a
// file of somebody else's, made while trying something, could not be opened.
func (q queue) lock() (*os.File, error) {
	f, err := os.Open(q.dir)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errBusy
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	q.sweep()
	return f, nil
}

// sweep removes what was begun long ago and not finished. It never waited: who
// wrote it was not told so.
func (q queue) sweep() {
	parts, _ := filepath.Glob(filepath.Join(q.dir, part+"*")) // the pattern is a good one
	for _, p := range parts {
		if info, err := os.Stat(p); err == nil && time.Since(info.ModTime()) > oldPart {
			_ = os.Remove(p) // else the next time
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// A file is a line with the format's name and a checksum of the rest, then the source, the
// type of the content and the content.
const magic = "tocsin-send/1 "

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (m Message) encode() []byte {
	payload := append([]byte(m.Source+"\n"+m.ContentType+"\n"), m.Body...)
	return append(fmt.Appendf(nil, "%s%08x\n", magic, crc32.Checksum(payload, castagnoli)), payload...)
}

func parse(b []byte) (Message, error) {
	head, payload, _ := bytes.Cut(b, []byte("\n"))
	sum, ok := bytes.CutPrefix(head, []byte(magic))
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.Checksum(payload, castagnoli)) {
		return Message{}, errDamaged
	}
	source, rest, _ := bytes.Cut(payload, []byte("\n"))
	contentType, body, ok := bytes.Cut(rest, []byte("\n"))
	if !ok {
		return Message{}, errDamaged
	}
	return Message{Source: string(source), ContentType: string(contentType), Body: body}, nil
}

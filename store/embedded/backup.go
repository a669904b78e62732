package embedded

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A backup is a tar archive of the engine's files at one moment, and last the
// manifest: an archive that broke off has none.
const (
	manifestName  = "manifest.json"
	manifestLimit = 64 << 20
	// backupFolder and restoringFolder are made inside of the store's folder: that
	// may be a volume of its own, and what is around it may be read-only.
	backupFolder    = "backup.tmp"
	restoringFolder = "restoring.tmp"
)

// manifest says what a backup consists of.
type manifest struct {
	Schema    schema    `json:"schema"`
	CreatedAt time.Time `json:"created_at"`
	// Incidents, Alerts and TimelineEntries are how many there are.
	Incidents       int        `json:"incidents"`
	Alerts          int        `json:"alerts"`
	TimelineEntries int        `json:"timeline_entries"`
	Files           []fileInfo `json:"files"`
}

type fileInfo struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Backup writes a backup of the store as it is now to w, while it goes on
// working. All that was acknowledged before the call is in it.
func (s *Store) Backup(ctx context.Context, w io.Writer) (err error) {
	s.backupMu.Lock()
	defer s.backupMu.Unlock()
	fs, dir := s.fs(), s.fs().PathJoin(s.dir, backupFolder)
	if err := fs.RemoveAll(dir); err != nil {
		return fmt.Errorf("store: backup: %w", err)
	}
	defer func() { err = errors.Join(err, fs.RemoveAll(dir)) }()
	if err := s.checkpoint(ctx, dir); err != nil {
		return err
	}
	if err := archive(ctx, fs, dir, s.Now(), w); err != nil {
		return fmt.Errorf("store: backup: %w", err)
	}
	return nil
}

// checkpoint makes dir a copy of the engine's files. Those that never change
// are linked, so it needs neither much time nor space.
func (s *Store) checkpoint(ctx context.Context, dir string) error {
	if err := s.flushRepeats(true); err != nil {
		return err
	}
	// A synced write takes all that was applied before into the log's file.
	if err := s.Check(ctx); err != nil {
		return err
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.guard(func() error { return s.db.Checkpoint(dir) })
}

// archive writes the files of a checkpoint and their manifest.
func archive(ctx context.Context, fs vfs.FS, dir string, now time.Time, w io.Writer) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	m := manifest{CreatedAt: now}
	if err := count(fs, dir, &m); err != nil {
		return err
	}
	out := tar.NewWriter(w)
	for _, name := range names {
		info, err := addFile(ctx, fs, fs.PathJoin(dir, name), name, now, out)
		if err != nil {
			return err
		}
		m.Files = append(m.Files, info)
	}
	data, err := json.Marshal(m, jsontext.Multiline(true))
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: manifestName, Size: int64(len(data)), Mode: 0o600, ModTime: now}); err != nil {
		return err
	}
	if _, err := out.Write(data); err != nil {
		return err
	}
	return out.Close()
}

func addFile(ctx context.Context, fs vfs.FS, path, name string, now time.Time, out *tar.Writer) (fileInfo, error) {
	stat, err := fs.Stat(path)
	if err != nil {
		return fileInfo{}, err
	}
	f, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return fileInfo{}, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if err := out.WriteHeader(&tar.Header{Name: name, Size: stat.Size(), Mode: 0o600, ModTime: now}); err != nil {
		return fileInfo{}, err
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(out, sum), stopping{ctx, f})
	return fileInfo{name, size, sumText(sum)}, err
}

func sumText(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// stopping is a reader that ends with its context.
type stopping struct {
	ctx context.Context
	r   io.Reader
}

func (s stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// Restore unpacks a backup into a folder, which must be empty or missing. What
// is damaged is not restored.
func Restore(tar, dir string) (err error) {
	switch there, err := os.ReadDir(dir); {
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("store: restore: %w", err)
		}
	case err != nil:
		return fmt.Errorf("store: restore: %w", err)
	case len(there) > 0:
		return fmt.Errorf("store: restore: the folder %s is not empty", dir)
	}
	stage := filepath.Join(dir, restoringFolder)
	if err := os.Mkdir(stage, 0o700); err != nil {
		return fmt.Errorf("store: restore: %w", err)
	}
	report, err := verifyArchive(tar, stage)
	if err == nil && len(report.Problems) > 0 {
		err = fmt.Errorf("store: restore: %s is damaged: %s", tar, strings.Join(report.Problems, "; "))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(stage))
	}
	if err := moveUp(stage, dir); err != nil {
		return fmt.Errorf("store: restore: %w", err)
	}
	return nil
}

// moveUp moves the files of a stage into the folder around it. Open refuses a
// folder that holds a stage, so one that was left half-way is not taken for whole.
func moveUp(stage, dir string) error {
	files, err := os.ReadDir(stage)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Name() == manifestName {
			continue
		}
		if err := os.Rename(filepath.Join(stage, f.Name()), filepath.Join(dir, f.Name())); err != nil {
			return err
		}
	}
	if err := syncFolder(dir); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(stage), syncFolder(dir))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// unpack writes the files of an archive into dir, which is empty, and returns
// what the manifest says and how the files differ from that.
func unpack(r io.Reader, dir string) (m manifest, problems []string, err error) {
	in := tar.NewReader(r)
	var files []fileInfo
	var list []byte
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return m, nil, fmt.Errorf("not a whole tar archive: %w", err)
		}
		switch {
		case h.Typeflag != tar.TypeReg || !plainName(h.Name):
			return m, nil, fmt.Errorf("%q does not belong into a backup", h.Name)
		case list != nil:
			return m, nil, fmt.Errorf("%q comes after the manifest", h.Name)
		case h.Name == manifestName:
			if list, err = io.ReadAll(io.LimitReader(in, manifestLimit)); err == nil {
				err = os.WriteFile(filepath.Join(dir, manifestName), list, 0o600)
			}
		default:
			var info fileInfo
			info, err = unpackFile(in, filepath.Join(dir, h.Name))
			files = append(files, info)
		}
		if err != nil {
			return m, nil, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	if list == nil {
		return m, nil, errors.New("it has no manifest: it broke off, or is no backup")
	}
	if err := json.Unmarshal(list, &m); err != nil {
		return m, nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	return m, compare(m.Files, files), nil
}

// plainName reports whether a name is one of a file of the engine, and not a way out of the folder.
func plainName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && name[0] != '.' && name != backupFolder && name != restoringFolder
}

func unpackFile(r io.Reader, path string) (fileInfo, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fileInfo{}, err
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, sum), r)
	return fileInfo{filepath.Base(path), size, sumText(sum)}, errors.Join(err, f.Sync(), f.Close())
}

// compare says how files differ from those that a manifest lists.
func compare(want, got []fileInfo) (problems []string) {
	there := map[string]fileInfo{}
	for _, f := range got {
		there[f.Name] = f
	}
	for _, w := range want {
		switch f, ok := there[w.Name]; {
		case !ok:
			problems = append(problems, fmt.Sprintf("file %s is missing", w.Name))
		case f.Size != w.Size:
			problems = append(problems, fmt.Sprintf("file %s has %d bytes, not %d", w.Name, f.Size, w.Size))
		case f.SHA256 != w.SHA256:
			problems = append(problems, fmt.Sprintf("file %s has changed: its checksum is another one", w.Name))
		}
		delete(there, w.Name)
	}
	for name := range there {
		problems = append(problems, fmt.Sprintf("file %s is not in the manifest", name))
	}
	slices.Sort(problems)
	return problems
}

// listed reads the manifest of a folder, if it is an unpacked backup, and
// compares it with the files.
func listed(dir string) (m *manifest, problems []string, err error) {
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	m = &manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	var files []fileInfo
	for _, e := range entries {
		if e.Name() == manifestName || e.Name() == "LOCK" { // looking at it makes a LOCK
			continue
		}
		info, err := sumFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, nil, err
		}
		files = append(files, info)
	}
	return m, compare(m.Files, files), nil
}

func sumFile(path string) (fileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return fileInfo{}, err
	}
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	return fileInfo{filepath.Base(path), size, sumText(sum)}, errors.Join(err, f.Close())
}

// count fills in what a manifest says of the rows.
func count(fs vfs.FS, dir string, m *manifest) error {
	db, err := openReadOnly(fs, dir)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only read
	data, ok, err := read(db, []byte{rowSchema})
	if err != nil || !ok {
		return errors.Join(err, errors.New("the store has no schema"))
	}
	if err := json.Unmarshal(data, &m.Schema); err != nil {
		return err
	}
	for _, kind := range [...]struct {
		row byte
		n   *int
	}{{rowIncident, &m.Incidents}, {rowEntry, &m.Alerts}, {rowArchivedEntry, &m.Alerts}, {rowTimeline, &m.TimelineEntries}} {
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind.row}, UpperBound: []byte{kind.row + 1}})
		if err != nil {
			return err
		}
		for ok := it.First(); ok; ok = it.Next() {
			*kind.n++
		}
		if err := it.Close(); err != nil {
			return err
		}
	}
	return nil
}

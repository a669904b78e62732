package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of times in /proc/PID/stat: USER_HZ, which is 100
// on every architecture that Go runs on (proc(5) says sysconf(_SC_CLK_TCK)).
const ticksPerSecond = 100

// usage is what a process and all its descendants have used so far.
type usage struct {
	// known is false where there is no /proc or no such process.
	known bool
	cpu   time.Duration
	// resident and peak are bytes.
	resident, peak int64
}

func (u *usage) add(v usage) {
	u.known = u.known && v.known
	u.cpu += v.cpu
	u.resident += v.resident
	u.peak += v.peak
}

// treeUsage reads the usage of pid and its descendants.
func treeUsage(pid int) usage {
	var u usage
	if pid == 0 {
		return u
	}
	children := childrenOf()
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		cpu, _, ok := processTimes(p)
		if !ok {
			continue
		}
		u.known = true
		u.cpu += cpu
		u.resident += statusBytes(p, "VmRSS:")
		u.peak += statusBytes(p, "VmHWM:")
		queue = append(queue, children[p]...)
	}
	return u
}

// ownCPU is the CPU time of this process without its children.
func ownCPU() time.Duration {
	stat, ok := statFields(os.Getpid())
	if !ok {
		return 0
	}
	return ticks(stat[11]) + ticks(stat[12])
}

func childrenOf() map[int][]int {
	children := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is valid, so there is no error
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if _, parent, ok := processTimes(pid); ok {
			children[parent] = append(children[parent], pid)
		}
	}
	return children
}

// processTimes returns what pid used itself and what its waited-for children used.
func processTimes(pid int) (cpu time.Duration, parent int, ok bool) {
	stat, ok := statFields(pid)
	if !ok {
		return 0, 0, false
	}
	parent, err := strconv.Atoi(stat[1])
	return ticks(stat[11]) + ticks(stat[12]) + ticks(stat[13]) + ticks(stat[14]), parent, err == nil
}

// statFields returns the fields of /proc/PID/stat from the third (state) on:
// the second, the name, may itself hold blanks and brackets.
func statFields(pid int) ([]string, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, false
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return fields, len(fields) > 14
}

func ticks(s string) time.Duration {
	n, _ := strconv.ParseInt(s, 10, 64) // the kernel writes numbers; 0 otherwise
	return time.Duration(n) * time.Second / ticksPerSecond
}

// statusBytes reads a line such as "VmRSS:  1234 kB" of /proc/PID/status.
func statusBytes(pid int, name string) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// folderBytes is the size of all files below dir.
func folderBytes(dir string) (total int64, err error) {
	err = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if os.IsNotExist(err) { // a running store removes files
			return nil
		}
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total, err
}

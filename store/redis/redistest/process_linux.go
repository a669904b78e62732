package redistest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// starts gets the commands to start, with where to say how that went.
var starts = sync.OnceValue(func() chan<- func() {
	queue := make(chan func())
	go func() {
		// The kernel kills a child when the thread that started it ends, not the
		// process (prctl(2), PR_SET_PDEATHSIG). So all are started by one
		// thread that nothing else runs on and that ends with the process only.
		runtime.LockOSThread()
		for start := range queue {
			start()
		}
	}()
	return queue
})

// start starts cmd so that it is killed when we end, however we do, in a process
// group of its own.
func start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	done := make(chan error)
	starts() <- func() { done <- cmd.Start() }
	return <-done
}

// kill kills the process and the children that write its files in the
// background: they would otherwise go on in a folder that is about to be removed.
func kill(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) } // fails only if they have ended

// reserve returns a port that the system gives to nobody else until release is
// called, and that a server can be started on several times: a socket that is
// bound but does not listen keeps it (both set SO_REUSEADDR). Otherwise a
// connection of anybody could take the port as its own while the server is down.
func reserve() (port int, release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("redistest: socket: %w", err)
	}
	release = sync.OnceFunc(func() { _ = syscall.Close(fd) }) // nothing was written to it
	if err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var addr syscall.Sockaddr
	if err == nil {
		addr, err = syscall.Getsockname(fd)
	}
	if err != nil {
		release()
		return 0, nil, fmt.Errorf("redistest: reserve a port: %w", err)
	}
	return addr.(*syscall.SockaddrInet4).Port, release, nil
}

// pause stops the process and returns when it has stopped.
func pause(p *os.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(tick) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
		if err != nil {
			return err
		}
		// 4711 (redis-server) T 1 …: the name may have spaces and brackets.
		if at := bytes.LastIndexByte(stat, ')'); at >= 0 && bytes.HasPrefix(stat[at:], []byte(") T")) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("redistest: process %d does not stop", p.Pid)
		}
	}
}

func resume(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

// unread reports whether something has arrived at c that nobody has read.
func unread(c *net.TCPConn) (yes bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) { // fails only if it is closed
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		yes = err == nil && n > 0
	})
	return yes
}

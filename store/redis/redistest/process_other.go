//go:build !linux

package redistest

import (
	"errors"
	"net"
	"os"
	"os/exec"
)

// start starts cmd. It outlives us if we are killed.
func start(cmd *exec.Cmd) error { return cmd.Start() }

func kill(p *os.Process) { _ = p.Kill() } // fails only if it has ended

// reserve returns a port that nobody listens on at the moment.
func reserve() (port int, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, err
	}
	return l.Addr().(*net.TCPAddr).Port, func() {}, l.Close()
}

var errPause = errors.New("redistest: processes are paused on Linux only")

func pause(*os.Process) error { return errPause }

func resume(*os.Process) error { return errPause }

// unread reports whether something has arrived at c that nobody has read: it is
// not known.
func unread(*net.TCPConn) bool { return false }

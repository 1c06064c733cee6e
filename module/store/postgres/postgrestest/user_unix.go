//go:build unix

package postgrestest

import (
	"errors"
	"os"
	"os/exec"
	osuser "os/user"
	"strconv"
	"syscall"
)

// serverUser returns how to run a program as the user of the server, which must not be root,
// and lets that user have the directory. Ctrl+C does not reach the program.
func serverUser(dir string) (as func(*exec.Cmd), err error) {
	if os.Getuid() != 0 {
		return func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := osuser.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
		return func(c *exec.Cmd) {
			c.Dir = dir
			c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		}, nil
	}
	return nil, errors.New("a server must not run as root, and there is neither the user postgres nor nobody")
}

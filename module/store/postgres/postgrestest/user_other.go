//go:build !unix

package postgrestest

import (
	"errors"
	"os/exec"
)

// serverUser refuses: the tests need a socket in a directory.
func serverUser(string) (as func(*exec.Cmd), err error) {
	return nil, errors.New("this system is not supported")
}

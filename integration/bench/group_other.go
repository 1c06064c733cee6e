//go:build !unix

package main

import "os/exec"

func inGroup(*exec.Cmd) {}

func stopGroup(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

package main

import (
	"io/fs"
	"os"
	"syscall"
)

// allocated returns how many bytes of the disk a file takes: Badger's files are
// sparse.
func allocated(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * 512
	}
	return info.Size()
}

// syncData writes a file's data to the disk.
func syncData(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

//go:build !linux

package main

import (
	"io/fs"
	"os"
)

// allocated returns how large a file is: how many bytes of the disk it takes is
// unknown here.
func allocated(info fs.FileInfo) int64 { return info.Size() }

// syncData writes a file's data to the disk.
func syncData(f *os.File) error { return f.Sync() }

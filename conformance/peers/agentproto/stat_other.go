//go:build !linux

package main

import (
	"os"
	"syscall"
)

// statOf describes a file as far as every system tells.
func statOf(info os.FileInfo) *Stat {
	return &Stat{
		Name:  info.Name(),
		Size:  info.Size(),
		Mode:  uint32(info.Mode()),
		Mtime: info.ModTime().UnixNano(),
		IsDir: info.IsDir(),
	}
}

// statFS is not there on this system.
func statFS(*FileServer, *FileOp, *FileResp) error { return syscall.ENOSYS }

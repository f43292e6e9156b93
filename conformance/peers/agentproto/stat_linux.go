package main

import (
	"os"
	"syscall"
)

// statOf describes a file; its mode is in Go's bits, never the system's.
func statOf(info os.FileInfo) *Stat {
	stat := &Stat{
		Name:  info.Name(),
		Size:  info.Size(),
		Mode:  uint32(info.Mode()),
		Mtime: info.ModTime().UnixNano(),
		IsDir: info.IsDir(),
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		stat.Atime, stat.Ctime = sys.Atim.Nano(), sys.Ctim.Nano()
		stat.UID, stat.GID = sys.Uid, sys.Gid
		stat.Links, stat.Device, stat.Block = uint32(sys.Nlink), uint32(sys.Rdev), uint32(sys.Blksize)
		stat.Blocks, stat.Ino = uint64(sys.Blocks), sys.Ino
	}
	return stat
}

// statFS describes the file system of a path.
func statFS(_ *FileServer, req *FileOp, resp *FileResp) error {
	var sys syscall.Statfs_t
	if err := syscall.Statfs(req.Path, &sys); err != nil {
		return err
	}
	resp.Statfs = &Statfs{
		Blocks:    sys.Blocks,
		Free:      sys.Bfree,
		Available: sys.Bavail,
		Files:     sys.Files,
		FreeFiles: sys.Ffree,
		Block:     uint32(sys.Bsize),
		Fragment:  uint32(sys.Frsize),
		NameMax:   uint32(sys.Namelen),
	}
	return nil
}

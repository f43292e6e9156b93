package main

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// fileOp does one operation: it fills the response, or fails.
type fileOp func(s *FileServer, req *FileOp, resp *FileResp) error

// fileOps are the operations by their numbers (section 8).
var fileOps = map[uint8]fileOp{
	1: func(s *FileServer, req *FileOp, resp *FileResp) error {
		return s.open(req.Path, os.O_RDONLY, 0, resp)
	},
	2: func(s *FileServer, req *FileOp, resp *FileResp) error {
		return s.open(req.Path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666, resp)
	},
	3: func(s *FileServer, req *FileOp, resp *FileResp) error {
		return s.open(req.Path, int(req.Flags), goMode(req.Mode), resp)
	},
	4:  closeFile,
	5:  readAt,
	6:  writeAt,
	7:  func(_ *FileServer, req *FileOp, resp *FileResp) error { return stat(os.Stat, req, resp) },
	8:  func(_ *FileServer, req *FileOp, resp *FileResp) error { return stat(os.Lstat, req, resp) },
	9:  readDir,
	10: func(_ *FileServer, req *FileOp, _ *FileResp) error { return os.Mkdir(req.Path, goMode(req.Mode)) },
	11: func(_ *FileServer, req *FileOp, _ *FileResp) error { return os.MkdirAll(req.Path, goMode(req.Mode)) },
	12: func(_ *FileServer, req *FileOp, _ *FileResp) error { return os.Remove(req.Path) },
	13: func(_ *FileServer, req *FileOp, _ *FileResp) error { return os.Rename(req.Path, req.New) },
	14: func(_ *FileServer, req *FileOp, _ *FileResp) error { return os.Chmod(req.Path, goMode(req.Mode)) },
	15: func(_ *FileServer, req *FileOp, _ *FileResp) error { return os.Truncate(req.Path, req.Size) },
	16: func(_ *FileServer, _ *FileOp, resp *FileResp) (err error) {
		resp.Path, err = os.Getwd()
		return err
	},
	17: func(s *FileServer, req *FileOp, _ *FileResp) error {
		return s.with(req, (*os.File).Sync)
	},
	18: func(_ *FileServer, req *FileOp, resp *FileResp) (err error) {
		resp.Path, err = os.Readlink(req.Path)
		return err
	},
	19: func(_ *FileServer, req *FileOp, _ *FileResp) error { return os.Symlink(req.Path, req.New) },
	20: func(_ *FileServer, req *FileOp, _ *FileResp) error { return os.Link(req.Path, req.New) },
	21: func(_ *FileServer, req *FileOp, _ *FileResp) error {
		return os.Chown(req.Path, int(int32(req.UID)), int(int32(req.GID)))
	},
	22: func(_ *FileServer, req *FileOp, _ *FileResp) error {
		return os.Chtimes(req.Path, time.Unix(0, req.Atime), time.Unix(0, req.Mtime))
	},
	23: statFS,
	24: func(s *FileServer, req *FileOp, resp *FileResp) error {
		return s.with(req, func(file *os.File) error {
			info, err := file.Stat()
			if err == nil {
				resp.Stat = statOf(info)
			}
			return err
		})
	},
	25: func(s *FileServer, req *FileOp, _ *FileResp) error {
		return s.with(req, func(file *os.File) error { return file.Truncate(req.Size) })
	},
}

// FileServer answers file requests, one after the other.
type FileServer struct {
	files map[uint32]*os.File
	last  uint32
}

// Handle answers one request.
func (s *FileServer) Handle(req *FileOp) *FileResp {
	resp := &FileResp{ID: req.ID}
	op := fileOps[req.Op]
	if op == nil {
		resp.Errno, resp.Message = uint32(syscall.ENOSYS), "unknown file op"
	} else if err := op(s, req, resp); err != nil {
		resp.Errno, resp.Message = errnoOf(err), err.Error()
	}
	return resp
}

// CloseAll closes every handle.
func (s *FileServer) CloseAll() {
	for _, file := range s.files {
		_ = file.Close()
	}
	s.files = nil
}

// open opens a file under the next number; 0 is none.
func (s *FileServer) open(path string, flags int, mode os.FileMode, resp *FileResp) error {
	file, err := os.OpenFile(path, flags, mode)
	if err != nil {
		return err
	}
	if s.last++; s.last == 0 {
		s.last = 1
	}
	s.files[s.last] = file
	resp.Handle = s.last
	return nil
}

func (s *FileServer) with(req *FileOp, do func(*os.File) error) error {
	file := s.files[req.Handle]
	if file == nil {
		return syscall.EBADF
	}
	return do(file)
}

func closeFile(s *FileServer, req *FileOp, _ *FileResp) error {
	return s.with(req, func(file *os.File) error {
		delete(s.files, req.Handle)
		return file.Close()
	})
}

func readAt(s *FileServer, req *FileOp, resp *FileResp) error {
	return s.with(req, func(file *os.File) error {
		if req.Size <= 0 {
			return nil
		}
		buf := make([]byte, req.Size)
		n, err := file.ReadAt(buf, req.Offset)
		if err != nil && err != io.EOF {
			return err
		}
		resp.Data, resp.Count, resp.EOF = buf[:n], int64(n), err == io.EOF
		return nil
	})
}

func writeAt(s *FileServer, req *FileOp, resp *FileResp) error {
	return s.with(req, func(file *os.File) error {
		if len(req.Data) == 0 {
			return nil
		}
		var n int
		var err error
		if req.Offset < 0 {
			n, err = file.Write(req.Data)
		} else {
			n, err = file.WriteAt(req.Data, req.Offset)
		}
		resp.Count = int64(n)
		return err
	})
}

func stat(call func(string) (os.FileInfo, error), req *FileOp, resp *FileResp) error {
	info, err := call(req.Path)
	if err == nil {
		resp.Stat = statOf(info)
	}
	return err
}

func readDir(_ *FileServer, req *FileOp, resp *FileResp) error {
	entries, err := os.ReadDir(req.Path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := os.Lstat(filepath.Join(req.Path, entry.Name()))
		if err != nil {
			return err
		}
		resp.Entries = append(resp.Entries, DirEntry{*statOf(info)})
	}
	return nil
}

// goMode keeps of a mode the permissions, and setuid, setgid and sticky in either notation.
func goMode(bits uint32) os.FileMode {
	mode := os.FileMode(bits) & (os.ModePerm | os.ModeSetuid | os.ModeSetgid | os.ModeSticky)
	for bit, to := range map[uint32]os.FileMode{
		0o4000: os.ModeSetuid, 0o2000: os.ModeSetgid, 0o1000: os.ModeSticky,
	} {
		if bits&bit != 0 {
			mode |= to
		}
	}
	return mode
}

// serveFiles answers requests, the first frame's included, until the input ends.
func serveFiles(conn *Conn, log *slog.Logger, frame Frame) int {
	server := &FileServer{files: map[uint32]*os.File{}}
	defer server.CloseAll()
	for {
		if frame.Type == typeExit {
			return 0
		}
		if frame.Type == typeFileOp && frame.FileOp != nil {
			_ = conn.Send(Frame{Type: typeFileResp, FileResp: server.Handle(frame.FileOp)})
		}
		var err error
		if frame, err = conn.Recv(); err != nil {
			if err != io.EOF {
				log.Warn("file-op read loop ended with error", "error", err)
			}
			return 0
		}
	}
}

// errnoOf is the number of the failed call, or the nearest one.
func errnoOf(err error) uint32 {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return uint32(errno)
	case errors.Is(err, fs.ErrNotExist):
		return uint32(syscall.ENOENT)
	case errors.Is(err, fs.ErrPermission):
		return uint32(syscall.EACCES)
	case errors.Is(err, fs.ErrExist):
		return uint32(syscall.EEXIST)
	case errors.Is(err, fs.ErrInvalid):
		return uint32(syscall.EINVAL)
	}
	return uint32(syscall.EIO)
}

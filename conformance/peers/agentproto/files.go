package main

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
)

// fileOp does one operation: it fills the response, or fails.
type fileOp func(s *FileServer, req *FileOp, resp *FileResp) error

// fileOps are the operations by their numbers (section 8). Those that are missing are refused, as
// unknown ones are.
var fileOps = map[uint8]fileOp{
	16: func(_ *FileServer, _ *FileOp, resp *FileResp) (err error) {
		resp.Path, err = os.Getwd()
		return err
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

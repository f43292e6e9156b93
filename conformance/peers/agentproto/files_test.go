package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const recordedRoot = "/srv/demo"

// demo makes the folder that the recorded file services worked in, and goes there.
func demo(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	file := filepath.Join(root, "a.txt")
	for _, err := range []error{
		os.WriteFile(file, []byte("abcdef"), 0o640),
		os.Chmod(file, 0o640),
		os.Mkdir(filepath.Join(root, "empty"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(root)
	return root
}

// stripped is what a response says whatever the machine, the time and the folder are.
func stripped(resp *FileResp, root string) FileResp {
	resp.Message = strings.ReplaceAll(resp.Message, root, recordedRoot)
	resp.Path = strings.ReplaceAll(resp.Path, root, recordedRoot)
	plain := func(s Stat) Stat { return Stat{Name: s.Name, Size: s.Size, Mode: s.Mode, IsDir: s.IsDir} }
	if resp.Stat != nil {
		stat := plain(*resp.Stat)
		resp.Stat = &stat
	}
	for n := range resp.Entries {
		stat := plain(resp.Entries[n].Stat)
		if stat.IsDir {
			stat.Size = 0
		}
		resp.Entries[n].Stat = stat
	}
	return *resp
}

func TestRecordedFileServicesAreAnsweredTheSame(t *testing.T) {
	syscall.Umask(0o022)
	type step struct {
		From string
		Hex  wireBytes
		End  bool
	}
	type vector struct {
		Name, Mode string
		Steps      []step
	}
	seen := 0
	for _, c := range load[vector](t, "transcripts.json") {
		if !strings.HasPrefix(c.Name, "fileop_") {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			root := demo(t)
			server := &FileServer{files: map[uint32]*os.File{}}
			defer server.CloseAll()
			answers := map[uint32]FileResp{}
			for _, s := range c.Steps {
				frame, err := NewConn(bytes.NewReader(s.Hex), nil).Recv()
				if err != nil {
					continue
				}
				if req := frame.FileOp; s.From == "local" && req != nil {
					req.Path = strings.ReplaceAll(req.Path, recordedRoot, root)
					req.New = strings.ReplaceAll(req.New, recordedRoot, root)
					answers[req.ID] = stripped(server.Handle(req), root)
				}
				if want := frame.FileResp; s.From == "agent" && want != nil {
					seen++
					got, gotErr := encMode.Marshal(answers[want.ID])
					expected, err := encMode.Marshal(stripped(want, root))
					if gotErr != nil || err != nil || !bytes.Equal(got, expected) {
						t.Errorf("request %d: %+v, not %+v", want.ID, answers[want.ID], *want)
					}
				}
			}
		})
	}
	if seen == 0 {
		t.Error("nothing was compared")
	}
}

func TestEveryOperationIsThere(t *testing.T) {
	for op := uint8(1); op <= 25; op++ {
		if fileOps[op] == nil {
			t.Errorf("operation %d is missing", op)
		}
	}
}

package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"

	"github.com/creack/pty"
	"github.com/hashicorp/yamux"
)

// The first byte of a message of a terminal stream.
const (
	messageBytes   = 0
	messageControl = 1
)

// resize is the only control message.
type resize struct {
	Type string `json:"type"`
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
}

// terminal is the shell that all terminal streams of an agent share, as in the original.
type terminal struct {
	lock  sync.Mutex
	shell *os.File
}

// open starts the shell unless it runs.
func (t *terminal) open() (*os.File, error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.shell != nil {
		return t.shell, nil
	}
	command := exec.Command("bash")
	command.Env = append(os.Environ(), "TERM=xterm-256color")
	shell, err := pty.StartWithSize(command, &pty.Winsize{Cols: 120, Rows: 40})
	if err != nil {
		return nil, err
	}
	t.shell = shell
	go func() {
		command.Wait()
		t.lock.Lock()
		t.shell = nil
		t.lock.Unlock()
	}()
	return shell, nil
}

// bridge copies both ways, and ends when both have ended: a shell that exits does not end the stream,
// and a stream that ends does not keep the shell's output from it. A message is what one read returns:
// where messages come together, or one is longer than the buffer, bytes are lost or kinds appear as
// text. All that is as in the original.
func (t *terminal) bridge(stream *yamux.Stream) {
	shell, err := t.open()
	if err != nil {
		return
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		show(shell, stream)
	}()
	buffer := make([]byte, 4096)
	for {
		n, err := stream.Read(buffer)
		if err != nil {
			break
		}
		if n > 0 && buffer[0] == messageControl {
			var size resize
			if json.Unmarshal(buffer[1:n], &size) == nil && size.Type == "resize" {
				pty.Setsize(shell, &pty.Winsize{Cols: size.Cols, Rows: size.Rows})
			}
		} else if n > 1 {
			shell.Write(buffer[1:n])
		}
	}
	<-shown
}

func show(shell io.Reader, stream io.Writer) {
	buffer := make([]byte, 1+4096)
	for {
		n, err := shell.Read(buffer[1:])
		if err != nil {
			return
		}
		buffer[0] = messageBytes
		if _, err := stream.Write(buffer[:1+n]); err != nil {
			return
		}
	}
}

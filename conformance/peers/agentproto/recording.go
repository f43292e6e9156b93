package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/user"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// The types of a record, and the directions of a frame in one: docs/protocols/agentproto.md,
// section 12.
const (
	recordHeader   = 1
	recordCmdStart = 2
	recordFrame    = 3
	recordCmdEnd   = 4
	recordFooter   = 5

	dirSent     = 1
	dirReceived = 2
)

// Record is one item of a recording. The keys of an earlier version are skipped as unknown.
type Record struct {
	Type     uint8          `cbor:"type"`
	Header   *SessionHeader `cbor:"header,omitempty"`
	CmdStart *CommandStart  `cbor:"cmd_start,omitempty"`
	Frame    *RecordedFrame `cbor:"frame,omitempty"`
	CmdEnd   *CommandEnd    `cbor:"cmd_end,omitempty"`
	Footer   *SessionFooter `cbor:"footer,omitempty"`
}

// SessionHeader says who recorded.
type SessionHeader struct {
	Version     string `cbor:"version"`
	StartTime   int64  `cbor:"start_time"`
	LocalUser   string `cbor:"local_user"`
	LocalPID    int    `cbor:"local_pid"`
	BackendType string `cbor:"backend_type,omitempty"`
	BackendAddr string `cbor:"backend_addr,omitempty"`
	AgentPath   string `cbor:"agent_path"`
}

// CommandStart begins a command.
type CommandStart struct {
	Seq       uint32 `cbor:"seq"`
	StartTime int64  `cbor:"start_time"`
	Exec      Exec   `cbor:"exec"`
}

// RecordedFrame is a frame as it was sent or received.
type RecordedFrame struct {
	Seq   uint32 `cbor:"seq"`
	Time  int64  `cbor:"ts"`
	Dir   uint8  `cbor:"dir"`
	Frame Frame  `cbor:"frame"`
}

// CommandEnd ends a command.
type CommandEnd struct {
	Seq      uint32 `cbor:"seq"`
	EndTime  int64  `cbor:"end_time"`
	ExitCode int    `cbor:"exit_code"`
}

// SessionFooter ends a recording.
type SessionFooter struct {
	EndTime      int64  `cbor:"end_time"`
	CommandCount uint32 `cbor:"command_count"`
}

// records decodes the recording on its input and writes every record again. It complains, with
// status 1, where the file is damaged, and where what it wrote is not what it read.
func records(r io.Reader, w io.Writer) int {
	var read bytes.Buffer
	var written bytes.Buffer
	decoder := cbor.NewDecoder(io.TeeReader(r, &read))
	out := io.MultiWriter(w, &written)
	for n := 0; ; n++ {
		var record Record
		err := decoder.Decode(&record)
		if err == io.EOF {
			break
		}
		if err != nil {
			return complain(1, "record %d: %v", n, err)
		}
		again, err := encMode.Marshal(record)
		if err != nil {
			return complain(1, "record %d: %v", n, err)
		}
		if _, err := out.Write(again); err != nil {
			return complain(1, "%v", err)
		}
	}
	if !bytes.Equal(read.Bytes(), written.Bytes()) {
		return complain(1, "the records written again are not the file")
	}
	return 0
}

// recorder writes the recording of one command. A nil one writes nothing; a failure is complained
// about once, at the end.
type recorder struct {
	mu  sync.Mutex
	w   *bufio.Writer
	out io.Closer
	err error
}

func newRecorder(path string) (*recorder, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	name := ""
	if me, err := user.Current(); err == nil {
		name = me.Username
	}
	r := &recorder{w: bufio.NewWriter(file), out: file}
	r.write(Record{Type: recordHeader, Header: &SessionHeader{
		Version: "go peer", StartTime: now(), LocalUser: name, LocalPID: os.Getpid(),
		BackendType: "process", AgentPath: "agent",
	}})
	return r, nil
}

func now() int64 { return time.Now().UnixNano() }

func (r *recorder) write(record Record) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	bytes, err := encMode.Marshal(record)
	if err == nil {
		_, err = r.w.Write(bytes)
	}
	if r.err == nil {
		r.err = err
	}
}

func (r *recorder) start(x *Exec) {
	r.write(Record{Type: recordCmdStart, CmdStart: &CommandStart{StartTime: now(), Exec: *x}})
}

func (r *recorder) frame(dir uint8, frame Frame) {
	r.write(Record{Type: recordFrame, Frame: &RecordedFrame{Time: now(), Dir: dir, Frame: frame}})
}

func (r *recorder) end(code int) {
	r.write(Record{Type: recordCmdEnd, CmdEnd: &CommandEnd{EndTime: now(), ExitCode: code}})
	r.write(Record{Type: recordFooter, Footer: &SessionFooter{EndTime: now(), CommandCount: 1}})
	if r == nil {
		return
	}
	err := r.w.Flush()
	if r.err == nil {
		r.err = err
	}
	if err := r.out.Close(); r.err == nil {
		r.err = err
	}
	if r.err != nil {
		fmt.Fprintln(os.Stderr, "agentproto: the recording failed:", r.err)
	}
}

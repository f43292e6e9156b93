package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
)

// child is a command with the agent's ends of its streams.
type child struct {
	cmd     *exec.Cmd
	inputs  map[uint32]io.WriteCloser
	outputs map[uint32]io.Reader
	// theirs are the child's own ends, closed here once it has started.
	theirs []io.Closer
}

// serveExec runs a command; afterExit runs when its Exit is sent (section 6, from step 4).
func serveExec(conn *Conn, log *slog.Logger, x *Exec, config *Config, afterExit func()) int {
	if config != nil {
		x.Env = filterEnv(x.Env, config)
	}
	trace(log, "building command", "path", x.Path, "argv", x.Argv, "cwd", x.Cwd)
	c, err := build(x)
	if err != nil {
		log.Error("build command failed", "error", err)
		_ = conn.Send(Frame{Type: typeExit, Code: 127, Error: err.Error()})
		return 127
	}
	err = c.cmd.Start()
	for _, end := range c.theirs {
		end.Close()
	}
	if err != nil {
		log.Info("start command failed", "error", err)
		_ = conn.Send(Frame{Type: typeExit, Code: 127, Error: err.Error()})
		drain(conn)
		return 0
	}
	trace(log, "child started", "pid", c.cmd.Process.Pid)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		c.readLoop(conn, log)
	}()
	var outputs sync.WaitGroup
	for stream, output := range c.outputs {
		outputs.Go(func() { _ = conn.Copy(stream, output) })
	}
	// The code is in the state; the error would only say that it is not 0.
	_ = c.cmd.Wait()
	code := exitCode(c.cmd.ProcessState)
	log.Debug("child exited", "code", code)
	// Whoever still holds an output delays the Exit (hazard H9).
	outputs.Wait()
	_ = conn.Send(Frame{Type: typeExit, Code: code})
	afterExit()
	// The local side leaves first (hazard H10).
	<-reading
	return 0
}

// build makes the command and its pipes. The child's argv[0] is always the path (hazard H14), and
// a path without a slash is searched in the agent's own PATH (hazard H15).
func build(x *Exec) (*child, error) {
	var args []string
	if len(x.Argv) > 1 {
		args = x.Argv[1:]
	}
	cmd := exec.Command(x.Path, args...)
	cmd.Dir = x.Cwd
	// nil is the agent's own environment, an empty list is none (hazard H4).
	cmd.Env = x.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: sudoUser()}
	c := &child{cmd: cmd, inputs: map[uint32]io.WriteCloser{}, outputs: map[uint32]io.Reader{}}
	stdin, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdin, c.inputs[0] = stdin, ours
	c.theirs = append(c.theirs, stdin)
	for stream, end := range map[uint32]*io.Writer{1: &cmd.Stdout, 2: &cmd.Stderr} {
		ours, theirs, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		*end, c.outputs[stream] = theirs, ours
		c.theirs = append(c.theirs, theirs)
	}
	for _, fd := range x.Fds {
		if err := c.addSocket(fd); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// addSocket gives the child one end of a socket pair under a number from 3 up.
//
// The agent's end is a blocking one: closing it does nothing while it is being read, so that the end
// of such a stream is not passed on (hazard H7). The child's end stays open in the child under its
// first number as well (hazard H25). Both are the reference's ways.
func (c *child) addSocket(fd uint32) error {
	if fd < 3 || fd > 255 || c.inputs[fd] != nil {
		return fmt.Errorf("extra descriptor %d cannot be passed", fd)
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	syscall.CloseOnExec(pair[0])
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	for len(c.cmd.ExtraFiles) <= int(fd)-3 {
		c.cmd.ExtraFiles = append(c.cmd.ExtraFiles, nil)
	}
	c.cmd.ExtraFiles[fd-3] = theirs
	c.inputs[fd], c.outputs[fd] = ours, ours
	c.theirs = append(c.theirs, theirs)
	return nil
}

// sudoUser is the user behind sudo, to whom the command belongs; nil without sudo.
func sudoUser() *syscall.Credential {
	uid, err := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 32)
	if err != nil {
		return nil
	}
	gid, err := strconv.ParseUint(os.Getenv("SUDO_GID"), 10, 32)
	if err != nil {
		gid = uid
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// readLoop passes on what the local side sends, one frame after the other: an input that is not read
// stops everything behind it (hazard H6). When the link is lost, inputs stay open (hazard H8).
func (c *child) readLoop(conn *Conn, log *slog.Logger) {
	for {
		frame, err := conn.Recv()
		if err != nil {
			if err != io.EOF {
				log.Warn("mux read loop ended with error", "error", err)
			}
			return
		}
		switch frame.Type {
		case typeData:
			if input := c.inputs[frame.Stream]; input != nil && len(frame.Data) > 0 {
				_, _ = input.Write(frame.Data)
			}
		case typeEOF:
			if input := c.inputs[frame.Stream]; input != nil {
				_ = input.Close()
			}
		case typeSignal:
			c.signal(log, syscall.Signal(frame.Signal))
		case typeExit:
			return
		}
	}
}

func (c *child) signal(log *slog.Logger, signal syscall.Signal) {
	trace(log, "forwarding signal to child", "signal", int(signal))
	pid := c.cmd.Process.Pid
	err := syscall.Kill(-pid, signal)
	if errors.Is(err, syscall.ESRCH) {
		err = syscall.Kill(pid, signal)
	}
	if err != nil {
		log.Warn("failed to send signal to child group", "error", err)
	}
}

// exitCode is the status, or 128 and the signal that killed the child.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// drain reads to the end of the local side's direction.
func drain(conn *Conn) {
	for {
		if _, err := conn.Recv(); err != nil {
			return
		}
	}
}

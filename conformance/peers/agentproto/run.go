package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// lostStatus is what a runner ends with when no Exit came, as the reference's does.
const lostStatus = 127

// forwarded are the signals that reach the command instead of the runner.
var forwarded = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// link is an agent's process and the frames to and from it.
type link struct {
	*Conn
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
}

// startAgent starts an agent by its command line. Its stderr is ours.
func startAgent(argv []string) (*link, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	// A group of its own: what a terminal signals reaches the command once, through the agent.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &link{NewConn(stdout, stdin), cmd, stdin, stdout}, nil
}

// close ends the runner's direction and waits for the agent, whatever it still says (section 6,
// hazards H10 and H11).
func (l *link) close() error {
	_ = l.stdin.Close()
	_, _ = io.Copy(io.Discard, l.stdout)
	return l.cmd.Wait()
}

// run runs a command on an agent and gives what to exit with.
func run(agent []string, config *Config, x *Exec, record string, logLevel int) int {
	var rec *recorder
	if record != "" {
		var err error
		if rec, err = newRecorder(record); err != nil {
			return complain(lostStatus, "%v", err)
		}
	}
	l, err := startAgent(agent)
	if err != nil {
		return complain(lostStatus, "the agent cannot be started: %v", err)
	}
	rec.start(x)
	if rec != nil {
		l.tap = rec.frame
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded...)
	if config != nil {
		_ = l.Send(Frame{Type: typeConfig, Config: config})
	}
	// An agent that is gone is told by the end of what it says.
	_ = l.Send(Frame{Type: typeExec, Exec: x})
	go func() {
		for s := range signals {
			if number, ok := s.(syscall.Signal); ok {
				_ = l.Send(Frame{Type: typeSignal, Signal: int(number)})
			}
		}
	}()
	streams := map[uint32]*os.File{1: os.Stdout, 2: os.Stderr}
	inputs := map[uint32]*os.File{0: os.Stdin}
	for _, fd := range x.Fds {
		file := os.NewFile(uintptr(fd), fmt.Sprint("descriptor ", fd))
		streams[fd] = file
		// One that is open for writing only is not ended: that would end its other direction too,
		// at an agent like ours (hazard H7).
		if isReadable(fd) {
			inputs[fd] = file
		}
	}
	for stream, file := range inputs {
		go func() {
			if err := l.Copy(stream, file); err != nil {
				complain(0, "the command saw an end where reading stream %d failed: %v", stream, err)
			}
		}()
	}
	exit, err := l.readLoop(streams, logLevel)
	signal.Stop(signals)
	agentErr := l.close()
	if err != nil {
		rec.end(-1)
		return complain(lostStatus, "no exit from the agent: %v (it ended with: %v)", err, agentErr)
	}
	rec.end(exit.Code)
	if exit.Error != "" {
		complain(0, "%s", exit.Error)
	}
	if exit.Code < 0 || exit.Code > 255 {
		return complain(255, "the agent reported exit code %d", exit.Code)
	}
	return exit.Code
}

// readLoop takes frames until the Exit, which it gives. Without one there is an error, never a code.
func (l *link) readLoop(streams map[uint32]*os.File, logLevel int) (Frame, error) {
	for {
		frame, err := l.Recv()
		if err != nil {
			return Frame{}, err
		}
		switch frame.Type {
		case typeExit:
			return frame, nil
		case typeLog:
			show(frame.Log, logLevel)
		case typeData:
			if file := streams[frame.Stream]; file != nil && len(frame.Data) > 0 {
				if _, err := file.Write(frame.Data); err != nil {
					complain(0, "stream %d: %v", frame.Stream, err)
					streams[frame.Stream] = nil
				}
			}
		case typeEOF:
			// Somebody may wait for the end of stdout, as behind any command.
			if file := streams[frame.Stream]; file != nil && frame.Stream == 1 {
				_ = file.Close()
			}
		}
	}
}

// isInherited tells whether a descriptor is open and came from whoever started this process.
func isInherited(fd uint32) bool {
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
	return errno == 0 && flags&syscall.FD_CLOEXEC == 0
}

func isReadable(fd uint32) bool {
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
	return errno == 0 && flags&syscall.O_ACCMODE != syscall.O_WRONLY
}

// paths asks an agent for its programs and prints one path a line (section 7).
func paths(agent []string, dirs []string, logLevel int) int {
	l, err := startAgent(agent)
	if err != nil {
		return complain(lostStatus, "the agent cannot be started: %v", err)
	}
	query := &PathQuery{Paths: dirs}
	_ = l.Send(Frame{Type: typePathQuery, Query: query})
	entries, err := l.awaitInfo(logLevel)
	agentErr := l.close()
	if err != nil {
		return complain(lostStatus, "no answer from the agent: %v (it ended with: %v)", err, agentErr)
	}
	for _, entry := range entries {
		if _, err := fmt.Printf("%s %03o %d %d\n", entry.Path, entry.Mode, entry.Size, entry.Mtime); err != nil {
			return complain(1, "%v", err)
		}
	}
	return 0
}

func (l *link) awaitInfo(logLevel int) ([]PathInfoEntry, error) {
	for {
		frame, err := l.Recv()
		if err != nil {
			return nil, err
		}
		switch frame.Type {
		case typePathInfo:
			if frame.Info == nil {
				return nil, nil
			}
			return frame.Info.Entries, nil
		case typeLog:
			show(frame.Log, logLevel)
		case typeError:
			return nil, errors.New("agent error: " + frame.Error)
		default:
			complain(0, "unexpected frame of type %d", frame.Type)
		}
	}
}

// show prints a log record on stderr.
func show(log *Log, lowest int) {
	if log == nil || log.Level < lowest {
		return
	}
	fmt.Fprintf(os.Stderr, "agent: level %d: %q %q\n", log.Level, log.Message, log.Attrs)
}

// complain says a line on stderr and gives the code back.
func complain(code int, format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "agentproto: "+format+"\n", args...)
	return code
}

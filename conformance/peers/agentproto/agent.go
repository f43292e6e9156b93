package main

import (
	"fmt"
	"io"
	"log/slog"
)

// Mischief is what an agent does beyond the reference, to try the other side. Its zero value is none.
type Mischief struct {
	// Chatter is how many log records it says before it starts a command.
	Chatter int
	// AfterExit makes it go on after the Exit: a log record, data, another Exit, and bytes that are
	// no frame at all.
	AfterExit bool
}

// serve answers one session and gives the agent's exit status (section 6, from step 1).
func serve(r io.Reader, w io.Writer, mischief Mischief) int {
	conn := NewConn(r, w)
	log := slog.New(&LogHandler{conn: conn})
	frame, err := conn.Recv()
	var config *Config
	if err == nil && frame.Type == typeConfig && frame.Config != nil {
		config = frame.Config
		trace(log, "received agent config",
			"env_keep", len(config.EnvKeep), "env_remove", len(config.EnvRemove))
		frame, err = conn.Recv()
	}
	if err != nil {
		log.Error("reading initial frame failed", "error", err)
		return 127
	}
	switch {
	case frame.Type == typePathQuery:
		return servePrograms(conn, log, frame.Query)
	case frame.Type == typeFileOp:
		return serveFiles(conn, log, frame)
	case frame.Type == typeExec && frame.Exec != nil:
		for n := range mischief.Chatter {
			log.Info("chatter", "n", n)
		}
		status := serveExec(conn, log, frame.Exec, config, func() {
			if mischief.AfterExit {
				goOn(conn, log, w)
			}
		})
		return status
	}
	log.Error("expected exec, path-query or file-op frame", "type", frame.Type)
	return 127
}

// servePrograms answers a PATH query; a query that is not there is an empty one (section 7).
func servePrograms(conn *Conn, log *slog.Logger, query *PathQuery) int {
	var dirs []string
	if query != nil {
		dirs = query.Paths
	}
	entries := listPrograms(dirs)
	trace(log, "path enumeration complete", "count", len(entries))
	if err := conn.Send(Frame{Type: typePathInfo, Info: &PathInfo{Entries: entries}}); err != nil {
		return 1
	}
	return 0
}

// goOn says what nobody may listen to any more (hazard H11).
func goOn(conn *Conn, log *slog.Logger, w io.Writer) {
	log.Error("said after the exit")
	_ = conn.Send(Frame{Type: typeData, Stream: 1, Data: []byte("written after the exit\n")})
	_ = conn.Send(Frame{Type: typeExit, Code: 99, Error: "another exit"})
	fmt.Fprint(w, "no frame at all")
}

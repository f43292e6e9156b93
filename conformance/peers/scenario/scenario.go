// Package scenario is what the Go peers of the multiplexers share: the command line, the bytes and the
// scenarios that ../README.md describes. A peer supplies a Wire and calls Main.
package scenario

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// Stream is one stream. Close ends it as the implementation does, in one direction or in both.
type Stream io.ReadWriteCloser

// Session is one connection of an implementation.
type Session interface {
	// Open opens a stream; the error is ErrRefused when the peer takes no more of them.
	Open() (Stream, error)
	// Accept waits for a stream of the peer; it fails when the connection has ended.
	Accept() (Stream, error)
	// Ping asks n pings, or waits until n keep-alive frames have come, and says what it saw.
	Ping(n int) (string, error)
	// GoAway says that no more streams are taken.
	GoAway() error
	// CloseWrite finishes writing on a stream and leaves its reading alone.
	CloseWrite(Stream) error
	// Close ends the connection.
	Close() error
}

// Wire is an implementation of one or more wires.
type Wire struct {
	// Name is how people call it, and Module what tells its version.
	Name, Module string
	// Version overrides what the build says about Module.
	Version string
	// Wires are the values of --wire that it speaks.
	Wires []string
	// Impossible are the scenarios that it cannot play.
	Impossible []string
	// Start makes a session over a connection.
	Start func(Options, net.Conn) (Session, error)
}

// ErrRefused is the error of an Open after the peer's go-away.
var ErrRefused = errors.New("the peer takes no more streams")

// Options are the command line.
type Options struct {
	Wire, Role, Address, Scenario string
	Streams, Pings, IntervalMs    int
	Bytes, After                  int64
	Confirm, Client               bool
	Timeout                       int
}

type result struct {
	Scenario string `json:"scenario"`
	Role     string `json:"role"`
	Outcome  string `json:"outcome"`
	Streams  int64  `json:"streams"`
	Sent     int64  `json:"sent"`
	Received int64  `json:"received"`
	Millis   int64  `json:"millis"`
	Detail   string `json:"detail"`
}

// run is one scenario under way.
type run struct {
	Options
	session                 Session
	began                   time.Time
	streams, sent, received atomic.Int64
	phase                   atomic.Value
	outcome                 string
	detail                  string
	told                    atomic.Bool
}

// Main runs a peer to its end and exits.
func Main(wire Wire) {
	flags := flag.NewFlagSet(wire.Name, flag.ExitOnError)
	r := &run{outcome: "done"}
	about := flags.Bool("about", false, "print name, version and wires, and end")
	flags.StringVar(&r.Wire, "wire", "", "the wire")
	flags.StringVar(&r.Role, "role", "", "server or client")
	flags.StringVar(&r.Address, "address", "", "HOST:PORT to listen at or to dial")
	flags.StringVar(&r.Scenario, "scenario", "", "what to play")
	flags.IntVar(&r.Streams, "streams", 16, "how many streams")
	flags.Int64Var(&r.Bytes, "bytes", 1<<20, "how many bytes in each direction")
	flags.Int64Var(&r.After, "after", 0, "how many bytes to die after")
	flags.IntVar(&r.Pings, "pings", 5, "how many pings")
	flags.IntVar(&r.IntervalMs, "interval-ms", 0, "the keep-alive interval")
	flags.BoolVar(&r.Confirm, "confirm", false, "finish the answer only when it was confirmed")
	flags.IntVar(&r.Timeout, "timeout", 60, "seconds to give up after")
	_ = flags.Parse(os.Args[1:])
	if *about {
		version := wire.Version
		if version == "" {
			version = moduleVersion(wire.Module)
		}
		line, _ := json.Marshal(map[string]any{"name": wire.Name, "version": version, "wires": wire.Wires})
		fmt.Println(string(line))
		return
	}
	r.Client = r.Role == "client"
	play := scenarios[r.Scenario]
	if flags.NArg() > 0 || play == nil || !slices.Contains(wire.Wires, r.Wire) || !r.Client && r.Role != "server" {
		fmt.Fprintf(os.Stderr, "bad usage: %q\n", os.Args[1:])
		os.Exit(2)
	}
	r.began = time.Now()
	if slices.Contains(wire.Impossible, r.Scenario) {
		r.tell("impossible", wire.Name+" has no such thing", 4)
	}
	r.phase.Store("connecting")
	time.AfterFunc(time.Duration(r.Timeout)*time.Second, func() {
		r.tell("timeout", r.phase.Load().(string), 3)
	})
	if err := r.play(wire, play); err != nil {
		r.tell("failed", fmt.Sprintf("%s: %v", r.phase.Load(), err), 1)
	}
	r.tell(r.outcome, r.detail, 0)
}

func (r *run) play(wire Wire, play func(*run) error) error {
	conn, err := r.connect()
	if err != nil {
		return err
	}
	r.at("the start of the session")
	if r.session, err = wire.Start(r.Options, conn); err != nil {
		return err
	}
	return play(r)
}

func (r *run) connect() (net.Conn, error) {
	if r.Client {
		return net.Dial("tcp", r.Address)
	}
	listener, err := net.Listen("tcp", r.Address)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	line, _ := json.Marshal(map[string]string{"listening": listener.Addr().String()})
	fmt.Println(string(line))
	return listener.Accept()
}

// at says which phase begins.
func (r *run) at(phase string) { r.phase.Store(phase) }

// tell prints the last line and ends the process; the first who tells wins.
func (r *run) tell(outcome, detail string, code int) {
	if !r.told.CompareAndSwap(false, true) {
		select {}
	}
	line, _ := json.Marshal(result{
		Scenario: r.Scenario, Role: r.Role, Outcome: outcome, Detail: detail,
		Streams: r.streams.Load(), Sent: r.sent.Load(), Received: r.received.Load(),
		Millis: time.Since(r.began).Milliseconds(),
	})
	fmt.Println(string(line))
	os.Exit(code)
}

// moduleVersion is the version of a module as it was built in.
func moduleVersion(module string) string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return dependency.Version
			}
		}
	}
	return "unknown"
}

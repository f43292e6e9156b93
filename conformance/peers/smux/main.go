// A peer over xtaci/smux, its newest release or, with -old as the first argument, v1.5.15; what it does
// stands in ../README.md.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/trunkline/trunkline/conformance/peers/scenario"
	"github.com/xtaci/smux"
	old "old/smux"
)

var errNone = errors.New("smux has no such thing")

// inner is what both releases offer, each with its own type of stream.
type inner[S scenario.Stream] interface {
	OpenStream() (S, error)
	AcceptStream() (S, error)
	Close() error
}

type session[S scenario.Stream] struct {
	inner[S]
	noted *noted
}

func main() {
	wire := scenario.Wire{
		Name:       "xtaci/smux",
		Module:     "github.com/xtaci/smux",
		Wires:      []string{"smux1", "smux2"},
		Impossible: []string{"go-away"},
		Start:      newest,
	}
	if len(os.Args) > 1 && os.Args[1] == "-old" {
		os.Args = append(os.Args[:1], os.Args[2:]...)
		wire.Version = "v1.5.15"
		wire.Impossible = append(wire.Impossible, "half-close")
		wire.Start = oldest
	}
	scenario.Main(wire)
}

func newest(options scenario.Options, conn net.Conn) (scenario.Session, error) {
	config := smux.DefaultConfig()
	if options.Wire == "smux2" {
		config.Version = 2
	}
	if options.IntervalMs > 0 {
		config.KeepAliveInterval = time.Duration(options.IntervalMs) * time.Millisecond
	}
	start := smux.Server
	if options.Client {
		start = smux.Client
	}
	conn, noted := note(options, conn)
	inner, err := start(conn, config)
	return session[*smux.Stream]{inner, noted}, err
}

func oldest(options scenario.Options, conn net.Conn) (scenario.Session, error) {
	config := old.DefaultConfig()
	if options.Wire == "smux2" {
		config.Version = 2
	}
	if options.IntervalMs > 0 {
		config.KeepAliveInterval = time.Duration(options.IntervalMs) * time.Millisecond
	}
	start := old.Server
	if options.Client {
		start = old.Client
	}
	conn, noted := note(options, conn)
	inner, err := start(conn, config)
	return session[*old.Stream]{inner, noted}, err
}

func (s session[S]) Open() (scenario.Stream, error) { return s.OpenStream() }

func (s session[S]) Accept() (scenario.Stream, error) { return s.AcceptStream() }

func (s session[S]) GoAway() error { return errNone }

func (s session[S]) CloseWrite(stream scenario.Stream) error {
	half, can := stream.(interface{ CloseWrite() error })
	if !can {
		return errNone
	}
	return half.CloseWrite()
}

// Ping waits for keep-alive frames of the other side: this wire has no others.
func (s session[S]) Ping(n int) (string, error) {
	began := time.Now()
	for range n {
		if _, more := <-s.noted.nops; !more {
			return "", errors.New("the connection ended before the keep-alive frames came")
		}
	}
	return fmt.Sprintf("%d keep-alive frames in %v", n, time.Since(began).Round(time.Millisecond)), nil
}

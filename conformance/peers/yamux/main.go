// A peer over hashicorp/yamux; what it does stands in ../README.md.
package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/yamux"
	"github.com/trunkline/trunkline/conformance/peers/scenario"
)

type session struct{ *yamux.Session }

func main() {
	scenario.Main(scenario.Wire{
		Name:   "hashicorp/yamux",
		Module: "github.com/hashicorp/yamux",
		Wires:  []string{"yamux"},
		Start: func(options scenario.Options, conn net.Conn) (scenario.Session, error) {
			start := yamux.Server
			if options.Client {
				start = yamux.Client
			}
			inner, err := start(conn, nil)
			return session{inner}, err
		},
	})
}

func (s session) Open() (scenario.Stream, error) {
	stream, err := s.OpenStream()
	if errors.Is(err, yamux.ErrRemoteGoAway) {
		err = scenario.ErrRefused
	}
	return stream, err
}

func (s session) Accept() (scenario.Stream, error) { return s.AcceptStream() }

func (s session) Ping(n int) (string, error) {
	shortest := time.Hour
	for range n {
		took, err := s.Session.Ping()
		if err != nil {
			return "", err
		}
		shortest = min(shortest, took)
	}
	return fmt.Sprintf("%d pings, the fastest in %v", n, shortest), nil
}

// CloseWrite is what this implementation calls Close: a stream is read on after it.
func (s session) CloseWrite(stream scenario.Stream) error { return stream.Close() }

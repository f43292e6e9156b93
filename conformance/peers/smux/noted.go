package main

import (
	"encoding/binary"
	"net"

	"github.com/trunkline/trunkline/conformance/peers/scenario"
)

const (
	head = 8
	nop  = 3
)

// noted is a connection that notes each keep-alive frame that is read from it.
type noted struct {
	net.Conn
	nops   chan struct{}
	held   []byte
	toSkip int
	ended  bool
}

// note wraps a connection where keep-alive frames are to be counted, and leaves it alone elsewhere.
func note(options scenario.Options, conn net.Conn) (net.Conn, *noted) {
	if options.Scenario != "ping" {
		return conn, nil
	}
	wrapped := &noted{Conn: conn, nops: make(chan struct{}, 1<<16)}
	return wrapped, wrapped
}

func (c *noted) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	for rest := into[:n]; len(rest) > 0; {
		if c.toSkip > 0 {
			skipped := min(c.toSkip, len(rest))
			c.toSkip -= skipped
			rest = rest[skipped:]
			continue
		}
		taken := min(head-len(c.held), len(rest))
		c.held = append(c.held, rest[:taken]...)
		rest = rest[taken:]
		if len(c.held) == head {
			if c.held[1] == nop {
				c.nops <- struct{}{}
			}
			c.toSkip = int(binary.LittleEndian.Uint16(c.held[2:]))
			c.held = c.held[:0]
		}
	}
	if err != nil && !c.ended {
		c.ended = true
		close(c.nops)
	}
	return n, err
}

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/yamux"
	"github.com/xtaci/smux"
)

// A mux is one end of a multiplexed connection.
type mux interface {
	open() (io.ReadWriteCloser, error)
	accept() (io.ReadWriteCloser, error)
}

// Calls of all transports of this process.
var writes, reads, written atomic.Int64

// counted is a TCP connection whose calls are counted; vectored writes stay vectored.
type counted struct{ *net.TCPConn }

func (c counted) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	reads.Add(1)
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	writes.Add(1)
	written.Add(int64(n))
	return n, err
}

// WriteBuffers is what xtaci/smux looks for before it copies header and payload together.
func (c counted) WriteBuffers(v [][]byte) (int, error) {
	buffers := net.Buffers(v)
	n, err := buffers.WriteTo(c.TCPConn)
	writes.Add(1)
	written.Add(n)
	return int(n), err
}

// address is this process's own, so that what one leaves in TIME_WAIT takes no port from the next.
func address() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.2.%d.%d:0", pid>>8&255, pid&255)
}

func connected() (net.Conn, net.Conn, error) {
	listener, err := net.Listen("tcp", address())
	if err != nil {
		return nil, nil, err
	}
	one, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	other, err := listener.Accept()
	if err != nil {
		return nil, nil, err
	}
	return counted{one.(*net.TCPConn)}, counted{other.(*net.TCPConn)}, nil
}

func pair(subject, scenario string) (mux, mux, error) {
	if subject == "go raw" {
		listener, err := net.Listen("tcp", address())
		return bare{listener}, bare{listener}, err
	}
	one, other, err := connected()
	if err != nil {
		return nil, nil, err
	}
	switch subject {
	case "go yamux":
		config := yamux.DefaultConfig()
		config.EnableKeepAlive = false
		config.LogOutput = io.Discard
		if strings.HasSuffix(scenario, "10k") {
			config.AcceptBacklog = 20000
		}
		client, err := yamux.Client(one, config)
		if err != nil {
			return nil, nil, err
		}
		server, err := yamux.Server(other, config)
		return overYamux{client}, overYamux{server}, err
	case "go smux v1", "go smux v2":
		config := smux.DefaultConfig()
		config.KeepAliveDisabled = true
		config.Version = int(subject[len(subject)-1] - '0')
		client, err := smux.Client(one, config)
		if err != nil {
			return nil, nil, err
		}
		server, err := smux.Server(other, config)
		return overSmux{client}, overSmux{server}, err
	}
	return nil, nil, fmt.Errorf("no subject %q", subject)
}

type bare struct{ listener net.Listener }

func (b bare) open() (io.ReadWriteCloser, error) {
	conn, err := net.Dial("tcp", b.listener.Addr().String())
	if err != nil {
		return nil, err
	}
	return counted{conn.(*net.TCPConn)}, nil
}

func (b bare) accept() (io.ReadWriteCloser, error) {
	conn, err := b.listener.Accept()
	if err != nil {
		return nil, err
	}
	return counted{conn.(*net.TCPConn)}, nil
}

type overYamux struct{ session *yamux.Session }

func (o overYamux) open() (io.ReadWriteCloser, error)   { return o.session.OpenStream() }
func (o overYamux) accept() (io.ReadWriteCloser, error) { return o.session.AcceptStream() }

type overSmux struct{ session *smux.Session }

func (o overSmux) open() (io.ReadWriteCloser, error)   { return o.session.OpenStream() }
func (o overSmux) accept() (io.ReadWriteCloser, error) { return o.session.AcceptStream() }

package main

import (
	"context"
	"net"
	"sync"
	"time"

	"nhooyr.io/websocket"
)

// carrier makes a byte stream of a WebSocket's messages: each write is one binary message, and a
// reader sees no boundaries.
type carrier struct {
	ws      *websocket.Conn
	context context.Context
	cancel  context.CancelFunc
	reading sync.Mutex
	rest    []byte
}

func newCarrier(ctx context.Context, ws *websocket.Conn) *carrier {
	ws.SetReadLimit(-1)
	ctx, cancel := context.WithCancel(ctx)
	return &carrier{ws: ws, context: ctx, cancel: cancel}
}

func (c *carrier) Read(into []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for len(c.rest) == 0 {
		_, message, err := c.ws.Read(c.context)
		if err != nil {
			return 0, err
		}
		c.rest = message
	}
	n := copy(into, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *carrier) Write(bytes []byte) (int, error) {
	if err := c.ws.Write(c.context, websocket.MessageBinary, bytes); err != nil {
		return 0, err
	}
	return len(bytes), nil
}

// Close cancels the pending read first, by which the connection drops before a close frame can be
// sent. That is what the original does, in every run that was looked at.
func (c *carrier) Close() error {
	c.cancel()
	return c.ws.Close(websocket.StatusNormalClosure, "")
}

// ping keeps the connection in use, from the server's side; without an answer it ends.
func (c *carrier) ping(every, answer time.Duration) {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-c.context.Done():
			return
		case <-ticks.C:
		}
		ctx, cancel := context.WithTimeout(c.context, answer)
		err := c.ws.Ping(ctx)
		cancel()
		if err != nil {
			c.Close()
			return
		}
	}
}

type address struct{}

func (address) Network() string { return "websocket" }
func (address) String() string  { return "websocket" }

func (c *carrier) LocalAddr() net.Addr              { return address{} }
func (c *carrier) RemoteAddr() net.Addr             { return address{} }
func (c *carrier) SetDeadline(time.Time) error      { return nil }
func (c *carrier) SetReadDeadline(time.Time) error  { return nil }
func (c *carrier) SetWriteDeadline(time.Time) error { return nil }

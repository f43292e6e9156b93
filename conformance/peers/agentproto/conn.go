package main

import (
	"io"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// pieceSize is how much of a stream goes into one frame at most.
const pieceSize = 32768

// encMode writes canonical CBOR: shorter keys first, shortest heads (section 2).
var encMode = func() cbor.EncMode {
	mode, err := cbor.CanonicalEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// Conn sends and receives frames. Any number of goroutines may send, one may receive.
type Conn struct {
	decoder *cbor.Decoder

	// tap sees every frame, before it is sent or once it was received, when there is one.
	tap func(dir uint8, frame Frame)

	mu sync.Mutex
	w  io.Writer
}

// NewConn makes a Conn of two directions of bytes.
func NewConn(r io.Reader, w io.Writer) *Conn {
	return &Conn{decoder: cbor.NewDecoder(r), w: w}
}

// Recv returns the next frame: io.EOF at an end between two frames, io.ErrUnexpectedEOF at one
// within a frame.
func (c *Conn) Recv() (Frame, error) {
	var frame Frame
	err := c.decoder.Decode(&frame)
	if err == nil && c.tap != nil {
		c.tap(dirReceived, frame)
	}
	return frame, err
}

// Send writes one whole frame.
func (c *Conn) Send(frame Frame) error {
	bytes, err := encMode.Marshal(frame)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tap != nil {
		c.tap(dirSent, frame)
	}
	_, err = c.w.Write(bytes)
	return err
}

// Copy sends everything that a reader has as data of a stream, and then the stream's end. An error
// of reading ends the stream as well, for the wire has no other way; it is returned. When nothing can
// be sent any more, whoever receives learns why.
func (c *Conn) Copy(stream uint32, r io.Reader) error {
	buf := make([]byte, pieceSize)
	for {
		n, err := r.Read(buf)
		if n > 0 && c.Send(Frame{Type: typeData, Stream: stream, Data: buf[:n]}) != nil {
			return nil
		}
		if err != nil {
			_ = c.Send(Frame{Type: typeEOF, Stream: stream})
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

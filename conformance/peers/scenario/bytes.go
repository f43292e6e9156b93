package scenario

import (
	"bytes"
	"fmt"
	"io"
)

const (
	period = 65521
	chunk  = 256 << 10
)

// table holds the bytes of ../README.md, often enough that a chunk from anywhere is one slice of it.
var table = func() []byte {
	once := make([]byte, period)
	x := uint32(1)
	for i := range once {
		x = x*1103515245 + 12345
		once[i] = byte(x >> 24)
	}
	return bytes.Repeat(once, chunk/period+2)
}()

// expected are n bytes of the direction with this salt, from an offset on; n is at most a chunk.
func expected(salt, offset int64, n int) []byte {
	start := int((offset + salt*257) % period)
	return table[start : start+n]
}

// send writes so many bytes of a salt.
func (r *run) send(to io.Writer, salt, total int64) error {
	for offset := int64(0); offset < total; {
		n := int(min(chunk, total-offset))
		written, err := to.Write(expected(salt, offset, n))
		r.sent.Add(int64(written))
		if err != nil {
			return fmt.Errorf("writing at %d of %d: %w", offset+int64(written), total, err)
		}
		offset += int64(n)
	}
	return nil
}

// take reads so many bytes of a salt, and compares each.
func (r *run) take(from io.Reader, salt, total int64) error {
	_, err := r.takeSome(from, salt, total, func(int64) {})
	return err
}

// takeSome is take that also says how far it came, and tells seen after each read.
func (r *run) takeSome(from io.Reader, salt, total int64, seen func(int64)) (int64, error) {
	buffer := make([]byte, min(chunk, max(total, 1)))
	for offset := int64(0); offset < total; {
		n, err := from.Read(buffer[:min(int64(len(buffer)), total-offset)])
		r.received.Add(int64(n))
		if !bytes.Equal(buffer[:n], expected(salt, offset, n)) {
			return offset, fmt.Errorf("wrong bytes in %d to %d", offset, offset+int64(n))
		}
		offset += int64(n)
		seen(offset)
		if err != nil && offset < total {
			return offset, fmt.Errorf("reading at %d of %d: %w", offset, total, err)
		}
	}
	return total, nil
}

// takeEnd reads the end of a stream.
func takeEnd(from io.Reader) error {
	n, err := from.Read(make([]byte, 1))
	if n != 0 || err != io.EOF {
		return fmt.Errorf("%d bytes and %v instead of the end", n, err)
	}
	return nil
}

// echo sends back what comes until the end.
func (r *run) echo(stream io.ReadWriter) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := stream.Read(buffer)
		r.received.Add(int64(n))
		if n > 0 {
			written, err := stream.Write(buffer[:n])
			r.sent.Add(int64(written))
			if err != nil {
				return fmt.Errorf("echoing: %w", err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading what to echo: %w", err)
		}
	}
}

// both runs two functions at once and returns the first error.
func both(one, other func() error) error {
	done := make(chan error, 1)
	go func() { done <- one() }()
	err := other()
	if first := <-done; first != nil {
		return first
	}
	return err
}

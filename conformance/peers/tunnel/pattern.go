package main

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
	for at := range once {
		x = x*1103515245 + 12345
		once[at] = byte(x >> 24)
	}
	return bytes.Repeat(once, chunk/period+2)
}()

// pattern is a place in the bytes of a salt.
type pattern struct{ salt, offset int64 }

func (p pattern) next(n int) []byte {
	start := int((p.offset + p.salt*257) % period)
	return table[start : start+n]
}

// write writes so many bytes from this place on.
func (p pattern) write(to io.Writer, count int64) error {
	for count > 0 {
		n, err := to.Write(p.next(int(min(chunk, count))))
		if err != nil {
			return err
		}
		p.offset += int64(n)
		count -= int64(n)
	}
	return nil
}

// Read is the bytes from this place on, without end.
func (p *pattern) Read(into []byte) (int, error) {
	n := copy(into, p.next(min(chunk, len(into))))
	p.offset += int64(n)
	return n, nil
}

// compare reads to the end, compares, and says how much came.
func (p *pattern) compare(from io.Reader) (int64, error) {
	begun := p.offset
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if !bytes.Equal(buffer[:n], p.next(n)) {
			return p.offset - begun, fmt.Errorf("wrong bytes behind %d", p.offset-begun)
		}
		p.offset += int64(n)
		if err == io.EOF {
			return p.offset - begun, nil
		}
		if err != nil {
			return p.offset - begun, err
		}
	}
}

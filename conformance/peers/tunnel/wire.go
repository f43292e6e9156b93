package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/hashicorp/yamux"
)

// The types of a stream, its first byte.
const (
	typeHTTP     = 1
	typeTerminal = 2
	typeControl  = 3
)

const maxMetadata = 1 << 20

// requestMeta stands behind the header of an HTTP stream. The order of the fields is the wire's.
type requestMeta struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	BodyLen int64             `json:"body_len"`
}

// responseMeta stands in front of the body of an answer.
type responseMeta struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
}

// muxConfig is what both original sides have set since v0.27.3.
func muxConfig() *yamux.Config {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	config.LogOutput = io.Discard
	return config
}

// writeHeader writes type and length, and the metadata with a second write, as the original does.
func writeHeader(to io.Writer, kind byte, metadata []byte) error {
	var head [5]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(metadata)))
	if _, err := to.Write(head[:]); err != nil {
		return fmt.Errorf("write stream header: %w", err)
	}
	if len(metadata) == 0 {
		return nil
	}
	if _, err := to.Write(metadata); err != nil {
		return fmt.Errorf("write stream metadata: %w", err)
	}
	return nil
}

// writeMeta writes a header with metadata in JSON.
func writeMeta(to io.Writer, kind byte, meta any) error {
	text, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	return writeHeader(to, kind, text)
}

func readHeader(from io.Reader) (kind byte, metadata []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return 0, nil, fmt.Errorf("read stream header: %w", err)
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length > maxMetadata {
		return 0, nil, fmt.Errorf("stream metadata too large: %d bytes", length)
	}
	if length == 0 {
		return head[0], nil, nil
	}
	metadata = make([]byte, length)
	if _, err := io.ReadFull(from, metadata); err != nil {
		return 0, nil, fmt.Errorf("read stream metadata: %w", err)
	}
	return head[0], metadata, nil
}

// firstValues loses every value of a header but the first, as the original's metadata does.
func firstValues(from http.Header) map[string]string {
	into := make(map[string]string, len(from))
	for name, values := range from {
		if len(values) > 0 {
			into[name] = values[0]
		}
	}
	return into
}

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/yamux"
)

// largest request that is taken into memory. The original has no limit, and dies.
const maxRequest = 4 << 30

// local is the web server behind an agent.
type local struct {
	base   string
	client *http.Client
}

func newLocal(base string) local {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// More than two idle connections are kept, so that a benchmark measures no dialling: here the
	// peer is faster than an original that leaves the library's setting alone.
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 2048
	return local{base: base, client: &http.Client{Transport: transport}}
}

// refuse answers as the original's internal agent does when it cannot ask its web server.
func refuse(stream io.Writer, status int, text string) {
	headers := map[string]string{"Content-Type": "text/plain"}
	if writeMeta(stream, typeHTTP, responseMeta{Status: status, Headers: headers}) == nil {
		io.WriteString(stream, text)
	}
}

// proxy answers a request by the local web server, as the original's internal agent.
func (l local) proxy(stream *yamux.Stream, metadata []byte) {
	var meta requestMeta
	if !isUsable(metadata, &meta) {
		refuse(stream, http.StatusBadRequest, "invalid metadata")
		return
	}
	body, err := readBody(stream, meta.BodyLen)
	if err != nil {
		refuse(stream, http.StatusBadGateway, "failed to read request body")
		return
	}
	base, err := url.Parse(l.base)
	if err != nil {
		refuse(stream, http.StatusBadGateway, "invalid local URL")
		return
	}
	path := meta.Path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	reference, err := url.Parse(path)
	if err != nil || reference.Host != "" || reference.Scheme != "" {
		refuse(stream, http.StatusBadRequest, "invalid request path")
		return
	}
	where := base.ResolveReference(reference).String()
	request, err := http.NewRequest(methodOf(&meta), where, bytes.NewReader(body))
	if err != nil {
		refuse(stream, http.StatusBadGateway, "failed to create request")
		return
	}
	for name, value := range meta.Headers {
		request.Header.Set(name, value)
	}
	answer, err := l.client.Do(request)
	if err != nil {
		refuse(stream, http.StatusBadGateway, fmt.Sprintf("local service error: %v", err))
		return
	}
	defer answer.Body.Close()
	head := responseMeta{Status: answer.StatusCode, Headers: firstValues(answer.Header)}
	if writeMeta(stream, typeHTTP, head) == nil {
		// A body that breaks off ends as one that is complete: the wire has no other way.
		io.Copy(stream, answer.Body)
	}
}

// handle answers a request as the original's agentsdk does: the whole answer is collected first, and
// what goes wrong before ends the stream without a word.
func (l local) handle(stream *yamux.Stream, metadata []byte) {
	var meta requestMeta
	if !isUsable(metadata, &meta) {
		return
	}
	body, err := readBody(stream, meta.BodyLen)
	if err != nil {
		return
	}
	where := strings.TrimSuffix(l.base, "/") + "/" + strings.TrimPrefix(meta.Path, "/")
	request, err := http.NewRequest(methodOf(&meta), where, bytes.NewReader(body))
	if err != nil {
		return
	}
	for name, value := range meta.Headers {
		request.Header.Set(name, value)
	}
	answer, err := l.client.Do(request)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	whole, err := io.ReadAll(answer.Body)
	if err != nil {
		return
	}
	head := responseMeta{Status: answer.StatusCode, Headers: firstValues(answer.Header)}
	if writeMeta(stream, typeHTTP, head) == nil && len(whole) > 0 {
		stream.Write(whole)
	}
}

// readBody reads exactly what was announced, into memory, before anything is asked for.
func readBody(from io.Reader, length int64) ([]byte, error) {
	if length <= 0 {
		return nil, nil
	}
	if length > maxRequest {
		return nil, fmt.Errorf("a body of %d bytes", length)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(from, body)
	return body, err
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
	"nhooyr.io/websocket"
)

// tunnel is an agent that has joined.
type tunnel struct {
	session *yamux.Session
	carrier *carrier
	lock    sync.Mutex
	info    []byte
	infos   int
}

// server is the registry and what stands in front of it.
type server struct {
	token   string
	lock    sync.Mutex
	tunnels map[string]*tunnel
}

func runServer(args []string) error {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	address := flags.String("listen", "127.0.0.1:0", "where")
	token := flags.String("token", "", "the token of every agent; without it any will do")
	flags.Parse(args)
	listener, err := listen(*address)
	if err != nil {
		return err
	}
	server := &server{token: *token, tunnels: map[string]*tunnel{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/tunnel/{id}", server.join)
	mux.HandleFunc("GET /-/api/agents", server.agents)
	mux.HandleFunc("GET /-/api/info/{id}", server.info)
	mux.HandleFunc("POST /-/api/terminal/{id}", server.terminal)
	mux.HandleFunc("POST /-/api/close/{id}", server.close)
	// The path is passed on as it came, which a ServeMux would not do.
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/-/") || strings.HasPrefix(r.URL.Path, "/api/tunnel/") {
			mux.ServeHTTP(w, r)
		} else {
			server.proxy(w, r)
		}
	}))
}

func (s *server) join(w http.ResponseWriter, r *http.Request) {
	id, token := r.PathValue("id"), r.URL.Query().Get("token")
	switch {
	case id == "" || token == "":
		http.Error(w, "missing parameters", http.StatusBadRequest)
		return
	case s.token != "" && token != s.token:
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	tunnel := &tunnel{carrier: newCarrier(context.Background(), ws)}
	tunnel.session, err = yamux.Server(tunnel.carrier, muxConfig())
	if err != nil {
		tunnel.carrier.Close()
		return
	}
	s.lock.Lock()
	old := s.tunnels[id]
	s.tunnels[id] = tunnel
	s.lock.Unlock()
	if old != nil {
		old.session.Close()
	}
	go tunnel.carrier.ping(20*time.Second, 5*time.Second)
	err = tunnel.accept()
	log.Printf("%s: %v", id, err)
	tunnel.session.Close()
	s.lock.Lock()
	if s.tunnels[id] == tunnel {
		delete(s.tunnels, id)
	}
	s.lock.Unlock()
}

// accept takes control streams, and closes others.
func (t *tunnel) accept() error {
	for {
		stream, err := t.session.AcceptStream()
		if err != nil {
			return err
		}
		go func() {
			defer stream.Close()
			kind, _, err := readHeader(stream)
			if err != nil || kind != typeControl {
				log.Printf("a stream of type %d: %v", kind, err)
				return
			}
			if info, err := io.ReadAll(stream); err == nil {
				t.lock.Lock()
				t.info, t.infos = info, t.infos+1
				t.lock.Unlock()
			}
		}()
	}
}

func (s *server) get(id string) *tunnel {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.tunnels[id]
}

// openHTTP asks an agent and returns its answer's head and body. The whole request is written before
// anything is read, and its end is told by nothing but its length.
func (t *tunnel) openHTTP(meta requestMeta, body []byte) (*responseMeta, *yamux.Stream, error) {
	stream, err := t.session.OpenStream()
	if err != nil {
		return nil, nil, err
	}
	meta.BodyLen = int64(len(body))
	err = writeMeta(stream, typeHTTP, meta)
	if err == nil && len(body) > 0 {
		_, err = stream.Write(body)
	}
	var head responseMeta
	if err == nil {
		var metadata []byte
		if _, metadata, err = readHeader(stream); err == nil {
			err = json.Unmarshal(metadata, &head)
		}
	}
	if err != nil {
		stream.Close()
		return nil, nil, err
	}
	return &head, stream, nil
}

// proxy passes on what stands behind the id in the path.
func (s *server) proxy(w http.ResponseWriter, r *http.Request) {
	id, rest, _ := strings.Cut(strings.TrimPrefix(r.RequestURI, "/"), "/")
	tunnel := s.get(id)
	if tunnel == nil {
		http.Error(w, "no such agent", http.StatusBadGateway)
		return
	}
	body, err := readAll(r)
	if err != nil {
		http.Error(w, "failed to read request body", http.StatusInternalServerError)
		return
	}
	meta := requestMeta{Method: r.Method, Path: "/" + rest, Headers: firstValues(r.Header)}
	head, stream, err := tunnel.openHTTP(meta, body)
	if err != nil {
		log.Printf("%s: %v", id, err)
		http.Error(w, "tunnel proxy error", http.StatusBadGateway)
		return
	}
	defer stream.Close()
	for name, value := range head.Headers {
		w.Header().Set(name, value)
	}
	if head.Status != 0 {
		w.WriteHeader(head.Status)
	}
	flusher, _ := w.(http.Flusher)
	buffer := make([]byte, 16<<10)
	for {
		n, err := stream.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return
			}
			flusher.Flush()
		}
		if err != nil {
			return
		}
	}
}

// readAll has the whole body in memory; where its length is known, without growing.
func readAll(r *http.Request) ([]byte, error) {
	if r.ContentLength < 0 || r.ContentLength > maxRequest {
		return io.ReadAll(r.Body)
	}
	return readBody(r.Body, r.ContentLength)
}

// agents lists who has joined, and how many control streams came from each.
func (s *server) agents(w http.ResponseWriter, _ *http.Request) {
	type agent struct {
		ID      string `json:"id"`
		Infos   int    `json:"infos"`
		Streams int    `json:"streams"`
	}
	agents := []agent{}
	s.lock.Lock()
	for id, tunnel := range s.tunnels {
		tunnel.lock.Lock()
		agents = append(agents, agent{id, tunnel.infos, tunnel.session.NumStreams()})
		tunnel.lock.Unlock()
	}
	s.lock.Unlock()
	sort.Slice(agents, func(a, b int) bool { return agents[a].ID < agents[b].ID })
	json.NewEncoder(w).Encode(map[string]any{"agents": agents})
}

// info is the last control document of an agent, byte by byte.
func (s *server) info(w http.ResponseWriter, r *http.Request) {
	if tunnel := s.get(r.PathValue("id")); tunnel != nil {
		tunnel.lock.Lock()
		defer tunnel.lock.Unlock()
		w.Write(tunnel.info)
		return
	}
	http.Error(w, "no such agent", http.StatusNotFound)
}

// close cuts an agent's connection, as a broken line would.
func (s *server) close(w http.ResponseWriter, r *http.Request) {
	if tunnel := s.get(r.PathValue("id")); tunnel != nil {
		tunnel.carrier.Close()
		return
	}
	http.Error(w, "no such agent", http.StatusNotFound)
}

// terminal types the request's body into a terminal and answers with what it shows, until it ends or
// has shown the text `until`: the original's agent does not end it.
func (s *server) terminal(w http.ResponseWriter, r *http.Request) {
	tunnel := s.get(r.PathValue("id"))
	if tunnel == nil {
		http.Error(w, "no such agent", http.StatusNotFound)
		return
	}
	typed, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "failed to read request body", http.StatusInternalServerError)
		return
	}
	var size resize
	fmt.Sscan(r.URL.Query().Get("cols"), &size.Cols)
	fmt.Sscan(r.URL.Query().Get("rows"), &size.Rows)
	stream, err := tunnel.session.OpenStream()
	if err == nil {
		err = errors.Join(writeHeader(stream, typeTerminal, nil), typeInto(stream, size, typed))
	}
	if err != nil {
		http.Error(w, "tunnel proxy error", http.StatusBadGateway)
		return
	}
	defer stream.Close()
	context.AfterFunc(r.Context(), func() { stream.Close() })
	until, shown := []byte(r.URL.Query().Get("until")), []byte{}
	buffer := make([]byte, 32<<10)
	for {
		n, err := stream.Read(buffer)
		if n > 1 && buffer[0] == messageBytes {
			w.Write(buffer[1:n])
			w.(http.Flusher).Flush()
			shown = append(shown, buffer[1:n]...)
		}
		if err != nil || len(until) > 0 && bytes.Contains(shown, until) {
			return
		}
	}
}

// typeInto sends a size, where there is one, and then the bytes. Between the messages it waits a
// while, for the original's agent takes for one message what comes together.
func typeInto(stream io.Writer, size resize, typed []byte) error {
	pause := func() { time.Sleep(50 * time.Millisecond) }
	pause()
	if size.Cols > 0 {
		size.Type = "resize"
		control, err := json.Marshal(size)
		if err != nil {
			return err
		}
		if _, err := stream.Write(append([]byte{messageControl}, control...)); err != nil {
			return err
		}
		pause()
	}
	for len(typed) > 0 {
		n := min(len(typed), 4095)
		if _, err := stream.Write(append([]byte{messageBytes}, typed[:n]...)); err != nil {
			return err
		}
		typed = typed[n:]
		pause()
	}
	return nil
}

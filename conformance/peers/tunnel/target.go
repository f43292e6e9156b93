package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"os"
	"strconv"
	"time"

	"nhooyr.io/websocket"
)

// runTarget is the web server behind an agent, with everything in it that a tunnel can do wrong.
func runTarget(args []string) error {
	flags := flag.NewFlagSet("target", flag.ExitOnError)
	address := flags.String("listen", "127.0.0.1:0", "where")
	flags.Parse(args)
	listener, err := listen(*address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/bytes/{count}", giveBytes)
	mux.HandleFunc("/sink", sink)
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/headers", headers)
	mux.HandleFunc("/cookies", cookies)
	mux.HandleFunc("/events", events)
	mux.HandleFunc("/slow", slow)
	mux.HandleFunc("/early", early)
	mux.HandleFunc("/cut", cut)
	mux.HandleFunc("/die", die)
	mux.HandleFunc("/ws", webSocketEcho)
	mux.HandleFunc("/-/profile", pprof.Profile)
	return http.Serve(listener, mux)
}

// number is a number in the query, or what is usual.
func number(r *http.Request, name string, usual int64) int64 {
	if value, err := strconv.ParseInt(r.URL.Query().Get(name), 10, 64); err == nil {
		return value
	}
	return usual
}

// giveBytes gives so many bytes of a salt, with their length.
func giveBytes(w http.ResponseWriter, r *http.Request) {
	count, err := strconv.ParseInt(r.PathValue("count"), 10, 64)
	if err != nil || count < 0 {
		http.Error(w, "no such number", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(count, 10))
	pattern{salt: number(r, "salt", 0)}.write(w, count)
}

// sink compares what it is sent, and says how much it was.
func sink(w http.ResponseWriter, r *http.Request) {
	count, err := (&pattern{salt: number(r, "salt", 0)}).compare(r.Body)
	answer := map[string]any{"bytes": count, "error": ""}
	if err != nil {
		answer["error"] = err.Error()
	}
	json.NewEncoder(w).Encode(answer)
}

// echo sends back what comes, while it comes.
func echo(w http.ResponseWriter, r *http.Request) {
	controller := http.NewResponseController(w)
	controller.EnableFullDuplex()
	w.Header().Set("Content-Type", "application/octet-stream")
	buffer := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buffer)
		if n > 0 {
			w.Write(buffer[:n])
			controller.Flush()
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// headers answers with what it was asked.
func headers(w http.ResponseWriter, r *http.Request) {
	json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "uri": r.RequestURI, "host": r.Host, "headers": r.Header,
	})
}

// cookies sets two.
func cookies(w http.ResponseWriter, _ *http.Request) {
	w.Header().Add("Set-Cookie", "first=1; Path=/")
	w.Header().Add("Set-Cookie", "second=2; Path=/")
	io.WriteString(w, "two cookies\n")
}

// events is an event stream of so many events, so many milliseconds apart.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for n := range number(r, "count", 3) {
		fmt.Fprintf(w, "data: %d\n\n", n)
		w.(http.Flusher).Flush()
		time.Sleep(time.Duration(number(r, "ms", 100)) * time.Millisecond)
	}
}

// slow answers after a while.
func slow(w http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(time.Duration(number(r, "ms", 1000)) * time.Millisecond):
	case <-r.Context().Done():
		return
	}
	io.WriteString(w, "slow\n")
}

// early answers before it has read any of a body, and then takes hardly any more: who does not stop
// sending when the answer is there waits long. It does not close either, for that could reset the
// connection before the answer was read.
func early(w http.ResponseWriter, r *http.Request) {
	const answer = "too much\n"
	controller := http.NewResponseController(w)
	controller.EnableFullDuplex()
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(http.StatusRequestEntityTooLarge)
	io.WriteString(w, answer)
	controller.Flush()
	buffer := make([]byte, 1024)
	for {
		if _, err := r.Body.Read(buffer); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cut announces more than it sends, and drops the connection.
func cut(w http.ResponseWriter, r *http.Request) {
	announce(w, r)
	panic(http.ErrAbortHandler)
}

// die is cut by the death of the process.
func die(w http.ResponseWriter, r *http.Request) {
	announce(w, r)
	os.Exit(9)
}

func announce(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", strconv.FormatInt(number(r, "announce", 1000000), 10))
	pattern{}.write(w, number(r, "send", 10))
	w.(http.Flusher).Flush()
	// What was sent is on its way before the connection ends.
	time.Sleep(50 * time.Millisecond)
}

// webSocketEcho answers every message with itself.
func webSocketEcho(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ws.SetReadLimit(16 << 20)
	for {
		kind, message, err := ws.Read(r.Context())
		if err != nil {
			return
		}
		if ws.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
	"nhooyr.io/websocket"
)

// agent is one of the original's two agents, or many of them in one process.
type agent struct {
	server, id, token string
	local             local
	sdk               bool
	info              time.Duration
	terminal          terminal
}

func runAgent(args []string) error {
	flags := flag.NewFlagSet("agent", flag.ExitOnError)
	server := flags.String("server", "", "the server, http or https")
	id := flags.String("id", "box1", "the agent's id")
	token := flags.String("token", "token", "the token that goes into the URL")
	target := flags.String("local", "http://127.0.0.1:3000", "where HTTP streams go")
	as := flags.String("as", "internal", "which of the original's agents: internal or agentsdk")
	info := flags.Duration("info", 20*time.Second, "how often the control stream is sent; 0 is never")
	count := flags.Int("count", 1, "how many agents, with -0, -1 and so on behind the id")
	dialing := flags.Int("dialing", 64, "how many of them dial at the same time")
	flags.Parse(args)
	if *as != "internal" && *as != "agentsdk" {
		return fmt.Errorf("no agent %q", *as)
	}
	client := newLocal(*target)
	gate := make(chan struct{}, *dialing)
	var joined atomic.Int64
	var all sync.WaitGroup
	for n := range *count {
		name := *id
		if *count > 1 {
			name = fmt.Sprintf("%s-%d", *id, n)
		}
		agent := &agent{
			server: *server, id: name, token: *token,
			local: client, sdk: *as == "agentsdk", info: *info,
		}
		all.Go(func() {
			agent.stay(gate, func() {
				tell(map[string]any{"joined": name, "total": joined.Add(1)})
			})
		})
	}
	all.Wait()
	return nil
}

// stay joins again and again, with the original's wait between.
func (a *agent) stay(gate chan struct{}, joined func()) {
	wait := time.Second
	for {
		begun := time.Now()
		gate <- struct{}{}
		session, err := a.join()
		<-gate
		if err == nil {
			joined()
			err = a.serve(session)
			session.Close()
		}
		log.Printf("%s: %v", a.id, err)
		if time.Since(begun) > 30*time.Second {
			wait = time.Second
		}
		time.Sleep(wait)
		wait = min(2*wait, time.Minute)
	}
}

func (a *agent) join() (*yamux.Session, error) {
	base := strings.Replace(a.server, "http", "ws", 1)
	where := fmt.Sprintf("%s/api/tunnel/%s?token=%s", base, a.id, url.QueryEscape(a.token))
	ws, answer, err := websocket.Dial(context.Background(), where, nil)
	if err != nil {
		if answer != nil {
			return nil, fmt.Errorf("the server answers %s", answer.Status)
		}
		// The error of the library names the whole URL, and the token stands in it.
		return nil, errors.New(strings.ReplaceAll(err.Error(), where, base))
	}
	return yamux.Client(newCarrier(context.Background(), ws), muxConfig())
}

// serve answers streams until the session ends.
func (a *agent) serve(session *yamux.Session) error {
	over := make(chan struct{})
	defer close(over)
	if a.info > 0 {
		go a.tellInfo(session, over)
	}
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return err
		}
		go a.answer(stream)
	}
}

func (a *agent) answer(stream *yamux.Stream) {
	defer stream.Close()
	kind, metadata, err := readHeader(stream)
	if err != nil {
		return
	}
	switch {
	case kind == typeHTTP && a.sdk:
		a.local.handle(stream, metadata)
	case kind == typeHTTP:
		a.local.proxy(stream, metadata)
	case kind == typeTerminal && !a.sdk:
		a.terminal.bridge(stream)
	}
}

// tellInfo sends the control stream at once and then again and again.
func (a *agent) tellInfo(session *yamux.Session, over <-chan struct{}) {
	ticks := time.NewTicker(a.info)
	defer ticks.Stop()
	for {
		if stream, err := session.OpenStream(); err == nil {
			if writeHeader(stream, typeControl, nil) == nil {
				document, _ := json.Marshal(a.document())
				stream.Write(document)
			}
			stream.Close()
		}
		select {
		case <-over:
			return
		case <-ticks.C:
		}
	}
}

// document tells of this machine: a part of what the original's agents tell, in their order.
func (a *agent) document() any {
	host, _ := os.Hostname()
	if a.sdk {
		return map[string]any{
			"agent_version": "agentsdk/1.0", "hostname": host, "os": runtime.GOOS,
		}
	}
	workdir, _ := os.Getwd()
	return struct {
		Hostname        string `json:"hostname"`
		OS              string `json:"os"`
		Platform        string `json:"platform"`
		PlatformVersion string `json:"platform_version"`
		KernelArch      string `json:"kernel_arch"`
		CPUModelName    string `json:"cpu_model_name"`
		CPUs            int    `json:"cpu_count_logical"`
		MemoryTotal     uint64 `json:"memory_total"`
		DiskTotal       uint64 `json:"disk_total"`
		DiskFree        uint64 `json:"disk_free"`
		AgentVersion    string `json:"agent_version"`
		OpencodeVersion string `json:"opencode_version"`
		Workdir         string `json:"workdir"`
	}{
		Hostname: host, OS: runtime.GOOS, Platform: "debian", PlatformVersion: "13",
		KernelArch: runtime.GOARCH, CPUModelName: "<a CPU & its name>", CPUs: runtime.NumCPU(),
		MemoryTotal: 1 << 34, DiskTotal: 1 << 40, DiskFree: 1 << 39,
		AgentVersion: "peer", OpencodeVersion: "none", Workdir: workdir,
	}
}

// isUsable says whether the metadata of a request is there at all and can be decoded.
func isUsable(metadata []byte, into *requestMeta) bool {
	return len(metadata) > 0 && json.Unmarshal(metadata, into) == nil
}

// methodOf is GET where the metadata names none.
func methodOf(meta *requestMeta) string {
	if meta.Method == "" {
		return http.MethodGet
	}
	return meta.Method
}

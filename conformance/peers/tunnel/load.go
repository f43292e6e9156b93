package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load asks a target, through whatever leads to it, and compares every byte of the answers.
type load struct {
	url, kind string
	bytes     int64
	client    *http.Client
}

// report is what a run tells, in seconds unless it is said otherwise.
type report struct {
	Kind      string  `json:"kind"`
	Requests  int     `json:"requests"`
	InFlight  int     `json:"in_flight"`
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	P50Micros int64   `json:"p50_us"`
	P99Micros int64   `json:"p99_us"`
	// CPU is that of the processes that were named, in seconds and per request in microseconds.
	CPU        float64 `json:"cpu"`
	CPUMicros  float64 `json:"cpu_us"`
	Errors     int     `json:"errors"`
	FirstError string  `json:"first_error"`
	// Beside is how many bytes the saturating stream moved.
	Beside int64 `json:"beside"`
}

func runLoad(args []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	base := flags.String("url", "", "what leads to the target, without its last slash")
	kind := flags.String("kind", "down", "down, up or echo")
	requests := flags.Int("requests", 1000, "how many")
	inFlight := flags.Int("inflight", 1, "how many at once")
	size := flags.Int64("bytes", 64, "how long each body is")
	warm := flags.Int("warm", 0, "how many before those that count")
	pids := flags.String("pids", "", "processes whose CPU is counted, with commas between")
	beside := flags.Bool("beside", false, "saturate the way by an endless download at the same time")
	timeout := flags.Duration("timeout", time.Minute, "the longest that a request may take")
	flags.Parse(args)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.DisableCompression = true
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 4096
	load := &load{
		url: strings.TrimSuffix(*base, "/"), kind: *kind, bytes: *size,
		client: &http.Client{Transport: transport, Timeout: *timeout},
	}
	var moved atomic.Int64
	stop := func() {}
	if *beside {
		var err error
		if stop, err = load.saturate(&moved); err != nil {
			return err
		}
	}
	if *warm > 0 {
		load.run(*warm, *inFlight)
	}
	counted, err := processes(*pids)
	if err != nil {
		return err
	}
	before, movedBefore, begun := counted.cpu(), moved.Load(), time.Now()
	took, errs := load.run(*requests, *inFlight)
	seconds := time.Since(begun).Seconds()
	cpu := counted.cpu() - before
	report := report{
		Kind: *kind, Requests: *requests, InFlight: *inFlight, Bytes: *size, Seconds: seconds,
		PerSecond: float64(len(took)) / seconds, CPU: cpu, CPUMicros: cpu * 1e6 / float64(*requests),
		Errors: len(errs), Beside: moved.Load() - movedBefore,
	}
	stop()
	if len(errs) > 0 {
		report.FirstError = errs[0].Error()
	}
	if len(took) > 0 {
		slices.Sort(took)
		report.P50Micros = took[len(took)/2].Microseconds()
		report.P99Micros = took[len(took)*99/100].Microseconds()
	}
	tell(report)
	if len(errs) > 0 {
		return fmt.Errorf("%d of %d requests failed", len(errs), *requests)
	}
	return nil
}

// run makes so many requests, and says how long each took that went well, and why others did not.
func (l *load) run(requests, inFlight int) ([]time.Duration, []error) {
	var next atomic.Int64
	var lock sync.Mutex
	var took []time.Duration
	var errs []error
	var all sync.WaitGroup
	for range min(inFlight, requests) {
		all.Go(func() {
			var mine []time.Duration
			for n := next.Add(1); n <= int64(requests); n = next.Add(1) {
				begun := time.Now()
				if err := l.ask(n); err != nil {
					lock.Lock()
					errs = append(errs, fmt.Errorf("request %d: %w", n, err))
					lock.Unlock()
				} else {
					mine = append(mine, time.Since(begun))
				}
			}
			lock.Lock()
			took = append(took, mine...)
			lock.Unlock()
		})
	}
	all.Wait()
	return took, errs
}

// ask makes one request. Its number is the salt of its bytes, so that no answer passes for another's.
func (l *load) ask(n int64) error {
	salt := n % 10007
	var body io.Reader
	method, path := http.MethodGet, fmt.Sprintf("/bytes/%d?salt=%d", l.bytes, salt)
	if l.kind != "down" {
		body = io.LimitReader(&pattern{salt: salt}, l.bytes)
		method, path = http.MethodPost, "/echo"
		if l.kind == "up" {
			path = fmt.Sprintf("/sink?salt=%d", salt)
		}
	}
	request, err := http.NewRequest(method, l.url+path, body)
	if err != nil {
		return err
	}
	if body != nil {
		request.ContentLength = l.bytes
	}
	answer, err := l.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 200))
		return fmt.Errorf("%s: %s", answer.Status, text)
	}
	if l.kind == "up" {
		return l.checkSink(answer.Body)
	}
	count, err := (&pattern{salt: salt}).compare(answer.Body)
	if err == nil && count != l.bytes {
		err = fmt.Errorf("%d bytes instead of %d", count, l.bytes)
	}
	return err
}

func (l *load) checkSink(body io.Reader) error {
	var told struct {
		Bytes int64  `json:"bytes"`
		Error string `json:"error"`
	}
	if err := json.NewDecoder(body).Decode(&told); err != nil {
		return err
	}
	if told.Error != "" {
		return errors.New(told.Error)
	}
	if told.Bytes != l.bytes {
		return fmt.Errorf("%d bytes arrived of %d", told.Bytes, l.bytes)
	}
	return nil
}

// saturate begins an endless download, and returns when its first bytes are there.
func (l *load) saturate(moved *atomic.Int64) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	url := fmt.Sprintf("%s/bytes/%d", l.url, int64(1)<<50)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	answer, err := l.client.Transport.RoundTrip(request)
	if err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer answer.Body.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := answer.Body.Read(buffer)
			moved.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	return cancel, nil
}

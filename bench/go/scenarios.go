package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chunk     = 32 << 10
	message   = 64
	mostBytes = 1 << 30
	mostPorts = 12000
	look      = 16
	idle      = 10000
)

type sample map[string]float64

// A stretch is what is counted between two moments.
type stretch struct {
	cpu           time.Duration
	wall          time.Time
	writes, reads int64
	written       int64
	mallocs       uint64
}

func begin() stretch {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return stretch{cpu(), time.Now(), writes.Load(), reads.Load(), written.Load(), memory.Mallocs}
}

func (s stretch) end(units int64) sample {
	spent, took := cpu()-s.cpu, time.Since(s.wall)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	_, peak := resident()
	return sample{
		"units": float64(units), "cpu_ns": float64(spent), "wall_ns": float64(took),
		"writes": float64(writes.Load() - s.writes), "reads": float64(reads.Load() - s.reads),
		"bytes": float64(written.Load() - s.written), "blocks": float64(memory.Mallocs - s.mallocs),
		"peak_bytes": peak,
	}
}

func warm(time_ time.Duration) time.Duration { return max(time_/6, 10*time.Millisecond) }

func run(client, server mux, scenario string, time_ time.Duration) (sample, error) {
	number := func(prefix string) int {
		n, err := strconv.Atoi(strings.TrimPrefix(scenario, prefix))
		if err != nil {
			return 0
		}
		return n
	}
	switch {
	case scenario == "idle10k":
		return opened(client, server)
	case scenario == "ping1-beside-10k":
		if _, err := opened(client, server); err != nil {
			return nil, err
		}
		return measured(client, server, 1, time_, pingPong)
	case number("bulk") > 0:
		return measured(client, server, number("bulk"), time_, transfer)
	case number("ping") > 0:
		return measured(client, server, number("ping"), time_, pingPong)
	case number("churn") > 0:
		streams := number("churn")
		for range streams {
			go answer(server)
		}
		if _, err := churn(client, streams, warm(time_)); err != nil {
			return nil, err
		}
		mark := begin()
		units, err := churn(client, streams, time_)
		return mark.end(units), err
	}
	return nil, fmt.Errorf("no scenario %q", scenario)
}

type both struct{ one, other io.ReadWriteCloser }

// Kept so that nothing idle is collected.
var kept []both

func establish(client, server mux) (both, error) {
	one, err := client.open()
	if err != nil {
		return both{}, err
	}
	buffer := make([]byte, 1)
	if _, err := one.Write(buffer); err != nil {
		return both{}, err
	}
	other, err := server.accept()
	if err != nil {
		return both{}, err
	}
	if _, err := io.ReadFull(other, buffer); err != nil {
		return both{}, err
	}
	if _, err := other.Write(buffer); err != nil {
		return both{}, err
	}
	_, err = io.ReadFull(one, buffer)
	return both{one, other}, err
}

func opened(client, server mux) (sample, error) {
	before, _ := resident()
	mark := begin()
	for range idle {
		pair, err := establish(client, server)
		if err != nil {
			return nil, err
		}
		kept = append(kept, pair)
	}
	result := mark.end(idle)
	now, _ := resident()
	result["resident_each"] = (now - before) / idle
	return result, nil
}

func measured(
	client, server mux, streams int, time_ time.Duration,
	phase func([]both, time.Duration) (int64, error),
) (sample, error) {
	var pairs []both
	prepare := func() error {
		pairs = nil
		for range streams {
			pair, err := establish(client, server)
			if err != nil {
				return err
			}
			pairs = append(pairs, pair)
		}
		return nil
	}
	if err := prepare(); err != nil {
		return nil, err
	}
	if _, err := phase(pairs, warm(time_)); err != nil {
		return nil, err
	}
	if err := prepare(); err != nil {
		return nil, err
	}
	mark := begin()
	units, err := phase(pairs, time_)
	return mark.end(units), err
}

// all runs a function for each number below n at once, and gives the sum and the first error.
func all(n int, do func(at int) (int64, error)) (int64, error) {
	var total atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, n)
	for at := range n {
		group.Add(1)
		go func() {
			defer group.Done()
			count, err := do(at)
			total.Add(count)
			if err != nil {
				errs <- err
			}
		}()
	}
	group.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return total.Load(), nil
	}
}

func transfer(pairs []both, time_ time.Duration) (int64, error) {
	until := time.Now().Add(time_)
	most := int64(mostBytes / len(pairs))
	return all(2*len(pairs), func(at int) (int64, error) {
		pair := pairs[at/2]
		if at%2 == 0 {
			buffer, sent := make([]byte, chunk), int64(0)
			for at := 1; sent < most; at++ {
				n, err := pair.one.Write(buffer)
				if err != nil {
					return 0, err
				}
				if sent += int64(n); at%(look/2) == 0 && time.Now().After(until) {
					break
				}
			}
			return 0, pair.one.Close()
		}
		buffer, total := make([]byte, 64<<10), int64(0)
		for {
			n, err := pair.other.Read(buffer)
			total += int64(n)
			if err == io.EOF {
				return total, nil
			}
			if err != nil {
				return total, err
			}
		}
	})
}

func pingPong(pairs []both, time_ time.Duration) (int64, error) {
	until := time.Now().Add(time_)
	for _, pair := range pairs {
		go func() {
			buffer := make([]byte, message)
			for {
				if _, err := io.ReadFull(pair.other, buffer); err != nil {
					pair.other.Close()
					return
				}
				if _, err := pair.other.Write(buffer); err != nil {
					return
				}
			}
		}()
	}
	return all(len(pairs), func(at int) (int64, error) {
		buffer, one := make([]byte, message), pairs[at].one
		for trips := int64(1); ; trips++ {
			if _, err := one.Write(buffer); err != nil {
				return 0, err
			}
			if _, err := io.ReadFull(one, buffer); err != nil {
				return 0, err
			}
			if trips%look == 0 && time.Now().After(until) {
				return trips, one.Close()
			}
		}
	})
}

func answer(server mux) {
	buffer := make([]byte, message)
	for {
		stream, err := server.accept()
		if err != nil {
			return
		}
		if _, err := io.ReadFull(stream, buffer); err == nil {
			_, _ = stream.Write(buffer)
		}
		stream.Close()
	}
}

func churn(client mux, streams int, time_ time.Duration) (int64, error) {
	until := time.Now().Add(time_)
	var total atomic.Int64
	return all(streams, func(int) (int64, error) {
		buffer := make([]byte, message)
		for own := int64(1); ; own++ {
			stream, err := client.open()
			if err != nil {
				return 0, err
			}
			if _, err := stream.Write(buffer); err != nil {
				return 0, err
			}
			if _, err := io.ReadFull(stream, buffer); err != nil {
				return 0, err
			}
			if err := stream.Close(); err != nil {
				return 0, err
			}
			if own%look == 0 {
				opened := total.Add(look)
				_, leaves := client.(bare)
				if time.Now().After(until) || leaves && opened >= mostPorts {
					return own, nil
				}
			}
		}
	})
}

// resident is what the kernel says this process keeps, now and at the most.
func resident() (float64, float64) {
	text, _ := os.ReadFile("/proc/self/status")
	told := func(name string) float64 {
		for _, line := range strings.Split(string(text), "\n") {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name+":" {
				kib, _ := strconv.ParseFloat(fields[1], 64)
				return kib * 1024
			}
		}
		return 0
	}
	return told("VmRSS"), told("VmHWM")
}

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// longestLine is what a request in JSON may take.
const longestLine = 64 << 20

// files sends requests to an agent, each as soon as its line is there, and prints the answers as they
// come: JSON in the vectors' notation, one a line. The ids are the caller's.
func files(agent []string, in io.Reader, out io.Writer, logLevel int) int {
	l, err := startAgent(agent)
	if err != nil {
		return complain(lostStatus, "the agent cannot be started: %v", err)
	}
	client := &fileClient{link: l}
	client.changed.L = &client.mu
	received := make(chan error, 1)
	go func() { received <- client.receive(out, logLevel) }()
	if err := client.send(in); err != nil {
		return complain(1, "%v", err)
	}
	client.settle()
	// The end of this side's direction is what ends the service.
	_ = l.stdin.Close()
	err = <-received
	agentErr := l.cmd.Wait()
	if err != nil || agentErr != nil || client.waiting > 0 {
		return complain(lostStatus, "%d requests without an answer: %v (the agent ended with: %v)",
			client.waiting, err, agentErr)
	}
	return 0
}

// fileClient counts the requests that wait for their answers.
type fileClient struct {
	*link
	mu      sync.Mutex
	changed sync.Cond
	waiting int
	over    bool
}

func (c *fileClient) send(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		var request FileOp
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			return fmt.Errorf("no request: %w", err)
		}
		c.mu.Lock()
		c.waiting++
		c.mu.Unlock()
		// An agent that is gone is told by the end of what it says.
		_ = c.Send(Frame{Type: typeFileOp, FileOp: &request})
	}
	return lines.Err()
}

// receive prints answers until the agent's end.
func (c *fileClient) receive(out io.Writer, logLevel int) error {
	defer func() {
		c.mu.Lock()
		c.over = true
		c.mu.Unlock()
		c.changed.Broadcast()
	}()
	for {
		frame, err := c.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case frame.Type == typeLog:
			show(frame.Log, logLevel)
		case frame.Type == typeFileResp && frame.FileResp != nil:
			line, err := json.Marshal(frame.FileResp)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
				return err
			}
			c.mu.Lock()
			c.waiting--
			c.mu.Unlock()
			c.changed.Broadcast()
		default:
			return fmt.Errorf("a frame of type %d from a file service", frame.Type)
		}
	}
}

// settle waits until every request is answered or nothing will be.
func (c *fileClient) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.waiting > 0 && !c.over {
		c.changed.Wait()
	}
}

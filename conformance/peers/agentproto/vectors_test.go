package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// wireBytes are bytes as the vectors write them: hex, or pieces of it, some repeated.
type wireBytes []byte

func (b *wireBytes) UnmarshalJSON(text []byte) error {
	var plain string
	if json.Unmarshal(text, &plain) == nil {
		decoded, err := hex.DecodeString(plain)
		*b = decoded
		return err
	}
	var pieces []json.RawMessage
	if err := json.Unmarshal(text, &pieces); err != nil {
		var repeat struct {
			Repeat struct {
				Hex   wireBytes
				Count int
			}
		}
		err := json.Unmarshal(text, &repeat)
		*b = bytes.Repeat(repeat.Repeat.Hex, repeat.Repeat.Count)
		return err
	}
	for _, piece := range pieces {
		var next wireBytes
		if err := next.UnmarshalJSON(piece); err != nil {
			return err
		}
		*b = append(*b, next...)
	}
	return nil
}

// load reads the cases of a file of vectors; there must be some.
func load[T any](t *testing.T, name string) []T {
	t.Helper()
	text, err := os.ReadFile("../../vectors/agentproto/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []T }
	if err := json.Unmarshal(text, &file); err != nil || len(file.Cases) == 0 {
		t.Fatalf("%s: %d cases, %v", name, len(file.Cases), err)
	}
	return file.Cases
}

func TestFramesReadAndWrittenAgainAreCanonical(t *testing.T) {
	type vector struct {
		Name, Target string
		Hex          wireBytes
		Reencoded    wireBytes
	}
	cases := slices.Concat(load[vector](t, "frames.json"), load[vector](t, "lenient.json"))
	for _, c := range cases {
		if c.Target != "" && c.Target != "frame" {
			continue
		}
		if c.Reencoded == nil {
			c.Reencoded = c.Hex
		}
		frame, err := NewConn(bytes.NewReader(c.Hex), nil).Recv()
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		var out bytes.Buffer
		if err := NewConn(nil, &out).Send(frame); err != nil || !bytes.Equal(out.Bytes(), c.Reencoded) {
			t.Errorf("%s: %x, %v", c.Name, out.Bytes(), err)
		}
	}
}

func TestRecordingsReadAndWrittenAgainAreTheSame(t *testing.T) {
	type vector struct {
		Name      string
		Hex       wireBytes
		Error     string
		Roundtrip bool
	}
	for _, c := range load[vector](t, "recordings.json") {
		var out bytes.Buffer
		status := records(bytes.NewReader(c.Hex), &out)
		if sound := c.Error == "" && c.Roundtrip; sound != (status == 0) {
			t.Errorf("%s: status %d", c.Name, status)
		}
	}
}

func TestAnEndWithinAFrameIsNoEnd(t *testing.T) {
	for text, want := range map[string]error{"": io.EOF, "\xa1\x61t": io.ErrUnexpectedEOF} {
		if _, err := NewConn(strings.NewReader(text), nil).Recv(); err != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTheEnvironmentIsFilteredAsTheVectorsSay(t *testing.T) {
	type vector struct {
		Name                   string
		Env, Keep, Remove, Out []string
	}
	for _, c := range load[vector](t, "envfilter.json") {
		got := filterEnv(c.Env, &Config{EnvKeep: c.Keep, EnvRemove: c.Remove})
		if got == nil || !slices.Equal(got, c.Out) {
			t.Errorf("%s: %q, not %q", c.Name, got, c.Out)
		}
	}
}

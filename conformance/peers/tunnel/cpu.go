package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// pids are processes whose CPU time is counted.
type pids []int

func processes(list string) (pids, error) {
	var all pids
	for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("no process %q", text)
		}
		all = append(all, pid)
	}
	return all, nil
}

// cpu is the time that they ran, all threads together, those that have ended too, in seconds. The
// system tells it in hundredths of a second.
func (p pids) cpu() float64 {
	var ticks float64
	for _, pid := range p {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		// The second field is a name in parentheses, which may hold anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		for _, field := range fields[11:13] {
			value, _ := strconv.ParseFloat(field, 64)
			ticks += value
		}
	}
	return ticks / 100
}

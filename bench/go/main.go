// Command bench runs the scenarios of Trunkline's benchmark with the originals in Go, both ends in
// one process over loopback TCP: `bench SUBJECT SCENARIO tcp THREADS MILLISECONDS`. It prints
// figures as the programs in Rust do.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 6 {
		fail(fmt.Errorf("usage: bench SUBJECT SCENARIO tcp THREADS MILLISECONDS"))
	}
	subject, scenario := os.Args[1], os.Args[2]
	threads, err := strconv.Atoi(os.Args[4])
	check(err)
	millis, err := strconv.Atoi(os.Args[5])
	check(err)
	runtime.GOMAXPROCS(threads)
	client, server, err := pair(subject, scenario)
	check(err)
	sample, err := run(client, server, scenario, time.Duration(millis)*time.Millisecond)
	check(err)
	text, err := json.Marshal(sample)
	check(err)
	fmt.Println(string(text))
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// cpu is the time that this process has spent, in user space and in the kernel.
func cpu() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

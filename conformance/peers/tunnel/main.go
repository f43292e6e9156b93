// A peer of the agent tunnel: agent and server as the original's, and the web server and the load
// generator that tests and benchmarks put at the two ends. What it does stands in ../README.md.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"runtime/debug"
)

var commands = map[string]func(args []string) error{
	"agent":  runAgent,
	"server": runServer,
	"target": runTarget,
	"load":   runLoad,
	"about":  about,
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("tunnel: ")
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: tunnel agent|server|target|load|about [OPTION VALUE]...")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

// tell prints one line of JSON, which is what tests and benchmarks read.
func tell(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		log.Fatal(err)
	}
	os.Stdout.Write(append(text, '\n'))
}

// listen takes an address and tells which one it became.
func listen(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err == nil {
		tell(map[string]string{"listening": listener.Addr().String()})
	}
	return listener, err
}

// about tells the versions of what the original stands on, as they were built in.
func about([]string) error {
	versions := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			versions[module.Path] = module.Version
		}
	}
	tell(map[string]any{"name": "agent tunnel peer", "modules": versions})
	return nil
}

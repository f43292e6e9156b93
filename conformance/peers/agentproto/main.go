// Command agentproto is a peer for Trunkline's tests: either side of the wire agentproto, written
// from docs/protocols/agentproto.md with the codec that the original uses.
//
//	agentproto agent [-chatter N] [-after-exit]
//	agentproto run [-v] [-record FILE] [-cwd DIR] [-fd N]... [-env-keep P]... [-env-remove P]... AGENT... -- COMMAND...
//	agentproto paths [-v] AGENT... -- [DIR...]
//	agentproto records
//	agentproto files [-v] AGENT... --
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

const usage = `usage:
  agentproto agent [flags]                         serve one session on stdin and stdout
  agentproto run [flags] AGENT... -- COMMAND...    run a command on an agent started by AGENT...
  agentproto paths [flags] AGENT... -- [DIR...]    list an agent's programs: path, mode, size, mtime
  agentproto records                               write the recording on stdin again, record by record
  agentproto files [flags] AGENT... --             make file requests: JSON, one a line, on stdin
each with -h for its flags`

func main() {
	if len(os.Args) < 2 {
		os.Exit(misused())
	}
	role, args := os.Args[1], os.Args[2:]
	switch role {
	case "agent":
		os.Exit(mainAgent(args))
	case "run", "paths", "files":
		os.Exit(mainLocal(role, args))
	case "records":
		os.Exit(records(os.Stdin, os.Stdout))
	}
	os.Exit(misused())
}

func misused() int {
	fmt.Fprintln(os.Stderr, usage)
	return 2
}

func mainAgent(args []string) int {
	flags := flag.NewFlagSet("agent", flag.ExitOnError)
	var mischief Mischief
	flags.IntVar(&mischief.Chatter, "chatter", 0, "say so many log `records` before a command starts")
	flags.BoolVar(&mischief.AfterExit, "after-exit", false, "go on talking after the exit")
	_ = flags.Parse(args)
	if flags.NArg() > 0 {
		return misused()
	}
	return serve(os.Stdin, os.Stdout, mischief)
}

func mainLocal(role string, args []string) int {
	flags := flag.NewFlagSet(role, flag.ExitOnError)
	verbose := flags.Bool("v", false, "show every log record, not only those from level 4 up")
	var cwd, record string
	var fds []uint32
	config := &Config{EnvKeep: []string{}, EnvRemove: []string{}}
	if role == "run" {
		flags.StringVar(&record, "record", "", "record the session in this `file`")
		flags.StringVar(&cwd, "cwd", "", "the command's `directory`")
		flags.Func("fd", "pass this process's descriptor `N`; repeat for more", func(text string) error {
			n, err := strconv.ParseUint(text, 10, 8)
			if err == nil && (n < 3 || !isInherited(uint32(n))) {
				return errors.New("not a descriptor that this process was given")
			}
			fds = append(fds, uint32(n))
			return err
		})
		list(flags, "env-keep", &config.EnvKeep)
		list(flags, "env-remove", &config.EnvRemove)
	}
	_ = flags.Parse(args)
	end := slices.Index(flags.Args(), "--")
	if end < 1 {
		return misused()
	}
	agent, rest := flags.Args()[:end], flags.Args()[end+1:]
	logLevel := 4
	if *verbose {
		logLevel = -8
	}
	switch role {
	case "paths":
		return paths(agent, rest, logLevel)
	case "files":
		return files(agent, os.Stdin, os.Stdout, logLevel)
	}
	if len(rest) == 0 {
		return misused()
	}
	x := &Exec{Path: rest[0], Argv: rest, Cwd: cwd, Fds: fds}
	if len(config.EnvKeep)+len(config.EnvRemove) == 0 {
		return run(agent, nil, x, record, logLevel)
	}
	x.Env = os.Environ()
	return run(agent, config, x, record, logLevel)
}

// list adds a flag that can be repeated.
func list(flags *flag.FlagSet, name string, to *[]string) {
	kind := strings.TrimPrefix(name, "env-")
	flags.Func(name, kind+" the variables that match `PATTERN`, of this environment; repeat for more",
		func(text string) error {
			*to = append(*to, text)
			return nil
		})
}

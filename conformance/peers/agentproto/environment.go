package main

import (
	"path"
	"regexp"
	"strings"
)

// changedName is the variable that names those which the user set on purpose.
const changedName = "MPROXY_CHANGED_ENVS"

// filterEnv gives what a Config lets pass, in the same order; never nil (section 9).
func filterEnv(env []string, config *Config) []string {
	changed := changedNames(env)
	keep, remove := compile(config.EnvKeep), compile(config.EnvRemove)
	kept := []string{}
	for _, entry := range env {
		name := nameOf(entry)
		if name == changedName || matches(remove, name) {
			continue
		}
		if changed[name] || matches(keep, name) {
			kept = append(kept, entry)
		}
	}
	return kept
}

func changedNames(env []string) map[string]bool {
	changed := map[string]bool{}
	for _, entry := range env {
		if nameOf(entry) != changedName {
			continue
		}
		_, value, _ := strings.Cut(entry, "=")
		for name := range strings.SplitSeq(value, ":") {
			if name != "" {
				changed[name] = true
			}
		}
		break
	}
	return changed
}

func nameOf(entry string) string {
	name, _, _ := strings.Cut(entry, "=")
	return name
}

// compile turns patterns into tests; those that are not valid match nothing.
func compile(patterns []string) []func(string) bool {
	var tests []func(string) bool
	for _, pattern := range patterns {
		if len(pattern) > 2 && strings.HasPrefix(pattern, "/") && strings.HasSuffix(pattern, "/") {
			if re, err := regexp.Compile(pattern[1 : len(pattern)-1]); err == nil {
				tests = append(tests, re.MatchString)
			}
			continue
		}
		tests = append(tests, func(name string) bool {
			ok, err := path.Match(pattern, name)
			return ok && err == nil
		})
	}
	return tests
}

func matches(tests []func(string) bool, name string) bool {
	for _, test := range tests {
		if test(name) {
			return true
		}
	}
	return false
}

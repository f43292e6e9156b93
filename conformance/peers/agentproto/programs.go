package main

import (
	"os"
	"path/filepath"
)

// listPrograms gives the programs in directories, or in PATH when there are none (section 7). What
// cannot be read is left out; without any result the list is nil.
func listPrograms(dirs []string) []PathInfoEntry {
	if len(dirs) == 0 {
		dirs = filepath.SplitList(os.Getenv("PATH"))
	}
	var found []PathInfoEntry
	seen := map[string]bool{}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		// Sorted by name; after an error it holds what came before.
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			name := entry.Name()
			if seen[name] {
				continue
			}
			path := filepath.Join(dir, name)
			info, err := os.Stat(path)
			if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
				continue
			}
			seen[name] = true
			found = append(found, PathInfoEntry{
				Name:  name,
				Path:  path,
				Mode:  uint32(info.Mode().Perm()),
				Size:  info.Size(),
				Mtime: info.ModTime().UnixNano(),
			})
		}
	}
	return found
}

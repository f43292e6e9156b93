package main

import (
	"encoding/hex"
	"encoding/json"
)

// The types of a frame: docs/protocols/agentproto.md, section 4.
const (
	typeExec      = 1
	typeData      = 2
	typeEOF       = 3
	typeSignal    = 4
	typeExit      = 5
	typeError     = 6
	typeLog       = 7
	typeConfig    = 8
	typePathQuery = 9
	typePathInfo  = 10
	typeFileOp    = 11
	typeFileResp  = 12
)

// Frame is the one kind of item on the wire (section 4).
type Frame struct {
	Type     uint8      `cbor:"t"`
	Stream   uint32     `cbor:"s,omitempty"`
	Data     []byte     `cbor:"d,omitempty"`
	Signal   int        `cbor:"sig,omitempty"`
	Code     int        `cbor:"c,omitempty"`
	Error    string     `cbor:"e,omitempty"`
	Exec     *Exec      `cbor:"x,omitempty"`
	Log      *Log       `cbor:"l,omitempty"`
	Config   *Config    `cbor:"cfg,omitempty"`
	Query    *PathQuery `cbor:"q,omitempty"`
	Info     *PathInfo  `cbor:"i,omitempty"`
	FileOp   *FileOp    `cbor:"fop,omitempty"`
	FileResp *FileResp  `cbor:"frp,omitempty"`
}

// Exec is a command. A nil Env is the agent's own environment, an empty one is none at all.
type Exec struct {
	Path string   `cbor:"path"`
	Argv []string `cbor:"argv"`
	Env  []string `cbor:"env"`
	Cwd  string   `cbor:"cwd"`
	Fds  []uint32 `cbor:"fds,omitempty"`
}

// Config says which variables of the environment pass (section 9).
type Config struct {
	EnvKeep   []string `cbor:"env_keep"`
	EnvRemove []string `cbor:"env_remove"`
}

// Log is a record of the agent's logger.
type Log struct {
	Level   int      `cbor:"lvl"`
	Message string   `cbor:"msg"`
	Attrs   []string `cbor:"a,omitempty"`
}

// PathQuery asks for the programs in directories, or in the agent's PATH.
type PathQuery struct {
	Paths []string `cbor:"paths,omitempty"`
}

// PathInfo is the answer.
type PathInfo struct {
	Entries []PathInfoEntry `cbor:"entries"`
}

// PathInfoEntry is one program. Its long keys are its own.
type PathInfoEntry struct {
	Name  string `cbor:"name"`
	Path  string `cbor:"path"`
	Mode  uint32 `cbor:"mode"`
	Size  int64  `cbor:"size"`
	Mtime int64  `cbor:"mtime,omitempty"`
}

// FileOp is a request for a file (section 8).
type FileOp struct {
	ID     uint32 `cbor:"id" json:"id"`
	Op     uint8  `cbor:"op" json:"op"`
	Path   string `cbor:"p,omitempty" json:"p,omitempty"`
	New    string `cbor:"np,omitempty" json:"np,omitempty"`
	Flags  int32  `cbor:"fl,omitempty" json:"fl,omitempty"`
	Mode   uint32 `cbor:"mo,omitempty" json:"mo,omitempty"`
	UID    uint32 `cbor:"uid,omitempty" json:"uid,omitempty"`
	GID    uint32 `cbor:"gid,omitempty" json:"gid,omitempty"`
	Handle uint32 `cbor:"h,omitempty" json:"h,omitempty"`
	Offset int64  `cbor:"of,omitempty" json:"of,omitempty"`
	Size   int64  `cbor:"sz,omitempty" json:"sz,omitempty"`
	Atime  int64  `cbor:"at,omitempty" json:"at,omitempty"`
	Mtime  int64  `cbor:"mt,omitempty" json:"mt,omitempty"`
	Data   Bytes  `cbor:"d,omitempty" json:"d,omitempty"`
}

// FileResp answers the FileOp of the same id.
type FileResp struct {
	ID      uint32     `cbor:"id" json:"id"`
	Errno   uint32     `cbor:"er,omitempty" json:"er,omitempty"`
	Message string     `cbor:"em,omitempty" json:"em,omitempty"`
	Handle  uint32     `cbor:"h,omitempty" json:"h,omitempty"`
	Data    Bytes      `cbor:"d,omitempty" json:"d,omitempty"`
	Count   int64      `cbor:"n,omitempty" json:"n,omitempty"`
	EOF     bool       `cbor:"eof,omitempty" json:"eof,omitempty"`
	Path    string     `cbor:"p,omitempty" json:"p,omitempty"`
	Stat    *Stat      `cbor:"st,omitempty" json:"st,omitempty"`
	Statfs  *Statfs    `cbor:"sf,omitempty" json:"sf,omitempty"`
	Entries []DirEntry `cbor:"en,omitempty" json:"en,omitempty"`
}

// DirEntry is one line of a directory.
type DirEntry struct {
	Stat Stat `cbor:"st" json:"st"`
}

// Stat describes a file. Mode is in Go's bits, times are nanoseconds since 1970.
type Stat struct {
	Name   string `cbor:"n" json:"n"`
	Size   int64  `cbor:"s" json:"s"`
	Mode   uint32 `cbor:"m" json:"m"`
	Mtime  int64  `cbor:"t,omitempty" json:"t,omitempty"`
	Atime  int64  `cbor:"at,omitempty" json:"at,omitempty"`
	Ctime  int64  `cbor:"ct,omitempty" json:"ct,omitempty"`
	UID    uint32 `cbor:"uid,omitempty" json:"uid,omitempty"`
	GID    uint32 `cbor:"gid,omitempty" json:"gid,omitempty"`
	Links  uint32 `cbor:"nl,omitempty" json:"nl,omitempty"`
	Device uint32 `cbor:"rd,omitempty" json:"rd,omitempty"`
	Block  uint32 `cbor:"bs,omitempty" json:"bs,omitempty"`
	Blocks uint64 `cbor:"bl,omitempty" json:"bl,omitempty"`
	Ino    uint64 `cbor:"ino,omitempty" json:"ino,omitempty"`
	IsDir  bool   `cbor:"d,omitempty" json:"d,omitempty"`
}

// Statfs describes a file system.
type Statfs struct {
	Blocks    uint64 `cbor:"b,omitempty" json:"b,omitempty"`
	Free      uint64 `cbor:"bf,omitempty" json:"bf,omitempty"`
	Available uint64 `cbor:"ba,omitempty" json:"ba,omitempty"`
	Files     uint64 `cbor:"f,omitempty" json:"f,omitempty"`
	FreeFiles uint64 `cbor:"ff,omitempty" json:"ff,omitempty"`
	Block     uint32 `cbor:"bs,omitempty" json:"bs,omitempty"`
	Fragment  uint32 `cbor:"fr,omitempty" json:"fr,omitempty"`
	NameMax   uint32 `cbor:"nl,omitempty" json:"nl,omitempty"`
}

// Bytes is a byte string: in JSON {"hex": ..}, as in the vectors.
type Bytes []byte

// MarshalJSON writes the bytes in hex.
func (b Bytes) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"hex": hex.EncodeToString(b)})
}

// UnmarshalJSON reads them.
func (b *Bytes) UnmarshalJSON(text []byte) error {
	var notation struct{ Hex string }
	if err := json.Unmarshal(text, &notation); err != nil {
		return err
	}
	bytes, err := hex.DecodeString(notation.Hex)
	*b = bytes
	return err
}

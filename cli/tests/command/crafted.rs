//! Agents made of bytes: they say what a test wants, whatever they are asked.

use serde_json::{Value, json};

use crate::job::{Ended, run, run_with, trunkline};
use crate::temp::Temp;

/// Frames as bytes, by the program's own `encode`.
pub(crate) fn bytes_of(frames: &[Value]) -> Vec<u8> {
    let lines: String = frames.iter().map(|frame| format!("{frame}\n")).collect();
    let ended = run_with(&mut trunkline(["encode", "--wire", "agentproto"]), lines.as_bytes());
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    ended.out
}

/// Bytes as frames, by the program's own `decode`, which must like all of them.
pub(crate) fn frames_of(bytes: &[u8]) -> Vec<Value> {
    let ended = run_with(&mut trunkline(["decode", "--wire", "agentproto"]), bytes);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let frame = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["frame"].take();
    ended.text().lines().map(frame).collect()
}

/// A frame that asks for a command.
pub(crate) fn exec_frame(argv: &[&str]) -> Value {
    json!({"t": 1, "x": {"path": argv[0], "argv": argv, "env": null, "cwd": ""}})
}

pub(crate) fn data(stream: u32, text: &str) -> Value {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    if stream == 0 {
        json!({"t": 2, "d": {"hex": hex}})
    } else {
        json!({"t": 2, "s": stream, "d": {"hex": hex}})
    }
}

pub(crate) fn eof(stream: u32) -> Value {
    if stream == 0 { json!({"t": 3}) } else { json!({"t": 3, "s": stream}) }
}

/// An agent that says these bytes, reads to the end of its input and ends with 0.
pub(crate) struct Crafted {
    folder: Temp,
}

impl Crafted {
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        let folder = Temp::new();
        folder.write("says", bytes);
        Self { folder }
    }

    pub(crate) fn frames(frames: &[Value]) -> Self {
        Self::bytes(&bytes_of(frames))
    }

    /// The shell command that says the bytes.
    pub(crate) fn says(&self) -> String {
        format!("cat {}", self.folder.file("says"))
    }

    /// What to give to `--via`.
    pub(crate) fn via(&self) -> String {
        format!("{}; exec cat >/dev/null", self.says())
    }

    /// Runs `trunkline exec -- true` on it.
    pub(crate) fn exec(&self) -> Ended {
        run(&mut trunkline(["exec", "--via", &self.via(), "--", "true"]))
    }
}

//! Files of the bindings' agents for the Go peer as the client.

use std::ffi::OsStr;

use super::files::Folder;
use super::interop::go_peer;
use super::support::agent_program;
use file_client::{FileClient, agree, many_at_once};

#[path = "../../../conformance/peers/file_client.rs"]
mod file_client;
#[path = "../../../conformance/peers/file_script.rs"]
mod file_script;

/// The Go client with this binding's agent.
fn client() -> FileClient {
    FileClient::start(&[agent_program().as_os_str() as &OsStr])
}

#[test]
fn a_go_client_gets_the_answers_of_a_go_agent() {
    let (theirs, ours) = (Folder::new("theirs"), Folder::new("ours"));
    agree(client(), [theirs.path(), ours.path()], |dir, name| Some(format!("{dir}{name}")));
}

#[test]
fn a_go_client_has_hundreds_of_requests_under_way() {
    let dir = Folder::new("many");
    many_at_once(client(), dir.path());
}

//! A real OpenSSH server on loopback, with keys, configuration and port of its own.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::job::{LONG, PROGRAM, within};
use crate::temp::Temp;

/// A server that runs until the value is dropped.
pub(crate) struct Sshd {
    folder: Temp,
    port: u16,
    server: Child,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        let folder = Temp::new();
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &folder.file(key)])
                .status();
            assert!(
                made.is_ok_and(|status| status.success()),
                "ssh-keygen is needed for this test (Debian: openssh-client)"
            );
        }
        // Without a privilege separation directory no server starts; only root can need and make it.
        let _ = fs::create_dir_all("/run/sshd");
        let program = ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"]
            .into_iter()
            .find(|path| fs::exists(path).unwrap_or(false))
            .expect("sshd is needed for this test (Debian: openssh-server)");
        // Somebody else may take the port meanwhile: then the next one.
        for _ in 0..20 {
            let free =
                TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
            let port = free.expect("a free port").port();
            let dir = folder.text();
            let lines = [
                format!("Port {port}"),
                "ListenAddress 127.0.0.1".into(),
                format!("HostKey {dir}/host"),
                format!("AuthorizedKeysFile {dir}/user.pub"),
                format!("PidFile {dir}/pid"),
                "StrictModes no".into(),
                "UsePAM no".into(),
                "PermitRootLogin yes".into(),
                "MaxStartups 100".into(),
            ];
            let conf = folder.write("sshd_config", lines.join("\n"));
            let mut server = Command::new(program)
                .args(["-D", "-e", "-f", &conf])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(folder.file("log")).expect("a log"))
                .spawn()
                .expect("sshd starts");
            let up = within(LONG, || {
                TcpStream::connect(("127.0.0.1", port)).is_ok()
                    || !matches!(server.try_wait(), Ok(None))
            });
            if up && matches!(server.try_wait(), Ok(None)) {
                return Self { folder, port, server };
            }
            let _ = server.kill();
            let _ = server.wait();
        }
        panic!("sshd does not start: {}", folder.read("log"));
    }

    /// The ssh command line that runs this line over there.
    pub(crate) fn ssh(&self, remote: &str) -> String {
        let dir = self.folder.text();
        format!(
            "ssh -F none -p {} -i {dir}/user -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile={dir}/known -o LogLevel=ERROR -o IdentitiesOnly=yes \
             127.0.0.1 {remote}",
            self.port
        )
    }

    /// The line that leads to an agent over there.
    pub(crate) fn agent(&self) -> String {
        self.ssh(&format!("{PROGRAM} agent"))
    }

    /// Kills every session there is, without a word to anybody.
    pub(crate) fn kill_sessions(&self) {
        let below = format!("/proc/{0}/task/{0}/children", self.server.id());
        let sessions = fs::read_to_string(below).expect("the server runs");
        let pids: Vec<i32> = sessions.split_whitespace().flat_map(str::parse).collect();
        assert!(!pids.is_empty(), "no session is there to be killed");
        for pid in pids {
            // Where a session runs as another user, a process below speaks to the client.
            let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let below = list.unwrap_or_default();
            let is_sshd = |pid: &i32| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                name.starts_with("sshd")
            };
            let sessions = below.split_whitespace().flat_map(str::parse).filter(is_sshd);
            for pid in sessions.chain([pid]).filter_map(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if thread::panicking() {
            eprintln!("sshd said: {}", self.folder.read("log"));
        }
    }
}

//! Uses an agent's files: lists a folder, writes a file, reads it back, removes it; over smol.
//!
//! ```sh
//! cargo run -p trunkline-smol --example files
//! cargo run -p trunkline-smol --example files -- 'ssh host trunkline agent'
//! ```
//!
//! Without a line that leads to an agent it is served in this very process, at the other end of a
//! pair of sockets.

#[cfg(all(unix, feature = "host"))]
fn main() -> std::io::Result<()> {
    smol::block_on(run())
}

#[cfg(all(unix, feature = "host"))]
async fn run() -> std::io::Result<()> {
    use smol::io::AsyncWriteExt as _;
    use trunkline_smol::{Agent, Config, ServeOptions, copy_to, files_over, serve};

    let files = match std::env::args().nth(1) {
        // Whatever leads to an agent: the command line's stdin and stdout carry the session.
        Some(line) => Agent::via(line).files()?,
        // Any transport will do; here it is a socket, with an agent at its other end.
        None => {
            let (local, remote) = smol::net::unix::UnixStream::pair()?;
            smol::spawn(serve(remote, ServeOptions::default())).detach();
            files_over(local, Config::default())
        }
    };
    let here = files.getwd().await?;
    let mut entries = files.read_dir(here.as_str());
    while let Some(entry) = entries.next_entry().await? {
        println!("{:>12} {}", entry.size, entry.name);
    }

    let path = format!("/tmp/trunkline-example-{}", std::process::id());
    let mut file = files.create(path.as_str()).await?;
    file.write_all(b"written here, kept there\n").await?;
    // Closing tells what dropping would not: whether everything was written.
    file.close().await?;

    let mut copy = Vec::new();
    let count = copy_to(&files, path.as_str(), &mut copy, |_| ()).await?;
    print!("{count} bytes: {}", String::from_utf8_lossy(&copy));

    // Requests of several tasks, or of one at the same time, share the session.
    let (stat, removed) = (files.stat(path.as_str()), files.remove(path.as_str()));
    println!("changed at {} ns since 1970", stat.await?.mtime);
    removed.await?;
    files.close().await;
    Ok(())
}

#[cfg(not(all(unix, feature = "host")))]
fn main() {}

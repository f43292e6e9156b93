//! Files and trees there and back, and what a hostile or a strange agent makes of them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use trunkline_core::agentproto::{
    DirEntry, FileRequest, FileResponse, Frame, Stat, mode_from_unix,
};

use crate::rt::{
    self, Config, FileOp, Files, TransferError, TransferEvent, TransferOptions, TransferProgress,
    TransferSummary, files_over,
};

use super::files::{Folder, each_agent};
use super::peer::{Peer, bytes_of};
use super::support::{Pattern, cancel_at, eventually};
use super::wire::{Line, wire};

fn recursive() -> TransferOptions {
    let mut options = TransferOptions::default();
    options.recursive = true;
    options
}

/// What a transfer told.
#[derive(Debug, Default)]
struct Told {
    last: TransferProgress,
    failed: Vec<String>,
}

impl Told {
    fn take(&mut self, event: &TransferEvent<'_>) {
        match event {
            TransferEvent::Progress(progress) => {
                assert!(progress.bytes >= self.last.bytes && progress.files >= self.last.files);
                self.last = *progress;
            }
            TransferEvent::Failed(error) => self.failed.push(error.to_string()),
            other => panic!("{other:?}"),
        }
    }
}

fn content(path: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let name = path.to_str().unwrap().to_owned();
        if kind.is_dir() {
            found.insert(format!("{name}/"), Vec::new());
            content(&path, found);
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            found.insert(format!("{name}@"), target.to_str().unwrap().into());
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
}

fn is_send(_: &impl Send) {}

/// Everything below a folder, by its path in it.
fn tree(path: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    content(Path::new(path), &mut found);
    found.into_iter().map(|(name, content)| (name[path.len()..].to_owned(), content)).collect()
}

#[test]
fn a_tree_goes_there_and_back() {
    each_agent(async |agent| {
        let files = agent();
        let folder = Folder::new("tree");
        let pattern = Pattern::new();
        fs::create_dir_all(folder.at("from/a/b")).unwrap();
        fs::create_dir_all(folder.at("from/empty")).unwrap();
        let sizes = [0, 1, 4_096, 262_143, 262_144, 3_000_000];
        for (number, size) in sizes.into_iter().enumerate() {
            let name = if number % 2 == 0 { "from" } else { "from/a/b" };
            fs::write(folder.at(&format!("{name}/{number}")), pattern.head(size)).unwrap();
        }
        symlink("../0", folder.at("from/a/link")).unwrap();
        let all: u64 = sizes.into_iter().map(|size| size as u64).sum();
        for (way, [from, to]) in [["from", "there"], ["there", "back"]].into_iter().enumerate() {
            let (from, to) = (folder.at(from), folder.at(to));
            let mut told = Told::default();
            let take = |event: TransferEvent<'_>| told.take(&event);
            let done = match way {
                0 => files.put(&from, &*to, recursive(), take).await,
                _ => files.get(&*from, &to, recursive(), take).await,
            };
            let TransferSummary { files, directories, links, bytes, failed, .. } = done.unwrap();
            assert_eq!((files, directories, links, bytes, failed), (6, 4, 1, all, 0));
            let TransferProgress { bytes, total_bytes, files, complete, .. } = told.last;
            assert_eq!((bytes, total_bytes, files, complete), (all, all, 6, true));
            assert!(tree(&from) == tree(&to));
        }
        files.close().await;
    });
}

#[test]
fn one_that_is_dropped_closes_what_it_opened_and_can_be_gone_on_with() {
    each_agent(async |agent| {
        let files = agent();
        let folder = Folder::new("dropped");
        let (from, to) = (folder.at("from"), folder.at("to"));
        let whole = Pattern::new().head(20 << 20);
        fs::write(&from, &whole).unwrap();
        let seen = Mutex::new(TransferProgress::default());
        {
            let take = |event: TransferEvent<'_>| {
                if let TransferEvent::Progress(progress) = event {
                    *seen.lock().unwrap() = progress;
                }
            };
            let mut get = std::pin::pin!(files.get(&*from, &to, recursive(), take));
            is_send(&get);
            while seen.lock().unwrap().bytes < 1 << 20 {
                assert!(cancel_at(1, get.as_mut()).await.is_none(), "it is over already");
                rt::sleep(std::time::Duration::from_micros(50)).await;
            }
        }
        assert!(!fs::exists(&to).unwrap());
        let mut options = recursive();
        options.resume = true;
        let done = files.get(&*from, &to, options, |_| ()).await.unwrap();
        assert!(done.bytes < whole.len() as u64, "{done:?}");
        assert!(fs::read(&to).unwrap() == whole);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        files.close().await;
    });
}

#[test]
fn the_end_of_the_session_is_told_as_that() {
    each_agent(async |agent| {
        let folder = Folder::new("ended");
        let from = folder.at("from");
        fs::write(&from, "x").unwrap();
        let files = agent();
        files.abort();
        let error = files.get(&*from, folder.at("to"), recursive(), |_| ()).await.unwrap_err();
        assert!(TransferError::of(&error).unwrap().is_lost(), "{error}");
        let error = files.put(&from, folder.at("to"), recursive(), |_| ()).await.unwrap_err();
        assert!(TransferError::of(&error).unwrap().is_lost(), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    });
}

/// Serves files that a test invents, until the other side hangs up.
fn invented(answer: impl Fn(&FileRequest) -> FileResponse + Send + 'static) -> (Files, Line) {
    invented_if(Config::default(), move |request| Some(answer(request)))
}

/// As [`invented`], but what the test has no answer for is never answered.
fn invented_if(
    config: Config,
    answer: impl Fn(&FileRequest) -> Option<FileResponse> + Send + 'static,
) -> (Files, Line) {
    let (local, agent, line) = wire(64 << 10);
    let files = files_over(rt::Over(local), config);
    rt::spawn(async move {
        let mut peer = Peer::new(agent);
        while let Some(frame) = peer.recv().await {
            let Some(request) = frame.file_request else { continue };
            let Some(answer) = answer(&request) else { continue };
            let response = FileResponse { id: request.id, ..answer };
            if peer.try_send_bytes(&bytes_of(&Frame::file_response(response))).await.is_err() {
                break;
            }
        }
    })
    .detach();
    (files, line)
}

fn stat(name: &str, st_mode: u32, size: i64) -> Stat {
    let (name, mode) = (name.to_owned(), mode_from_unix(st_mode));
    Stat { name, mode, size, is_dir: st_mode & 0o170_000 == 0o040_000, ..Stat::default() }
}

fn of(stat: Stat) -> FileResponse {
    FileResponse { stat: Some(Box::new(stat)), ..FileResponse::default() }
}

fn errno(errno: u32) -> FileResponse {
    FileResponse { errno, ..FileResponse::default() }
}

/// An agent with the directory `/tree`, which holds these entries. Every other directory, whatever
/// its path, holds the file `inside`; every file holds the word `pwned`.
fn listing(entries: Vec<Stat>) -> (Files, Line) {
    let dir = |entries: &[Stat]| FileResponse {
        entries: entries.iter().map(|stat| DirEntry { stat: stat.clone() }).collect(),
        ..FileResponse::default()
    };
    invented(move |request| match request.op {
        FileOp::GETWD => FileResponse { path: "/".to_owned(), ..FileResponse::default() },
        FileOp::STAT => of(stat("tree", 0o040_755, 0)),
        FileOp::READ_DIR if request.path == "/tree" => dir(&entries),
        FileOp::READ_DIR => dir(&[stat("inside", 0o100_644, 5)]),
        FileOp::READLINK => FileResponse { path: "/tmp".to_owned(), ..FileResponse::default() },
        FileOp::OPEN_FILE => FileResponse { handle: 1, ..FileResponse::default() },
        FileOp::READ_AT => FileResponse {
            data: b"pwned".as_slice().into(),
            count: 5,
            eof: true,
            ..FileResponse::default()
        },
        FileOp::CLOSE => FileResponse::default(),
        _ => errno(38),
    })
}

#[test]
fn a_name_that_leads_out_of_the_target_is_refused() {
    rt::each(async || {
        for name in ["../out", "..", ".", "", "/out", "a/../../out", "in/out", "a\0b"] {
            for mode in [0o100_644, 0o040_755, 0o120_777] {
                let folder = Folder::new("names");
                let (files, _line) = listing(vec![stat(name, mode, 5), stat("z", 0o100_644, 5)]);
                let mut told = Told::default();
                let target = folder.at("target");
                let done = files.get("/tree", &target, recursive(), |event| told.take(&event));
                assert_eq!(done.await.unwrap().failed, 1, "{name:?}");
                assert!(told.failed[0].contains("leads out of the directory"), "{told:?}");
                assert_eq!(tree(folder.path().to_str().unwrap()).len(), 1, "{name:?} {mode:o}");
                assert!(tree(&target).is_empty());
            }
        }
    });
}

/// The agent lists a link, and then a directory of the same name with a file in it.
#[test]
fn nothing_is_written_through_a_link_that_the_agent_made() {
    rt::each(async || {
        let folder = Folder::new("through");
        fs::create_dir(folder.at("outside")).unwrap();
        let outside = folder.at("outside");
        // Whichever comes first: each order is tried often.
        for round in 0..20 {
            let mut entries = [stat("x", 0o120_777, 4), stat("x", 0o040_755, 0)];
            if round % 2 == 0 {
                entries.reverse();
            }
            let leads_to = outside.clone();
            let (files, _line) = invented(move |request| match request.op {
                FileOp::READLINK => FileResponse { path: leads_to.clone(), ..Default::default() },
                FileOp::GETWD => FileResponse { path: "/".to_owned(), ..Default::default() },
                FileOp::STAT => of(stat("tree", 0o040_755, 0)),
                FileOp::READ_DIR if request.path == "/tree" => FileResponse {
                    entries: entries.iter().map(|s| DirEntry { stat: s.clone() }).collect(),
                    ..Default::default()
                },
                FileOp::READ_DIR => FileResponse {
                    entries: vec![DirEntry { stat: stat("inside", 0o100_644, 5) }],
                    ..Default::default()
                },
                FileOp::OPEN_FILE => FileResponse { handle: 1, ..Default::default() },
                FileOp::READ_AT => FileResponse {
                    data: b"pwned".as_slice().into(),
                    count: 5,
                    eof: true,
                    ..Default::default()
                },
                FileOp::CLOSE => FileResponse::default(),
                _ => errno(38),
            });
            let target = folder.at(&format!("target{round}"));
            let done = files.get("/tree", &target, recursive(), |_| ()).await.unwrap();
            assert!(done.failed <= 1, "{done:?}");
            assert!(tree(&outside).is_empty(), "{:?}", tree(&outside));
        }
        // What is there already and leads away is not followed either.
        let target = folder.at("target");
        fs::create_dir(&target).unwrap();
        symlink(&outside, folder.at("target/x")).unwrap();
        let (files, _line) = listing(vec![stat("x", 0o040_755, 0)]);
        let done = files.get("/tree", &target, recursive(), |_| ()).await.unwrap();
        assert_eq!(done.failed, 1);
        assert!(tree(&outside).is_empty());
    });
}

#[test]
fn an_agent_that_answers_nonsense_is_no_endless_loop() {
    rt::each(async || {
        // Nothing, and not the end either; an end before the size it told.
        let nonsense: [fn() -> FileResponse; 2] =
            [FileResponse::default, || FileResponse { eof: true, ..FileResponse::default() }];
        for read in nonsense {
            let folder = Folder::new("nonsense");
            let open = Arc::new(AtomicI32::new(0));
            let count = Arc::clone(&open);
            let (files, _line) = invented(move |request| match request.op {
                FileOp::GETWD => FileResponse { path: "/".to_owned(), ..Default::default() },
                FileOp::STAT | FileOp::FSTAT => of(stat("file", 0o100_644, 1 << 20)),
                FileOp::OPEN_FILE => {
                    count.fetch_add(1, Ordering::Relaxed);
                    FileResponse { handle: 1, ..Default::default() }
                }
                FileOp::READ_AT => read(),
                FileOp::CLOSE => {
                    count.fetch_sub(1, Ordering::Relaxed);
                    FileResponse::default()
                }
                _ => errno(38),
            });
            let done: io::Result<_> =
                files.get("/file", folder.at("to"), TransferOptions::default(), |_| ()).await;
            let error = done.unwrap_err();
            assert!(!TransferError::of(&error).unwrap().is_lost(), "{error}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{error}");
            eventually("the handle is closed", || open.load(Ordering::Relaxed) == 0).await;
        }
    });
}

/// A part survives an agent that stalls for longer than a request may take, whoever holds it.
#[test]
fn what_an_agent_that_stalls_leaves_is_kept_for_going_on() {
    rt::each(async || {
        let mut config = Config::default();
        config.request_timeout = Some(std::time::Duration::from_millis(500));
        let folder = Folder::new("stalled");
        fs::write(folder.at("from"), vec![b'x'; 1 << 20]).unwrap();
        let removed = Arc::new(AtomicI32::new(0));
        let count = Arc::clone(&removed);
        let (files, _line) = invented_if(config, move |request| match request.op {
            FileOp::LSTAT => Some(errno(2)),
            FileOp::STAT => Some(of(stat("file", 0o100_644, 1 << 20))),
            FileOp::OPEN_FILE => Some(FileResponse { handle: 1, ..Default::default() }),
            FileOp::READ_AT if request.offset == 0 => {
                let data = vec![b'x'; usize::try_from(request.size).unwrap()];
                Some(FileResponse { data: data.into(), ..Default::default() })
            }
            FileOp::REMOVE => {
                count.fetch_add(1, Ordering::Relaxed);
                Some(FileResponse::default())
            }
            FileOp::GETWD => Some(FileResponse { path: "/".to_owned(), ..Default::default() }),
            _ => None,
        });
        let got = files.get("/file", folder.at("got"), TransferOptions::default(), |_| ()).await;
        let put = files.put(folder.at("from"), "/to", TransferOptions::default(), |_| ()).await;
        for error in [got.unwrap_err(), put.unwrap_err()] {
            let error = TransferError::of(&error).unwrap();
            assert_eq!(error.reason().kind(), io::ErrorKind::TimedOut);
            assert!(error.part().is_some_and(|part| part.ends_with(".part")), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(removed.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn an_answer_with_nothing_is_no_end_of_a_small_file() {
    rt::each(async || {
        for size in [0, 5] {
            let folder = Folder::new("no end");
            let (files, _line) = invented(move |request| match request.op {
                FileOp::GETWD => FileResponse { path: "/".to_owned(), ..Default::default() },
                FileOp::STAT | FileOp::FSTAT => of(stat("file", 0o100_644, size)),
                FileOp::OPEN_FILE => FileResponse { handle: 1, ..Default::default() },
                _ => FileResponse::default(),
            });
            let options = TransferOptions::default();
            let error = files.get("/file", folder.at("to"), options, |_| ()).await.unwrap_err();
            assert!(error.to_string().contains("tells no end"), "{error}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    });
}

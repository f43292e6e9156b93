//! Open files: reading, writing and seeking, against both agents.

use std::fs;
use std::io::{ErrorKind, SeekFrom};

use bytes::Bytes;

use crate::rt::{self, OpenOptions};

use super::files::{Folder, each_agent, errno};
use super::support::Pattern;

const COUNT: usize = 3_000_000;

#[test]
fn a_file_is_read_from_front_to_back() {
    each_agent(async |agent| {
        let folder = Folder::new("read");
        let pattern = Pattern::new();
        fs::write(folder.at("f"), pattern.head(COUNT)).unwrap();
        let files = agent();
        let mut file = files.open(folder.at("f")).await.unwrap();
        let all = rt::read_to_end(&mut file).await.unwrap();
        assert_eq!(all.len(), COUNT);
        pattern.check(0, &all);
        assert_eq!(rt::read(&mut file, &mut [0; 9]).await.unwrap(), 0);

        let mut again = files.open(folder.at("f")).await.unwrap();
        let mut seen = 0;
        while let Some(chunk) = again.read_chunk(70_001).await.unwrap() {
            assert!(!chunk.is_empty() && chunk.len() <= 70_001);
            pattern.check(seen, &chunk);
            seen += chunk.len();
        }
        assert_eq!(seen, COUNT);
        again.close().await.unwrap();
        again.close().await.unwrap();
        assert!(again.read_chunk(1).await.is_err());
    });
}

#[test]
fn a_file_is_written_whatever_the_size_of_writes() {
    each_agent(async |agent| {
        let folder = Folder::new("write");
        let pattern = Pattern::new();
        let files = agent();
        for size in [1_001, 65_536, 700_000] {
            let mut file = files.create(folder.at("f")).await.unwrap();
            let mut sent = 0;
            while sent < COUNT {
                let piece = pattern.at(sent, size.min(COUNT - sent));
                rt::write_all(&mut file, &piece).await.unwrap();
                sent += piece.len();
            }
            file.close().await.unwrap();
            assert_eq!(fs::read(folder.at("f")).unwrap(), pattern.head(COUNT));
        }
        // Without a copy, and mixed with little ones.
        let mut file = files.create(folder.at("g")).await.unwrap();
        rt::write_all(&mut file, &pattern.head(10)).await.unwrap();
        let mut sent = 10;
        while sent < COUNT {
            let mut piece = pattern.at(sent, COUNT - sent);
            sent += piece.len();
            file.write_bytes(&mut piece).await.unwrap();
        }
        rt::flush(&mut file).await.unwrap();
        assert_eq!(fs::read(folder.at("g")).unwrap(), pattern.head(COUNT));
    });
}

#[test]
fn reading_writing_and_seeking_agree_about_the_position() {
    each_agent(async |agent| {
        let folder = Folder::new("seek");
        let files = agent();
        let mut file = files.create(folder.at("f")).await.unwrap();
        rt::write_all(&mut file, b"hello, world").await.unwrap();
        assert_eq!(rt::seek(&mut file, SeekFrom::Start(7)).await.unwrap(), 7);
        assert_eq!(rt::read_exact(&mut file, 3).await.unwrap(), b"wor");
        rt::write_all(&mut file, b"LD!").await.unwrap();
        assert_eq!(rt::seek(&mut file, SeekFrom::End(-6)).await.unwrap(), 7);
        assert_eq!(rt::read_to_end(&mut file).await.unwrap(), b"worLD!");
        assert_eq!(rt::seek(&mut file, SeekFrom::Current(-13)).await.unwrap(), 0);
        assert!(rt::seek(&mut file, SeekFrom::Current(-1)).await.is_err());
        rt::write_all(&mut file, b"J").await.unwrap();
        // Over bytes that are under way.
        rt::seek(&mut file, SeekFrom::Start(0)).await.unwrap();
        rt::write_all(&mut file, b"Y").await.unwrap();
        assert_eq!(rt::read_exact(&mut file, 4).await.unwrap(), b"ello");
        // Behind the end there is nothing, and then a hole.
        rt::seek(&mut file, SeekFrom::Start(20)).await.unwrap();
        assert_eq!(rt::read(&mut file, &mut [0; 4]).await.unwrap(), 0);
        rt::write_all(&mut file, b"end").await.unwrap();
        file.close().await.unwrap();
        assert_eq!(fs::read(folder.at("f")).unwrap(), b"Yello, worLD!\0\0\0\0\0\0\0end");
    });
}

#[test]
fn what_is_read_at_the_end_comes_when_the_file_has_grown() {
    each_agent(async |agent| {
        let folder = Folder::new("grow");
        fs::write(folder.at("f"), b"one").unwrap();
        let files = agent();
        let mut file = files.open(folder.at("f")).await.unwrap();
        assert_eq!(rt::read_to_end(&mut file).await.unwrap(), b"one");
        fs::write(folder.at("f"), b"one two").unwrap();
        assert_eq!(rt::read_to_end(&mut file).await.unwrap(), b" two");
    });
}

#[test]
fn a_handle_reads_and_writes_anywhere_beside_its_position() {
    each_agent(async |agent| {
        let folder = Folder::new("anywhere");
        let pattern = Pattern::new();
        let files = agent();
        let options = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600);
        let mut file = files.open_with(folder.at("f"), &options).await.unwrap();
        file.write_at(5, pattern.head(900_000).into()).await.unwrap();
        assert_eq!(file.stat().await.unwrap().size, 900_005);
        assert_eq!(file.read_at(0, 5).await.unwrap(), [0; 5][..]);
        pattern.check(0, &file.read_at(5, 2_000_000).await.unwrap());
        assert_eq!(file.read_at(900_005, 10).await.unwrap(), Bytes::new());
        file.set_len(7).await.unwrap();
        file.sync().await.unwrap();
        assert_eq!(fs::read(folder.at("f")).unwrap().len(), 7);
        assert_eq!(rt::read_exact(&mut file, 5).await.unwrap(), [0; 5]);
        let again = files.open_with(folder.at("f"), &options).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn what_is_appended_goes_to_the_end_wherever_that_is() {
    each_agent(async |agent| {
        let folder = Folder::new("append");
        fs::write(folder.at("f"), b"0").unwrap();
        let files = agent();
        let options = OpenOptions::new().append(true);
        let mut one = files.open_with(folder.at("f"), &options).await.unwrap();
        let mut two = files.open_with(folder.at("f"), &options).await.unwrap();
        for text in ["1", "2", "3"] {
            rt::write_all(&mut one, text.as_bytes()).await.unwrap();
            rt::flush(&mut one).await.unwrap();
            rt::write_all(&mut two, b"-").await.unwrap();
            rt::flush(&mut two).await.unwrap();
        }
        rt::write_all(&mut one, &[b'x'; 600_000]).await.unwrap();
        one.close().await.unwrap();
        let all = fs::read(folder.at("f")).unwrap();
        assert!(all.starts_with(b"01-2-3-xxx") && all.len() == 600_007);
    });
}

#[test]
fn errors_of_writing_are_told_by_the_next_call_and_by_closing() {
    each_agent(async |agent| {
        let folder = Folder::new("refused");
        fs::write(folder.at("f"), b"one").unwrap();
        let files = agent();
        // For reading only.
        let mut file = files.open(folder.at("f")).await.unwrap();
        rt::write_all(&mut file, b"x").await.unwrap();
        assert_eq!(errno(rt::flush(&mut file).await), 9);
        assert_eq!(errno(rt::write_all(&mut file, b"x").await), 9);
        assert_eq!(errno(file.sync().await), 9);
        rt::seek(&mut file, SeekFrom::Start(0)).await.unwrap();
        assert_eq!(rt::read_to_end(&mut file).await.unwrap(), b"one");
        let shown = file.close().await.unwrap_err().to_string();
        assert!(shown.starts_with(&format!("write {}: ", folder.at("f"))), "{shown}");
        assert_eq!(fs::read(folder.at("f")).unwrap(), b"one");

        let mut full = files.open_with("/dev/full", &OpenOptions::new().write(true)).await.unwrap();
        let mut written = 0;
        let error = loop {
            match rt::write_all(&mut full, &[0; 100_000]).await {
                Ok(()) => written += 100_000,
                Err(error) => break error,
            }
            assert!(written < 50 << 20, "no error comes");
        };
        assert_eq!(errno::<()>(Err(error)), 28);

        let mut folder_file = files.open(folder.path().to_str().unwrap()).await.unwrap();
        assert_eq!(errno(folder_file.read_chunk(10).await), 21);
        assert_eq!(errno(folder_file.set_len(0).await), 22);
    });
}

#[test]
fn whole_files_are_copied_with_progress() {
    each_agent(async |agent| {
        let folder = Folder::new("copy");
        let pattern = Pattern::new();
        fs::write(folder.at("f"), pattern.head(COUNT)).unwrap();
        let files = agent();
        let (mut told, mut bytes) = (Vec::new(), Vec::new());
        let count = rt::copy_to(&files, folder.at("f"), &mut bytes, |count| told.push(count));
        assert_eq!(count.await.unwrap(), COUNT as u64);
        assert_eq!(bytes, pattern.head(COUNT));
        assert!(told.is_sorted() && told.last() == Some(&(COUNT as u64)));

        let mut told = Vec::new();
        let mut reader = &bytes[..];
        let count = rt::copy_from(&files, folder.at("g"), &mut reader, |count| told.push(count));
        assert_eq!(count.await.unwrap(), COUNT as u64);
        assert_eq!(fs::read(folder.at("g")).unwrap(), bytes);
        assert!(told.is_sorted() && told.last() == Some(&(COUNT as u64)));

        let missing = rt::copy_to(&files, folder.at("x"), &mut Vec::new(), |_| ()).await;
        assert_eq!(errno(missing), 2);
        // What has no size tells its end all the same.
        let mut text = Vec::new();
        rt::copy_to(&files, "/proc/self/status", &mut text, |_| ()).await.unwrap();
        assert!(text.starts_with(b"Name:"));
    });
}

#[test]
fn the_entries_of_a_directory_come_one_by_one() {
    each_agent(async |agent| {
        let folder = Folder::new("list");
        for index in 0..300 {
            fs::write(folder.at(&format!("{index:03}")), vec![0; index]).unwrap();
        }
        let files = agent();
        let mut entries = files.read_dir(folder.path().to_str().unwrap());
        let mut seen = 0;
        while let Some(stat) = entries.next_entry().await.unwrap() {
            assert_eq!((stat.name, stat.size), (format!("{seen:03}"), seen));
            seen += 1;
        }
        assert_eq!(seen, 300);
        assert!(entries.next_entry().await.unwrap().is_none());
        let mut none = files.read_dir(folder.at("x"));
        assert_eq!(errno(none.next_entry().await), 2);
        assert!(none.next_entry().await.unwrap().is_none());
    });
}

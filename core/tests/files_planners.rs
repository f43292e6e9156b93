//! The planners of files, against a file in memory whose answers come in any order.

use bytes::Bytes;
use proptest::prelude::*;
use trunkline_core::Payload;
use trunkline_core::agentproto::{AheadRead, Piece, RangePlan, ReadAhead, Stalled, WriteBehind};

#[derive(Debug, PartialEq)]
enum Fault {
    Refused(u64),
    Stalled(u64),
}

impl From<Stalled> for Fault {
    fn from(stalled: Stalled) -> Self {
        Self::Stalled(stalled.offset)
    }
}

fn file(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251) as u8).collect()
}

/// What a server that gives at most so many bytes answers to a read: bytes, and whether the end cut
/// them short.
fn read_at(file: &[u8], piece: Piece, most: usize) -> (Bytes, bool) {
    let begin = file.len().min(usize::try_from(piece.offset).unwrap());
    let wanted = piece.len.min(most.max(1));
    let end = file.len().min(begin + wanted);
    (Bytes::copy_from_slice(&file[begin..end]), end - begin < wanted)
}

/// A payload in two pieces.
fn in_pieces(data: &Bytes) -> Payload {
    let mut payload = Payload::from(data.slice(..data.len() / 2));
    payload.push(data.slice(data.len() / 2..));
    payload
}

/// Which of so many, as a number without meaning chooses.
fn pick(choices: &[u16], turn: &mut usize, count: usize) -> usize {
    *turn += 1;
    usize::from(choices[*turn % choices.len()]) % count
}

proptest! {
    #[test]
    fn a_range_is_whole_whatever_the_order_of_answers(
        length in 0_usize..3_000,
        start in 0_u64..3_000,
        chunk in 1_usize..400,
        most in 1_usize..300,
        flights in 1_usize..9,
        choices in prop::collection::vec(any::<u16>(), 1..40),
    ) {
        let source = file(length);
        let mut target = vec![None; length];
        let mut plan = RangePlan::new(start..u64::MAX, chunk);
        let (mut asked, mut turn) = (Vec::new(), 0);
        loop {
            while asked.len() < flights {
                let Some(piece) = plan.next_piece() else { break };
                prop_assert!(piece.len > 0 && piece.len <= chunk);
                asked.push(piece);
            }
            prop_assert_eq!(plan.in_flight(), asked.len());
            if asked.is_empty() {
                break;
            }
            let piece = asked.swap_remove(pick(&choices, &mut turn, asked.len()));
            if turn < 50 && pick(&choices, &mut turn, 5) == 0 {
                plan.give_back(piece);
                continue;
            }
            let (data, eof) = read_at(&source, piece, most);
            for (index, byte) in data.iter().enumerate() {
                target[piece.offset as usize + index] = Some(*byte);
            }
            plan.answer(piece, data.len(), eof).unwrap();
            let complete = (plan.complete_to() as usize).min(length);
            prop_assert!(complete < start as usize || target[start as usize..complete].iter().all(Option::is_some));
        }
        prop_assert!(plan.is_done());
        prop_assert_eq!(plan.end(), start.max(length as u64));
        let begin = (start as usize).min(length);
        let whole: Option<Vec<u8>> = target[begin..].iter().copied().collect();
        prop_assert_eq!(whole.as_deref(), Some(&source[begin..]));
    }

    #[test]
    fn reading_ahead_gives_the_file_whatever_the_order_of_answers(
        length in 0_usize..200_000,
        chunk in 1_usize..70_000,
        window in 0_usize..300_000,
        most in 1_000_usize..50_000,
        choices in prop::collection::vec(any::<u16>(), 1..40),
    ) {
        let source = file(length);
        let mut ahead = ReadAhead::<Fault>::new(chunk.max(500), window);
        let (mut seen, mut asked, mut turn) = (Vec::new(), Vec::new(), 0);
        loop {
            while let Some(piece) = ahead.next_piece(usize::MAX) {
                asked.push(piece);
            }
            let under_way: usize = asked.iter().map(|piece: &Piece| piece.len).sum();
            prop_assert!(ahead.held() >= under_way);
            prop_assert!(ahead.held() <= window.max(chunk.max(500)));
            match ahead.read(1 + pick(&choices, &mut turn, 30_000)) {
                AheadRead::Data(data) => seen.extend_from_slice(&data),
                AheadRead::End => break,
                AheadRead::Failed(fault) => prop_assert!(false, "{:?}", fault),
                AheadRead::Wait => {
                    prop_assert!(!asked.is_empty(), "waits for nothing at {}", ahead.position());
                    let piece = asked.swap_remove(pick(&choices, &mut turn, asked.len()));
                    if turn < 50 && pick(&choices, &mut turn, 6) == 0 {
                        ahead.give_back(piece);
                    } else {
                        let (data, eof) = read_at(&source, piece, most);
                        ahead.answer(piece, in_pieces(&data), eof);
                    }
                }
            }
        }
        prop_assert_eq!(ahead.position(), length as u64);
        prop_assert!(seen == source);
        prop_assert_eq!(ahead.held(), 0);
    }

    #[test]
    fn seeking_reads_what_is_there(
        steps in prop::collection::vec((0_u64..120_000, 1_usize..50_000), 1..12),
    ) {
        let source = file(100_000);
        let mut ahead = ReadAhead::<Fault>::new(8_000, 64_000);
        let mut asked = Vec::new();
        for (position, count) in steps {
            if !ahead.seek(position) {
                asked.clear();
            }
            let mut left = count;
            let mut at = position as usize;
            while left > 0 {
                while let Some(piece) = ahead.next_piece(usize::MAX) {
                    asked.push(piece);
                }
                match ahead.read(left) {
                    AheadRead::Data(data) => {
                        prop_assert!(source[at..].starts_with(&data));
                        at += data.len();
                        left -= data.len();
                    }
                    AheadRead::End => {
                        prop_assert!(at >= source.len());
                        asked.clear();
                        break;
                    }
                    AheadRead::Wait => {
                        let piece = asked.pop().unwrap();
                        let (data, eof) = read_at(&source, piece, usize::MAX);
                        ahead.answer(piece, data.into(), eof);
                    }
                    AheadRead::Failed(fault) => prop_assert!(false, "{:?}", fault),
                }
            }
            prop_assert!(ahead.position() >= position);
        }
    }

    #[test]
    fn writing_behind_writes_the_file_whatever_is_written_at_once(
        pieces in prop::collection::vec(1_usize..500, 0..30),
        choices in prop::collection::vec(any::<u16>(), 1..40),
    ) {
        let source = file(pieces.iter().sum());
        let mut target = vec![0; source.len()];
        let mut behind = WriteBehind::<Fault>::new(900);
        let (mut sent, mut offset, mut turn) = (Vec::new(), 0, 0);
        let mut left = pieces.into_iter().peekable();
        while left.peek().is_some() || !behind.is_idle() {
            match left.next_if(|count| behind.has_room(*count)) {
                Some(count) => {
                    let data = Bytes::copy_from_slice(&source[offset..offset + count]);
                    sent.push((behind.write(offset as u64, data.clone()), data));
                    offset += count;
                }
                None => {
                    let (piece, data) = sent.swap_remove(pick(&choices, &mut turn, sent.len()));
                    let count = 1 + pick(&choices, &mut turn, data.len());
                    let begin = piece.offset as usize;
                    target[begin..begin + count].copy_from_slice(&data[..count]);
                    sent.extend(behind.answer(piece, count));
                }
            }
            prop_assert!(behind.held() <= 900);
        }
        prop_assert!(target == source);
        prop_assert!(behind.fault().is_none() && sent.is_empty());
    }
}

#[test]
fn the_window_opens_while_reading_goes_on_and_closes_with_a_seek() {
    let mut ahead = ReadAhead::<Fault>::new(256 << 10, 4 << 20);
    let mut most = 0;
    let mut position = 0;
    for round in 0..40 {
        let mut asked = Vec::new();
        while let Some(piece) = ahead.next_piece(usize::MAX) {
            asked.push(piece);
        }
        if round == 0 {
            assert_eq!(asked, [Piece { offset: 0, len: 32 << 10 }]);
        }
        for piece in asked {
            ahead.answer(piece, vec![0; piece.len].into(), false);
        }
        most = most.max(ahead.held());
        while let AheadRead::Data(data) = ahead.read(usize::MAX) {
            position += data.len() as u64;
        }
    }
    assert_eq!(ahead.position(), position);
    assert_eq!(most, 4 << 20);
    assert!(!ahead.seek(7));
    assert_eq!(ahead.next_piece(usize::MAX), Some(Piece { offset: 7, len: 32 << 10 }));
    assert_eq!(ahead.next_piece(usize::MAX), None);
    // Without room for more, one is still asked for.
    assert!(!ahead.seek(9));
    assert_eq!(ahead.next_piece(0), Some(Piece { offset: 9, len: 32 << 10 }));
}

#[test]
fn an_error_shows_behind_the_bytes_in_front_of_it_and_once() {
    let mut ahead = ReadAhead::<Fault>::new(1_000, 10_000);
    let first = ahead.next_piece(usize::MAX).unwrap();
    ahead.answer(first, vec![1; 1_000].into(), false);
    assert!(matches!(ahead.read(1_000), AheadRead::Data(_)));
    let (two, three) = (ahead.next_piece(9_000).unwrap(), ahead.next_piece(9_000).unwrap());
    ahead.fail(three, Fault::Refused(3));
    assert!(matches!(ahead.read(1_000), AheadRead::Wait));
    ahead.answer(two, vec![2; 1_000].into(), false);
    assert!(matches!(ahead.read(5_000), AheadRead::Data(data) if data.len() == 1_000));
    assert!(matches!(ahead.read(1), AheadRead::Failed(Fault::Refused(3))));
    assert!(matches!(ahead.read(1), AheadRead::Wait));
    assert_eq!(ahead.next_piece(0).unwrap().offset, 2_000);
}

#[test]
fn what_is_in_front_of_an_error_is_still_asked_for() {
    let mut ahead = ReadAhead::<Fault>::new(1_000, 10_000);
    let first = ahead.next_piece(usize::MAX).unwrap();
    ahead.answer(first, vec![1; 1_000].into(), false);
    assert!(matches!(ahead.read(1_000), AheadRead::Data(_)));
    let (two, three) = (ahead.next_piece(9_000).unwrap(), ahead.next_piece(9_000).unwrap());
    ahead.fail(three, Fault::Refused(3));
    ahead.answer(two, vec![2; 400].into(), false);
    let rest = ahead.next_piece(9_000).unwrap();
    assert_eq!((rest.offset, rest.len), (1_400, 600));
    assert_eq!(ahead.next_piece(9_000), None);
    ahead.answer(rest, vec![2; 600].into(), false);
    let mut seen = 0;
    while let AheadRead::Data(data) = ahead.read(5_000) {
        seen += data.len();
    }
    assert_eq!((seen, ahead.position()), (1_000, 2_000));
}

#[test]
fn a_file_that_grows_is_read_on_behind_its_end() {
    let mut ahead = ReadAhead::<Fault>::new(1_000, 10_000);
    let piece = ahead.next_piece(0).unwrap();
    ahead.answer(piece, Payload::new(), true);
    assert!(matches!(ahead.read(1), AheadRead::End));
    let piece = ahead.next_piece(0).unwrap();
    assert_eq!(piece.offset, 0);
    ahead.answer(piece, vec![1; 5].into(), true);
    assert!(matches!(ahead.read(9), AheadRead::Data(data) if data.len() == 5));
    assert!(matches!(ahead.read(1), AheadRead::End));
}

#[test]
fn an_agent_that_gives_nothing_and_no_end_is_an_error() {
    let mut ahead = ReadAhead::<Fault>::new(1_000, 10_000);
    let piece = ahead.next_piece(0).unwrap();
    ahead.answer(piece, Payload::new(), false);
    assert!(matches!(ahead.read(1), AheadRead::Failed(Fault::Stalled(0))));
}

//! CBOR in encodings that nobody asked for.

use ciborium::Value;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use trunkline_core::agentproto::Item as _;

use super::frame;

/// Writes `value` in some legal encoding that is hardly ever the canonical one: keys in any order,
/// heads of any width, indefinite lengths, tags, and a key nobody knows. `whims` decides.
pub(crate) fn sloppy(value: &Value, whims: &mut impl Iterator<Item = u8>, to: &mut Vec<u8>) {
    if whim(whims, 8) {
        to.extend(b"\xd9\xd9\xf7");
    }
    match value {
        Value::Integer(number) => match u64::try_from(*number) {
            Ok(number) => head(0, number, whims, to),
            Err(_) => head(1, u64::try_from(-1 - i128::from(*number)).unwrap(), whims, to),
        },
        Value::Bytes(bytes) => string(2, bytes, whims, to),
        Value::Text(text) => string(3, text.as_bytes(), whims, to),
        Value::Bool(value) => to.push(if *value { 0xf5 } else { 0xf4 }),
        Value::Array(list) => {
            let indefinite = open(4, list.len(), whims, to);
            list.iter().for_each(|element| sloppy(element, whims, to));
            to.extend(indefinite.then_some(0xff));
        }
        Value::Map(pairs) => {
            let stranger = whim(whims, 3);
            let indefinite = open(5, pairs.len() + usize::from(stranger), whims, to);
            let first = usize::from(whims.next().unwrap()) % pairs.len().max(1);
            for (key, value) in pairs[first..].iter().chain(&pairs[..first]) {
                string(3, key.as_text().unwrap().as_bytes(), whims, to);
                sloppy(value, whims, to);
            }
            to.extend(if stranger {
                &b"\x63new\x9f\xa1\x01\xf9\x3c\x00\x61\xff\xff"[..]
            } else {
                b""
            });
            to.extend(indefinite.then_some(0xff));
        }
        _ => to.push(if whim(whims, 2) { 0xf7 } else { 0xf6 }),
    }
}

fn whim(whims: &mut impl Iterator<Item = u8>, one_in: u8) -> bool {
    whims.next().unwrap().is_multiple_of(one_in)
}

fn open(major: u8, length: usize, whims: &mut impl Iterator<Item = u8>, to: &mut Vec<u8>) -> bool {
    let indefinite = whim(whims, 3);
    if indefinite {
        to.push(major << 5 | 31);
    } else {
        head(major, length as u64, whims, to);
    }
    indefinite
}

fn string(major: u8, bytes: &[u8], whims: &mut impl Iterator<Item = u8>, to: &mut Vec<u8>) {
    if !open(major, bytes.len(), whims, to) {
        to.extend(bytes);
        return;
    }
    // Text is cut between characters only.
    let text = std::str::from_utf8(bytes).ok().filter(|_| major == 3);
    let cut =
        (0..=bytes.len() / 2).rev().find(|at| text.is_none_or(|text| text.is_char_boundary(*at)));
    let (one, other) = bytes.split_at(cut.unwrap());
    for chunk in [one, other] {
        head(major, chunk.len() as u64, whims, to);
        to.extend(chunk);
    }
    to.push(0xff);
}

fn head(major: u8, argument: u64, whims: &mut impl Iterator<Item = u8>, to: &mut Vec<u8>) {
    let shortest =
        [0x18, 0x100, 0x1_0000, 0x1_0000_0000].iter().filter(|least| argument >= **least).count();
    let width = shortest.max(usize::from(whims.next().unwrap() % 10));
    let width = if width > 4 { shortest } else { width };
    if width == 0 {
        to.push(major << 5 | argument as u8);
    } else {
        to.push(major << 5 | (23 + width as u8));
        to.extend(&argument.to_be_bytes()[8 - (1 << (width - 1))..]);
    }
}

/// A DATA frame in canonical order whose zeros may stand there. Of the heads of data, stream and
/// type, `odd` is the number of one in the form `width` (1 to 4, as long as it needs at least).
pub(crate) fn nearly_canonical_data(
    length: usize,
    stream: Option<u64>,
    odd: usize,
    width: u8,
) -> Vec<u8> {
    // 9 is the whim that wants the shortest head.
    let mut whims = [9; 3];
    whims.get_mut(odd).into_iter().for_each(|whim| *whim = width);
    let [data, number, kind] = whims.map(std::iter::once);
    let mut bytes = vec![if stream.is_some() { 0xa3 } else { 0xa2 }, 0x61, b'd'];
    head(2, length as u64, &mut { data }, &mut bytes);
    bytes.resize(bytes.len() + length, 0xa5);
    if let Some(stream) = stream {
        bytes.extend(b"\x61s");
        head(0, stream, &mut { number }, &mut bytes);
    }
    bytes.extend(b"\x61t");
    head(0, 2, &mut { kind }, &mut bytes);
    bytes
}

/// A well-formed map whose keys are mostly those of messages, and whose values are anything.
pub(crate) fn lookalike() -> impl Strategy<Value = Vec<u8>> {
    vec(pair(item().boxed()), 0..5).prop_map(|pairs| container(5, &pairs))
}

fn pair(value: BoxedStrategy<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    const KEYS: &[&[u8]] = &[
        b"\x61t",
        b"\x61d",
        b"\x61s",
        b"\x61c",
        b"\x61e",
        b"\x61x",
        b"\x63frp",
        b"\x63fop",
        b"\x61T",
        b"\x62en",
        b"\x62st",
        b"\x61m",
        b"\x61n",
        b"\x64argv",
        b"\x63env",
        b"\x64path",
        b"\x62id",
        b"\x63eof",
        b"\x62zz",
        b"\x7f\x61t\xff",
        b"\x05",
        b"\x41t",
        b"\x61\xff",
    ];
    (select(KEYS), value).prop_map(|(key, value)| [key, &value].concat())
}

fn item() -> impl Strategy<Value = Vec<u8>> {
    const LEAVES: &[&[u8]] = &[
        b"\x00",
        b"\x05",
        b"\x18\xff",
        b"\x19\x01\x00",
        b"\x1a\xff\xff\xff\xff",
        b"\x1b\x80\0\0\0\0\0\0\0",
        b"\x20",
        b"\x3b\x80\0\0\0\0\0\0\0",
        b"\x40",
        b"\x42ab",
        b"\x5f\x41a\x40\xff",
        b"\x60",
        b"\x61a",
        b"\x61\xff",
        b"\x7f\x61a\xff",
        b"\xf4",
        b"\xf5",
        b"\xf6",
        b"\xf7",
        b"\xe5",
        b"\xf8\x20",
        b"\xf9\x45\x00",
        b"\xc2\x41\x05",
        b"\xc3\x40",
        b"\xc2\x49\x01\0\0\0\0\0\0\0\0",
        b"\x80",
        b"\xa0",
        b"\x9f\xff",
        b"\xbf\xff",
    ];
    select(LEAVES).prop_map(<[u8]>::to_vec).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| container(4, &items)),
            vec(pair(inner.clone()), 0..4).prop_map(|pairs| container(5, &pairs)),
            (select(&[0_u8, 1, 2, 3, 23][..]), inner).prop_map(|(tag, item)| [
                &[0xc0 | tag],
                &item[..]
            ]
            .concat()),
        ]
    })
}

/// Every other container is indefinite.
fn container(major: u8, members: &[Vec<u8>]) -> Vec<u8> {
    let body = members.concat();
    if body.len() % 2 == 0 {
        [&[major << 5 | members.len() as u8], &body[..]].concat()
    } else {
        [&[major << 5 | 31], &body[..], &[0xff]].concat()
    }
}

/// Bytes, most of which mean something in CBOR.
pub(crate) fn noise() -> impl Strategy<Value = Vec<u8>> {
    const HEADS: &[u8] = &[
        0xa1, 0xa2, 0xbf, 0xff, 0x61, b't', b'd', 0x62, 0x41, 0x58, 0x5b, 0x5f, 0x7f, 0x81, 0x9b,
        0x9f, 0xc2, 0xd8, 0xf6, 0xf8, 0xf9, 0x05, 0x18, 0x1b, 0x1f, 0x80, 0x00, 0x01,
    ];
    prop_oneof![
        vec(any::<u8>(), 0..80),
        vec(select(HEADS), 0..40),
        (frame(), vec(select(HEADS), 0..12))
            .prop_map(|(frame, noise)| { [frame.to_bytes().unwrap(), noise].concat() }),
    ]
}

//! Operations at random, against a model: per-stream queues of bytes and the session's state table.
//!
//! The model is `world`: it says what every call must return and which events may come, and looks
//! at both machines after every step.

mod world;

use std::time::Duration;

use proptest::prelude::*;
use trunkline_conformance::sim::Fault;
use trunkline_core::agentproto::Config;
use world::{Op, World};

fn config() -> impl Strategy<Value = Config> {
    let tight = |mut config: Config| {
        config.limits.stream_queue = 300;
        config.limits.session_queue = 700;
        config.limits.replies = 4;
        config.limits.in_flight = 3;
        config.data_chunk = 90;
        config
    };
    prop_oneof![Just(Config::default()), Just(Config::reference())]
        .prop_flat_map(move |config| prop_oneof![Just(config.clone()), Just(tight(config))])
}

fn fds() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        3 => Just(vec![]),
        3 => Just(vec![3]),
        3 => Just(vec![5, 3]),
        1 => Just(vec![3, 3]),
        1 => Just(vec![2]),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let stream = prop_oneof![0..4_u32, Just(5_u32), Just(9_u32)];
    let size = prop_oneof![0..20_usize, 0..600_usize];
    let bytes = prop_oneof![1..9_u64, 1..300_u64, Just(1 << 20)];
    let fault = prop_oneof![
        Just(Fault::Eof),
        Just(Fault::Reset),
        Just(Fault::Stall(Some(Duration::from_secs(3)))),
    ];
    let running = prop_oneof![
        6 => (stream.clone(), size.clone()).prop_map(|(stream, size)| Op::Write(stream, size)),
        2 => stream.clone().prop_map(Op::Finish),
        6 => (stream.clone(), size.clone()).prop_map(|(stream, max)| Op::Read(stream, max)),
        1 => stream.clone().prop_map(Op::Forget),
        2 => (-1..70_i32).prop_map(Op::Signal),
    ];
    let host = prop_oneof![
        6 => (stream.clone(), size.clone()).prop_map(|(stream, size)| Op::HostWrite(stream, size)),
        2 => stream.clone().prop_map(Op::HostFinish),
        6 => (stream, size).prop_map(|(stream, max)| Op::HostRead(stream, max)),
        1 => (0..300_i64).prop_map(Op::HostExit),
        1 => Just(Op::HostLog),
        3 => any::<usize>().prop_map(Op::HostAnswer),
        1 => Just(Op::HostPaths),
    ];
    let link = prop_oneof![
        20 => bytes.clone().prop_map(Op::There),
        20 => bytes.prop_map(Op::Back),
        2 => (0..8_000_u64).prop_map(Op::Advance),
        1 => (any::<bool>(), fault).prop_map(|(there, fault)| Op::Cut(there, fault)),
    ];
    let session = prop_oneof![
        3 => fds().prop_map(Op::Exec),
        1 => Just(Op::Query),
        6 => (1..8_u8).prop_map(Op::Request),
        4 => any::<usize>().prop_map(Op::Cancel),
        1 => any::<bool>().prop_map(Op::Close),
    ];
    prop_oneof![8 => running, 8 => host, 12 => link, 1 => session]
}

/// How a session begins: mostly with a purpose.
fn purpose() -> impl Strategy<Value = Vec<Op>> {
    prop_oneof![
        6 => fds().prop_map(|fds| vec![Op::Exec(fds), Op::There(1 << 20)]),
        3 => prop::collection::vec(
            prop_oneof![
                3 => (1..8_u8).prop_map(Op::Request),
                2 => any::<usize>().prop_map(Op::Cancel),
                2 => Just(Op::There(1 << 20)),
                2 => any::<usize>().prop_map(Op::HostAnswer),
                1 => Just(Op::Back(40)),
            ],
            1..60,
        ),
        1 => Just(vec![Op::Query, Op::There(1 << 20)]),
        1 => Just(vec![]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_session_does_what_its_model_says_whatever_is_done_to_it(
        local in config(),
        agent in config(),
        first in purpose(),
        then in prop::collection::vec(op(), 0..150),
    ) {
        let mut world = World::new(local, agent);
        let mut done = Vec::new();
        for op in first.into_iter().chain(then) {
            done.push(op.clone());
            if let Err(broken) = world.step(op) {
                return Err(TestCaseError::fail(format!("{broken}, after {done:?}")));
            }
        }
        if let Err(broken) = world.finish() {
            return Err(TestCaseError::fail(format!("at the end: {broken}, after {done:?}")));
        }
    }
}

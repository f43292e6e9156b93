//! Control streams, back-off and the registry's table: `docs/protocols/agent-tunnel.md` sections 1,
//! 8 and 9.

use core::time::Duration;

use trunkline_core::tunnel::{
    AgentInfo, Backoff, CollectError, ControlCollector, End, MAX_CONTROL, MetaError, Table,
};

#[test]
fn a_document_is_whole_at_the_orderly_end_and_not_before() {
    let mut collector = ControlCollector::default();
    collector.feed(b"not ").unwrap();
    collector.feed(b"json").unwrap();
    assert_eq!(collector.end(End::Finished).unwrap(), "not json");
    assert_eq!(ControlCollector::default().end(End::Finished).unwrap(), "");
    for (end, error) in [(End::Reset, CollectError::Reset), (End::Lost, CollectError::Lost)] {
        let mut collector = ControlCollector::default();
        collector.feed(b"{\"hostname\"").unwrap();
        assert_eq!(collector.end(end), Err(error));
    }
}

#[test]
fn a_document_above_the_limit_is_refused_and_not_kept() {
    let mut collector = ControlCollector::default();
    collector.feed(&vec![b' '; MAX_CONTROL]).unwrap();
    assert_eq!(collector.feed(b" "), Err(CollectError::TooLong));
    assert_eq!(collector.feed(b" "), Err(CollectError::TooLong));
}

#[test]
fn agent_info_is_written_in_the_originals_order_and_read_again() {
    let info = AgentInfo {
        hostname: "box".into(),
        os: "linux".into(),
        platform: "debian".into(),
        platform_version: "12.5".into(),
        kernel_arch: "x86_64".into(),
        cpu_model_name: "Fast <R>".into(),
        cpu_count_logical: 8,
        memory_total: u64::MAX,
        disk_total: 2,
        disk_free: 1,
        agent_version: "0.1.0".into(),
        opencode_version: String::new(),
        workdir: "/w".into(),
    };
    let json = concat!(
        r#"{"hostname":"box","os":"linux","platform":"debian","platform_version":"12.5","#,
        r#""kernel_arch":"x86_64","cpu_model_name":"Fast \u003cR\u003e","cpu_count_logical":8,"#,
        r#""memory_total":18446744073709551615,"disk_total":2,"disk_free":1,"#,
        r#""agent_version":"0.1.0","opencode_version":"","workdir":"/w"}"#
    );
    assert_eq!(String::from_utf8(info.to_json()).unwrap(), json);
    assert_eq!(AgentInfo::from_json(json.as_bytes()), Ok(info));
}

#[test]
fn agent_info_that_is_only_half_known_is_read_as_far_as_it_is() {
    let json = br#"{"agent_version":"agentsdk/1.0","hostname":7,"os":"linux","memory_total":"x",
        "disk_total":-1,"cpu_info":{"cpus":[{"mhz":2.5}],"count_physical":4},"capabilities":null}"#;
    let info = AgentInfo::from_json(json).unwrap();
    let known = AgentInfo {
        agent_version: "agentsdk/1.0".into(),
        os: "linux".into(),
        ..Default::default()
    };
    assert_eq!(info, known);
    assert_eq!(AgentInfo::from_json(b"not json"), Err(MetaError::Syntax { at: 1 }));
    assert_eq!(AgentInfo::from_json(b""), Err(MetaError::Cut));
}

#[test]
fn waits_double_up_to_a_minute_and_begin_anew_after_a_connection_that_lasted() {
    let mut backoff = Backoff::new();
    let waits: Vec<u64> = (0..8).map(|_| backoff.wait(0).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    backoff.lost(Duration::from_secs(30));
    assert_eq!(backoff.wait(0).as_secs(), 60);
    backoff.lost(Duration::from_millis(30_001));
    assert_eq!(backoff.wait(0).as_secs(), 1);
}

#[test]
fn jitter_shortens_a_wait_by_a_quarter_at_most() {
    let wait = |jitter| Backoff::new().wait(jitter);
    assert_eq!(wait(u32::MAX), Duration::from_millis(750));
    let half = wait(u32::MAX / 2);
    assert!(half > Duration::from_millis(874) && half < Duration::from_millis(876), "{half:?}");
}

#[test]
fn who_comes_back_replaces_its_old_tunnel_and_the_old_one_cannot_take_it_out() {
    let mut table = Table::new();
    let (old, replaced) = table.register("box1", "old");
    assert_eq!(replaced, None);
    let (new, replaced) = table.register("box1", "new");
    assert_eq!(replaced, Some("old"), "to be closed outside of the lock");
    assert!(!table.unregister("box1", old), "a late clean-up");
    assert_eq!(table.get("box1"), Some(&"new"));
    assert!(table.unregister("box1", new));
    assert!(!table.unregister("box1", new), "once");
    assert_eq!(table.get("box1"), None);
    assert!(table.is_empty());
}

#[test]
fn a_generation_never_comes_again_and_ids_do_not_mix() {
    let mut table = Table::new();
    let (first, _) = table.register("a", 1);
    assert!(table.unregister("a", first));
    let (second, _) = table.register("a", 2);
    assert_ne!(first, second);
    table.register("b", 3);
    assert!(!table.unregister("b", second));
    assert_eq!(table.generation("a"), Some(second));
    *table.get_mut("a").unwrap() = 4;
    assert_eq!(table.iter().collect::<Vec<_>>(), [("a", &4), ("b", &3)]);
    assert_eq!(table.len(), 2);
}

//! The golden vectors of the environment filter.

use serde_json::Value;
use trunkline_core::agentproto::AgentConfig;
use trunkline_host::envfilter::{PatternLimits, filter};

const VECTORS: &str = include_str!("../../conformance/vectors/agentproto/envfilter.json");

fn list(value: &Value) -> Option<Vec<String>> {
    let strings = |list: &Vec<Value>| {
        list.iter().map(|entry| entry.as_str().expect("text").to_owned()).collect()
    };
    value.as_array().map(strings)
}

#[test]
fn golden_vectors() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    let cases = vectors["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 30);
    for case in cases {
        let config =
            AgentConfig { env_keep: list(&case["keep"]), env_remove: list(&case["remove"]) };
        let env = list(&case["env"]);
        let out = filter(env.as_deref(), &config, PatternLimits::default());
        assert_eq!(Some(out), list(&case["out"]), "{}", case["name"]);
    }
}

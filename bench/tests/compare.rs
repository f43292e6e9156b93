//! The comparison from its command line to its rows, with the subjects that need no building.

use std::process::Command;

use serde_json::Value;

fn rows(args: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline-bench"))
        .args(["mux", "--own", "--quick", "--rounds", "1", "--json"])
        .args(args)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("that takes about"), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_tells_every_figure_and_every_goal_as_an_object() {
    let rows = rows(&["ping1", "--only", "smux v1"]);
    let run = &rows[0]["run"];
    for field in ["date", "commit", "machine", "versions", "lto", "load_at_start", "load_at_end"] {
        assert!(run[field].is_string(), "{field}: {run}");
    }
    assert_eq!((&run["quick"], &run["rounds"]), (&Value::Bool(true), &Value::from(1)));
    for subject in ["raw", "trunkline smux v1", "raw@smol", "trunkline smux v1@smol"] {
        for place in ["tcp, one thread", "tcp, two workers"] {
            let row = rows.iter().find(|row| row["subject"] == subject && row["place"] == place);
            let row = row.unwrap_or_else(|| panic!("{subject}, {place}: {rows:?}"));
            assert_eq!(row["scenario"], "ping1");
            assert!(row["told"].is_null(), "{row}");
            for figure in ["cpu", "wall", "writes", "reads", "peak"] {
                assert!(row["figures"][figure]["median"].as_f64().unwrap() > 0.0, "{row}");
            }
            assert!(row["to_raw"].as_f64().unwrap() > 0.0, "{row}");
        }
    }
    // Counted in a process of its own, and told beside what was timed.
    let in_memory = |row: &&Value| {
        row["subject"] == "trunkline smux v1" && row["place"] == "duplex, one thread"
    };
    let row = rows.iter().find(in_memory).unwrap();
    assert!(row["figures"]["allocations"]["median"].is_f64(), "{row}");
    for how in ["tokio", "smol"] {
        let goal = rows.iter().find(|row| row["goal"] == "P3" && row["how"] == how).unwrap();
        assert_eq!((&goal["wire"], &goal["bound"]), (&Value::from("smux v1"), &Value::from(1.1)));
        assert!(goal["figure"].is_f64() && goal["met"].is_boolean(), "{goal}");
    }
    assert!(rows.iter().any(|row| row["goal"] == "P14"), "{rows:?}");
}

#[test]
fn a_subject_that_cannot_do_it_is_told_of_in_one_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline-bench"))
        .args(["subject", "raw@smol", "ping1", "duplex", "1", "20"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors.trim(), "bench: raw@smol ping1 duplex 1 20: unsupported");
}

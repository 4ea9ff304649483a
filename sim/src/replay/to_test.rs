// SPDX-License-Identifier: MPL-2.0
//! A test in Rust that replays a trace and asserts what happened, to be pasted.

use super::file::Replayed;
use super::node::NodeRun;
use crate::findings::Finding;
use std::fmt::Write;
use stmf_proxy::trace::NodeId;

/// The name of a test for a file: what a Rust function can be called.
fn function_name(path: &str) -> String {
    let stem = path
        .rsplit('/')
        .find(|part| !part.is_empty() && *part != "trace.pcapng");
    let stem = stem.unwrap_or("trace").trim_end_matches(".pcapng");
    let mut name = String::from("replays_");
    for character in stem.chars() {
        match character {
            'a'..='z' | '0'..='9' => name.push(character),
            'A'..='Z' => name.push(character.to_ascii_lowercase()),
            _ if name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    name.trim_end_matches('_').to_string()
}

/// Text as a Rust literal that needs no escapes where that can be.
fn literal(text: &str) -> String {
    format!("{text:?}")
}

/// The path of a file of the package, as what follows its directory in a literal.
fn from_home(path: &str) -> String {
    literal(&format!("/{}", path.trim_start_matches("./")))
}

/// The test. `path` is where the trace will lie, from the directory of the package whose test it
/// becomes (`CARGO_MANIFEST_DIR`).
pub fn to_test(path: &str, replayed: &Replayed) -> String {
    let mut text = String::new();
    let name = function_name(path);
    let path = from_home(path);
    let home = "env!(\"CARGO_MANIFEST_DIR\")";
    // As rustfmt has it: arguments of more than 60 columns stand on lines of their own.
    let trace = match home.len() + 2 + path.len() > 60 {
        false => format!("concat!({home}, {path})"),
        true => format!("concat!(\n        {home},\n        {path}\n    )"),
    };
    let hash = literal(&replayed.hash.to_string());
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\
/// Replays a recorded run: everything must happen again as it did, event by event.
#[test]
fn {name}() {{
    let trace = {trace};
    let replayed = stmf_sim::replay::replay_file(trace.as_ref(), Default::default()).unwrap();
    assert_eq!(replayed.divergence, None, \"the run is another one\");
    assert_eq!(replayed.equal, {events}, \"events\");
    assert_eq!(replayed.hash.to_string(), {hash});
    let findings: Vec<String> = replayed.findings.iter().map(|f| f.to_string()).collect();
",
        events = replayed.equal,
    );
    expect_findings(&mut text, &replayed.findings);
    text
}

/// The end of a test: these findings, and no others.
fn expect_findings(text: &mut String, findings: &[Finding]) {
    if findings.is_empty() {
        text.push_str("    assert_eq!(findings, [] as [String; 0], \"nothing went wrong\");\n}\n");
        return;
    }
    text.push_str("    let expected = [\n");
    for finding in findings {
        let _ = writeln!(text, "        {},", literal(&finding.to_string()));
    }
    text.push_str("    ];\n    assert_eq!(findings, expected);\n}\n");
}

/// The test for one node of a trace that is not of a whole run. `path` as for [`to_test`].
pub fn of_node(path: &str, node: NodeId, run: &NodeRun) -> String {
    let mut text = String::new();
    let name = format!("{}_node_{node}", function_name(path));
    let path = from_home(path);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\
/// Replays a recorded node: its kernel must do again what it did.
#[test]
fn {name}() {{
    let trace = concat!(env!(\"CARGO_MANIFEST_DIR\"), {path});
    let run = stmf_sim::replay::node::replay_node(trace.as_ref(), {node}).unwrap();
    assert!(run.agrees(), \"{{run}}\");
    assert_eq!(format!(\"{{:016x}}\", run.hash), \"{hash:016x}\");
    let findings: Vec<String> = run.findings({node}).iter().map(|f| f.to_string()).collect();
",
        hash = run.hash,
    );
    expect_findings(&mut text, &run.findings(node));
    text
}

#[cfg(test)]
mod tests {
    use super::function_name;

    #[test]
    fn names_are_functions() {
        assert_eq!(
            function_name("fixtures/field/3775-8564/trace.pcapng"),
            "replays_3775_8564"
        );
        assert_eq!(
            function_name("../Customer A--1.pcapng"),
            "replays_customer_a_1"
        );
        assert_eq!(function_name("/"), "replays_trace");
    }
}

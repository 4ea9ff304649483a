// SPDX-License-Identifier: MPL-2.0
//! `stmf-sim trace replay` of traces that are not of a whole run: node by node.

use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use stmf_sim::replay::node::{NodeRun, NodeScript, read_node_scripts};
use stmf_sim::report::style::{Style, Tone};

pub(super) fn run(file: &Path, only: Option<u8>, as_json: bool) -> ExitCode {
    let read = match read_node_scripts(file, only) {
        Ok(read) => read,
        Err(error) => {
            eprintln!("stmf-sim trace replay: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(broken) = &read.broken {
        eprintln!("stmf-sim trace replay: {broken}");
    }
    let style = Style::of_standard_output();
    let mut agree = true;
    let mut out = io::stdout().lock();
    for script in &read.scripts {
        let run = script.run(script.settings());
        agree &= run.agrees();
        let text = match as_json {
            true => format!("{}\n", json_of(script, &run)),
            false => text_of(script, &run, style),
        };
        if let Err(error) = out.write_all(text.as_bytes()) {
            if error.kind() == io::ErrorKind::BrokenPipe {
                break;
            }
            eprintln!("stmf-sim trace replay: {error}");
            return ExitCode::from(2);
        }
    }
    ExitCode::from(u8::from(!agree))
}

fn text_of(script: &NodeScript, run: &NodeRun, style: Style) -> String {
    let node = script.settings().node;
    let mut text = style.paint(Tone::Heading, &format!("node {node}"));
    text.push('\n');
    text.push_str(&run.to_string());
    for finding in run.findings(node) {
        text.push_str(&style.paint(Tone::Bad, &finding.to_string()));
        text.push('\n');
    }
    text
}

fn json_of(script: &NodeScript, run: &NodeRun) -> Value {
    let node = script.settings().node;
    let findings = run
        .findings(node)
        .into_iter()
        .map(|finding| json!({"kind": finding.kind.name(), "text": finding.text}));
    let difference = run.divergence.as_ref().map(|found| {
        json!({"sequence": found.sequence, "time_ns": found.time.as_nanos(),
            "text": found.to_string()})
    });
    json!({
        "node": node,
        "same": run.agrees(),
        "hash": format!("{:016x}", run.hash),
        "inputs": script.input_count(),
        "compared": {
            "upcalls": run.compared.upcalls,
            "posts": run.compared.posts,
            "commands": run.compared.commands,
            "operations": run.compared.operations,
            "data_bytes": run.compared.data,
            "data_bytes_not_compared": run.compared.data_not_compared,
        },
        "findings": findings.collect::<Vec<_>>(),
        "notes": run.notes,
        "difference": difference,
    })
}

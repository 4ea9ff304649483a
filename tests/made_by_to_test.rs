// SPDX-License-Identifier: MPL-2.0
//! What `stmf-sim trace to-test` prints is a test that passes. Below the line is its output for
//! the trace of a field failure; tests/trace_commands.rs holds the two together.

// ---
/// Replays a recorded run: everything must happen again as it did, event by event.
#[test]
fn replays_back_pressure() {
    let trace = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../fixtures/field/back-pressure/trace.pcapng"
    );
    let replayed = stmf_sim::replay::replay_file(trace.as_ref(), Default::default()).unwrap();
    assert_eq!(replayed.divergence, None, "the run is another one");
    assert_eq!(replayed.equal, 37, "events");
    assert_eq!(replayed.hash.to_string(), "217f0bb51abbb607");
    let findings: Vec<String> = replayed.findings.iter().map(|f| f.to_string()).collect();
    let expected = [
        "deadlock: node 0 holds the stmf lock in an upcall; node 1 holds the stmf lock in an upcall\n  nothing has happened since 60.000000000 s; given up at 60.000000000 s\n  node 1, post: waits for the stmf lock of node 1, held by set of the ALUA state (node 1); holds the pppt global lock\n  node 0, post: waits for the stmf lock of node 0, held by set of the ALUA state (node 0); holds the pppt global lock\n  node 0, set of the ALUA state: waits for the answer of the door server; holds the stmf lock\n  node 1, set of the ALUA state: waits for the answer of the door server; holds the stmf lock\n  node 0, login: waits for the stmf lock of node 0, held by set of the ALUA state (node 0)\n  scenario, replay: waits for login\n  relay 0, setting of ALUA: waits for set of the ALUA state\n  relay 1, setting of ALUA: waits for set of the ALUA state\n  relay 0, main: waits for post\n  relay 1, main: waits for post",
        "hang: the kernel of node 0 has not come back from the post of register_proxy_port (msgid 1) of port wwn.5001000000010000 since 0.000 s",
        "hang: the kernel of node 1 has not come back from the post of register_proxy_port (msgid 1) of port wwn.5001000000000000 since 0.000 s",
    ];
    assert_eq!(findings, expected);
}

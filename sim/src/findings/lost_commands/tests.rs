// SPDX-License-Identifier: MPL-2.0

use super::super::testing::*;
use super::*;
use crate::world::trace::LuAccess;
use stmf_proxy::relay;
use stmf_proxy::trace::ConnectionEnd;

/// Two nodes whose link has stood for long; port wwn.21 of node 0 is known to node 1, and initiator
/// port 9 has session 7 with it.
fn bench() -> Bench<LostCommands> {
    let mut bench = Bench::new(LostCommands::default());
    for node in [0, 1] {
        bench.event(node, Event::RelayStarted);
    }
    for node in [0, 1] {
        bench.event(node, Event::Connected { connection: 1 });
    }
    bench.wait(10_000);
    bench.carry(0, &register_port(1, "wwn.21"));
    // It takes a moment until a port is online.
    bench.wait(10);
    bench
}

fn begin(bench: &mut Bench<LostCommands>, tag: u64, session: u64) {
    bench.event(
        0,
        Event::Command {
            initiator: 0,
            tag,
            session,
            lun: [0; 8],
            flags: 0x41,
            expected: 512,
            cdb: &CDB,
            data: &[],
        },
    );
}

fn end(bench: &mut Bench<LostCommands>, tag: u64) {
    bench.event(
        0,
        Event::CommandDone {
            initiator: 0,
            tag,
            status: 0,
            residual_flags: 0,
            residual: 0,
            sense: &[],
            data: &[],
        },
    );
}

fn time_out(bench: &mut Bench<LostCommands>, tag: u64) {
    bench.wait(100_000);
    bench.event(0, Event::TimedOut { initiator: 0, tag });
}

#[test]
fn commands_that_end_are_no_finding() {
    let mut bench = bench();
    begin(&mut bench, 1, 7);
    bench.carry(0, &command(2, 7, "wwn.21", 9));
    bench.carry(1, &data(2, 7));
    bench.carry(1, &status(2, 7));
    end(&mut bench, 1);
    // One that was answered here.
    begin(&mut bench, 2, 7);
    end(&mut bench, 2);
    bench.wait(100_000);
    assert!(bench.finish().is_empty());
}

#[test]
fn a_command_that_the_peer_refuses_is_found() {
    let mut bench = bench();
    begin(&mut bench, 1, 7);
    bench.carry(0, &command(2, 7, "wwn.21", 9));
    bench.carry(1, &status(2, 7));
    end(&mut bench, 1);
    begin(&mut bench, 2, 1);
    bench.carry(0, &command(3, 1, "wwn.21", 9));
    bench.carry(1, &refusal(3));
    time_out(&mut bench, 2);
    assert_eq!(
        bench.finish(),
        [
            "lost-command: initiator 0's READ(10) tag 2 at node 0 had no status in 100 s: node 1 \
          refused it with INVALID_ARG (session 1 is lower than 7 that the nexus has there), which \
          arrives as 0"
        ]
    );
}

#[test]
fn a_result_that_loses_a_message_is_found() {
    let mut bench = bench();
    begin(&mut bench, 1, 7);
    bench.send(0, &command(2, 7, "wwn.21", 9), 11);
    bench.wait(77_000);
    let (initiator, tag) = (0, 1);
    bench.event(0, Event::Aborted { initiator, tag });
    assert_eq!(
        bench.finish(),
        [
            "lost-command: initiator 0's READ(10) tag 1 at node 0 had no status in 77 s: the relay of \
          node 0 answered its scsi_cmd (task 2, session 7) with 11 though the link stood; the \
          kernel logs that, takes the message for sent and forgets it"
        ]
    );
}

/// One that stops while a post does not return refuses for long, and then its host has lost
/// patience.
#[test]
fn a_relay_that_stops_may_refuse_and_another_may_not() {
    const SHUT_DOWN: u32 = 143;
    for stops in [true, false] {
        let mut bench = bench();
        if stops {
            // As the relay says it.
            let stopping = relay::Event::Stopping {
                cause: relay::StopCause::Asked,
                posts_in_flight: 1,
            };
            bench.event(0, Event::RelayLog(&format!("info: {stopping}")));
        }
        begin(&mut bench, 1, 7);
        bench.send(0, &command(2, 7, "wwn.21", 9), SHUT_DOWN);
        bench.wait(5_000);
        let (initiator, tag) = (0, 1);
        bench.event(0, Event::TimedOut { initiator, tag });
        assert_eq!(bench.finish().is_empty(), stops);
    }
}

/// Which of two commands that look alike is lost shows when the other one ends.
#[test]
fn of_twins_the_right_one_is_found() {
    let mut bench = bench();
    begin(&mut bench, 1, 7);
    begin(&mut bench, 2, 7);
    bench.send(0, &command(2, 7, "wwn.21", 9), 11);
    bench.carry(0, &command(3, 7, "wwn.21", 9));
    bench.carry(1, &status(3, 7));
    end(&mut bench, 1);
    time_out(&mut bench, 2);
    let found = bench.finish();
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("tag 2 at node 0"), "{found:?}");
    assert!(
        found[0].contains("scsi_cmd (task 2, session 7) with 11"),
        "{found:?}"
    );
}

#[test]
fn a_peer_that_does_nothing_is_found_at_the_end() {
    let mut bench = bench();
    begin(&mut bench, 1, 7);
    bench.carry(0, &command(2, 7, "wwn.21", 9));
    bench.carry(1, &data(2, 7));
    bench.wait(80_000);
    assert_eq!(
        bench.finish(),
        [
            "lost-command: initiator 0's READ(10) tag 1 at node 0 had no status in 80 s: node 0 was \
          given its scsi_data (task 2, session 7), and no more followed"
        ]
    );
}

#[test]
fn what_a_broken_link_loses_is_no_finding() {
    let mut bench = bench();
    begin(&mut bench, 1, 7);
    bench.carry(0, &command(2, 7, "wwn.21", 9));
    let (connection, end) = (1, ConnectionEnd::Reset);
    bench.event(1, Event::Disconnected { connection, end });
    // The relay of node 0 has not heard of it yet.
    begin(&mut bench, 2, 7);
    bench.send(0, &command(3, 7, "wwn.21", 9), 0);
    bench.wait(5_000);
    let (initiator, tag) = (0, 2);
    bench.event(0, Event::TimedOut { initiator, tag });
    bench.event(0, Event::Disconnected { connection, end });
    begin(&mut bench, 3, 7);
    bench.send(0, &command(4, 7, "wwn.21", 9), 134);
    for tag in [1, 3] {
        time_out(&mut bench, tag);
    }
    assert!(bench.finish().is_empty());
}

#[test]
fn what_is_aborted_comes_late_or_goes_down_with_its_node_is_no_finding() {
    let mut bench = bench();
    let (initiator, lu) = (0, [0x60; 16]);
    begin(&mut bench, 1, 7);
    bench.event(0, Event::Aborted { initiator, tag: 1 });
    begin(&mut bench, 2, 7);
    bench.carry(0, &command(2, 7, "wwn.21", 9));
    let access = LuAccess::Standby;
    bench.event(1, Event::LuAccess { lu, access });
    time_out(&mut bench, 2);
    begin(&mut bench, 3, 7);
    bench.carry(0, &command(3, 7, "wwn.21", 9));
    time_out(&mut bench, 3);
    bench.carry(1, &status(3, 7));
    begin(&mut bench, 4, 7);
    bench.event(0, Event::PowerOff);
    bench.wait(100_000);
    assert!(bench.finish().is_empty());
}

/// Of two commands that look alike the message of the second one was lost by a fault; it is taken for
/// that of the first one until that one ends.
#[test]
fn what_excuses_a_command_goes_to_its_twin_with_the_messages() {
    const NO_LINK: u32 = 134;
    let mut bench = bench();
    begin(&mut bench, 1, 7);
    begin(&mut bench, 2, 7);
    bench.send(0, &command(2, 7, "wwn.21", 9), NO_LINK);
    bench.carry(0, &command(3, 7, "wwn.21", 9));
    bench.carry(1, &status(3, 7));
    end(&mut bench, 1);
    time_out(&mut bench, 2);
    assert!(bench.finish().is_empty());
}

#[test]
fn what_a_fault_has_hit_is_excused_and_nothing_else() {
    for (fault, found) in [
        ("post-failed: post {}, ENOMEM (12)", 1),
        ("memory-stmf-task: post {}", 1),
        ("post-failed: post 1000, ENOMEM (12)", 2),
    ] {
        let mut bench = bench();
        begin(&mut bench, 1, 7);
        bench.send(0, &command(5, 7, "wwn.21", 9), 0);
        bench.post_begins(1, &command(5, 7, "wwn.21", 9));
        let fault = fault.replace("{}", &bench.calls().to_string());
        bench.event(1, Event::Fault(&fault));
        bench.post_ends(1);
        begin(&mut bench, 2, 7);
        bench.carry(0, &command(6, 7, "wwn.21", 9));
        bench.wait(100_000);
        for tag in [1, 2] {
            bench.event(0, Event::TimedOut { initiator: 0, tag });
        }
        assert_eq!(bench.finish().len(), found, "{fault}");
    }
}

#[test]
fn commands_to_a_port_whose_registration_a_fault_has_lost_are_excused() {
    for heals in [false, true] {
        let mut bench = bench();
        bench.send(0, &register_port(2, "wwn.22"), 0);
        bench.post_begins(1, &register_port(2, "wwn.22"));
        let fault = format!("memory-proxy-port: post {}", bench.calls());
        bench.event(1, Event::Fault(&fault));
        bench.post_ends(1);
        if heals {
            bench.carry(0, &register_port(3, "wwn.22"));
            bench.wait(10);
        }
        begin(&mut bench, 1, 7);
        bench.carry(0, &command(5, 7, "wwn.22", 9));
        time_out(&mut bench, 1);
        assert_eq!(bench.finish().len(), usize::from(heals));
    }
}

#[test]
fn while_the_service_is_off_or_a_node_stands_still_commands_are_excused() {
    for fault in ["service-disabled", "pause: for 5000 ms"] {
        let mut bench = bench();
        bench.event(1, Event::Fault(fault));
        begin(&mut bench, 1, 7);
        bench.carry(0, &command(5, 7, "wwn.21", 9));
        bench.wait(6_000);
        bench.event(1, Event::Fault("service-enabled"));
        begin(&mut bench, 2, 7);
        bench.carry(0, &command(6, 7, "wwn.21", 9));
        bench.wait(100_000);
        for tag in [1, 2] {
            bench.event(0, Event::TimedOut { initiator: 0, tag });
        }
        let found = bench.finish();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("tag 2"), "{found:?}");
    }
}

/// A reset takes a while, and ends what was begun on the LU meanwhile.
#[test]
fn what_task_management_ends_on_the_peer_is_no_finding() {
    for (ended, found) in [(MANAGEMENT_ID | 1, 0), (8, 1)] {
        let mut bench = bench();
        begin(&mut bench, 1, 7);
        bench.post(1, &command(ended, 7, "wwn.21", 9));
        bench.send(0, &command(2, 7, "wwn.21", 9), 0);
        bench.post(1, &command(2, 7, "wwn.21", 9));
        bench.send(1, &status(ended, 7), 0);
        time_out(&mut bench, 1);
        assert_eq!(bench.finish().len(), found);
    }
}

#[test]
fn what_a_closed_port_ends_on_the_peer_is_no_finding() {
    for (port, found) in [("wwn.21", 0), ("wwn.22", 1)] {
        let mut bench = bench();
        begin(&mut bench, 1, 7);
        bench.carry(0, &command(2, 7, "wwn.21", 9));
        match found {
            0 => bench.carry(0, &deregister_port(3, port)),
            _ => bench.carry(0, &register_port(3, port)),
        }
        time_out(&mut bench, 1);
        assert_eq!(bench.finish().len(), found);
    }
}

#[test]
fn a_command_that_comes_before_its_port_is_online_is_no_finding() {
    for (after, found) in [(0, 0), (2, 1)] {
        let mut bench = bench();
        bench.carry(0, &register_port(2, "wwn.22"));
        bench.wait(after);
        begin(&mut bench, 1, 7);
        bench.carry(0, &command(5, 7, "wwn.22", 9));
        bench.carry(1, &refusal(5));
        time_out(&mut bench, 1);
        assert_eq!(bench.finish().len(), found);
    }
}

/// A host that gives up a long read of a slow disk has lost nothing.
#[test]
fn what_a_slow_disk_holds_up_is_no_finding() {
    let mut bench = bench();
    begin(&mut bench, 1, 7);
    bench.event(0, Event::Fault("disk-slow: byte 4096"));
    time_out(&mut bench, 1);
    assert!(bench.finish().is_empty());
}

/// Of twins, the one whose message is tried again keeps it.
#[test]
fn a_message_that_is_tried_again_stays_with_its_command() {
    let mut bench = bench();
    for tag in [1, 2] {
        begin(&mut bench, tag, 7);
    }
    let message = command(2, 7, "wwn.21", 9);
    for attempt in [1, 2] {
        let upcall = Event::Upcall {
            call: 50,
            attempt,
            lock_held: false,
            message: &message,
        };
        bench.event(0, upcall);
        let outcome = match attempt {
            1 => Err(11),
            _ => Ok(11),
        };
        bench.event(0, Event::UpcallDone { call: 50, outcome });
    }
    time_out(&mut bench, 1);
    end(&mut bench, 2);
    let found = bench.finish();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("answered its scsi_cmd (task 2, session 7) with 11"),
        "{found:?}"
    );
}

// SPDX-License-Identifier: MPL-2.0

use super::super::testing::{Bench, deregister_port};
use super::*;
use crate::kernel::sbd::{
    AccessState, Config, Disk, Execution, Fill, LogicalUnit, MemoryStore, NexusId, SharedDisk,
    SingleNode,
};
use crate::scsi::reservation::{OutAction, ReservationType, parameter_list};
use crate::scsi::{Completion, cdb};
use proptest::prelude::*;

const LU: LuId = [0x60; 16];

/// A pair of nodes with a LU; sessions 1 to 3 on either node, of initiators 1 to 3.
struct Story {
    bench: Bench<Reservations>,
    tag: u64,
}

impl Story {
    fn new() -> Story {
        let mut bench = Bench::new(Reservations::default());
        for node in [0, 1] {
            bench.event(node, Event::Boot { boot: 1 });
            for initiator in 1..=3 {
                let port: &[u8] = if node == 0 { b"port.0" } else { b"port.1" };
                bench.event(
                    node,
                    Event::SessionOpened {
                        initiator,
                        session: initiator.into(),
                        port,
                        name: b"host",
                    },
                );
            }
        }
        let mut story = Story { bench, tag: 0 };
        story.access(0, LuAccess::Active);
        story.access(1, LuAccess::Standby);
        story
    }

    fn access(&mut self, node: NodeId, access: LuAccess) {
        self.bench.event(node, Event::LuAccess { lu: LU, access });
    }

    fn begin(&mut self, node: NodeId, who: u32, cdb: &[u8], data: &[u8]) -> u64 {
        self.tag += 1;
        let event = Event::Command {
            initiator: who,
            tag: self.tag,
            session: who.into(),
            lun: [0; 8],
            flags: 1,
            expected: data.len() as u32,
            cdb,
            data,
        };
        self.bench.event(node, event);
        self.tag
    }

    fn end(&mut self, node: NodeId, who: u32, tag: u64, completion: Completion, data: &[u8]) {
        let sense = completion.sense.map(Sense::to_bytes);
        let event = Event::CommandDone {
            initiator: who,
            tag,
            status: completion.status.0,
            residual_flags: 0,
            residual: 0,
            sense: sense.as_ref().map_or(&[], |sense| sense),
            data,
        };
        self.bench.event(node, event);
    }

    /// A command that ends with GOOD.
    fn good(&mut self, node: NodeId, who: u32, cdb: &[u8], data: &[u8]) {
        let tag = self.begin(node, who, cdb, data);
        self.end(node, who, tag, Completion::GOOD, &[]);
    }

    fn register(&mut self, node: NodeId, who: u32, key: u64, aptpl: bool) {
        let kind = ReservationType::WriteExclusive;
        let cdb = cdb::persistent_reserve_out(OutAction::RegisterAndIgnore, kind);
        self.good(node, who, &cdb, &parameter_list(0, key, aptpl));
    }

    fn reserve(&mut self, node: NodeId, who: u32, key: u64, kind: ReservationType) {
        let cdb = cdb::persistent_reserve_out(OutAction::Reserve, kind);
        self.good(node, who, &cdb, &parameter_list(key, 0, false));
    }

    fn write(&mut self, node: NodeId, who: u32) {
        self.good(node, who, &cdb::write_10(0, 1), &[0; 512]);
    }

    fn read(&mut self, node: NodeId, who: u32) {
        self.good(node, who, &cdb::read_10(0, 1), &[]);
    }
}

#[test]
fn what_each_type_forbids_is_found_on_either_path() {
    use ReservationType::*;
    // (type, a registered one may write, others may read)
    let types = [
        (WriteExclusive, false, true),
        (ExclusiveAccess, false, false),
        (WriteExclusiveRegistrantsOnly, true, true),
        (ExclusiveAccessRegistrantsOnly, true, false),
        (WriteExclusiveAllRegistrants, true, true),
        (ExclusiveAccessAllRegistrants, true, false),
    ];
    for (kind, registered_writes, others_read) in types {
        let attempt = |act: &dyn Fn(&mut Story)| {
            let mut story = Story::new();
            story.register(0, 1, 7, false);
            story.register(1, 2, 8, false);
            story.reserve(0, 1, 7, kind);
            act(&mut story);
            story.bench.finish().len()
        };
        assert_eq!(attempt(&|story| story.write(0, 1)), 0, "{kind}");
        assert_eq!(
            attempt(&|story| story.write(1, 2)),
            usize::from(!registered_writes),
            "{kind}"
        );
        assert_eq!(attempt(&|story| story.write(0, 3)), 1, "{kind}");
        let reads = attempt(&|story| story.read(1, 3));
        assert_eq!(reads, usize::from(!others_read), "{kind}");
        assert_eq!(attempt(&|story| story.reserve(0, 2, 8, kind)), 1, "{kind}");
    }
}

#[test]
fn a_finding_names_everybody() {
    let mut story = Story::new();
    story.register(1, 1, 7, false);
    story.reserve(1, 1, 7, ReservationType::ExclusiveAccess);
    story.write(0, 2);
    assert_eq!(
        story.bench.finish(),
        [
            "reservation-broken: node 0 carried out initiator 2's WRITE(10) (session 2, tag 3) on \
             LU 60606060606060606060606060606060, though initiator 1 had reserved it through port \
             port.1 (exclusive access)"
        ]
    );
}

#[test]
fn what_is_stored_counts_after_a_failover() {
    for aptpl in [false, true] {
        for forced in [false, true] {
            let mut story = Story::new();
            story.register(0, 1, 7, aptpl);
            story.reserve(0, 1, 7, ReservationType::WriteExclusive);
            if !forced {
                story.access(0, LuAccess::Standby);
            }
            story.access(1, LuAccess::Active);
            story.write(0, 2);
            story.access(0, LuAccess::Standby);
            story.write(1, 2);
            // With two active nodes nothing is known.
            let found = story.bench.finish().len();
            let expected = usize::from(aptpl);
            assert_eq!(found, expected, "aptpl {aptpl}, forced {forced}");
        }
    }
}

#[test]
fn doubt_is_no_finding() {
    let kind = ReservationType::WriteExclusive;
    let cdb = cdb::persistent_reserve_out(OutAction::Release, kind);
    let list = parameter_list(7, 0, false);
    type Doubt = dyn Fn(&mut Story, u64);
    let doubts: [&Doubt; 4] = [
        // Never ends.
        &|_, _| (),
        &|story, tag| story.bench.event(0, Event::Aborted { initiator: 1, tag }),
        &|story, tag| story.bench.event(0, Event::TimedOut { initiator: 1, tag }),
        &|story, tag| story.end(0, 1, tag, Sense::UNAVAILABLE.into(), &[]),
    ];
    for doubt in doubts {
        let mut story = Story::new();
        story.register(0, 1, 7, false);
        story.reserve(0, 1, 7, kind);
        let tag = story.begin(0, 1, &cdb, &list);
        doubt(&mut story, tag);
        story.write(0, 2);
        assert!(story.bench.finish().is_empty());
    }
    // Refused, it has changed nothing.
    let mut story = Story::new();
    story.register(0, 1, 7, false);
    story.reserve(0, 1, 7, kind);
    let tag = story.begin(0, 1, &cdb, &list);
    story.end(0, 1, tag, Completion::RESERVATION_CONFLICT, &[]);
    story.write(0, 2);
    assert_eq!(story.bench.finish().len(), 1);
}

#[test]
fn a_command_beside_a_change_is_not_judged() {
    let mut story = Story::new();
    story.register(0, 1, 7, false);
    let tag = story.begin(0, 2, &cdb::write_10(0, 1), &[0; 512]);
    story.reserve(0, 1, 7, ReservationType::WriteExclusive);
    story.end(0, 2, tag, Completion::GOOD, &[]);
    assert!(story.bench.finish().is_empty());
}

#[test]
fn reserve_keeps_others_out_until_its_session_may_have_ended() {
    let mut story = Story::new();
    story.good(1, 1, &cdb::reserve_6(), &[]);
    story.write(1, 1);
    story.read(0, 2);
    assert_eq!(
        story.bench.finish(),
        [
            "reservation-broken: node 0 carried out initiator 2's READ(10) (session 2, tag 3) on \
             LU 60606060606060606060606060606060, though session 1 of node 1 had reserved it with \
             RESERVE"
        ]
    );
    let (function, tag, session, initiator) = (5, 99, 3, 3);
    let reset = Event::Management {
        initiator,
        tag,
        session,
        lun: [0; 8],
        function,
    };
    let gone = Event::SessionClosed {
        initiator: 1,
        session: 1,
    };
    let closed = deregister_port(1, "port.1");
    let closing = Event::Upcall {
        call: 1,
        attempt: 1,
        lock_held: true,
        message: &closed,
    };
    let off = Event::Fault("service-disabled");
    for event in [reset, gone, closing, off, Event::RelayEnded] {
        for during in [false, true] {
            let mut story = Story::new();
            let tag = story.begin(1, 1, &cdb::reserve_6(), &[]);
            if during {
                story.bench.event(1, event);
            }
            story.end(1, 1, tag, Completion::GOOD, &[]);
            if !during {
                story.bench.event(1, event);
            }
            story.read(0, 2);
            assert!(
                story.bench.finish().is_empty(),
                "{event:?}, during: {during}"
            );
        }
    }
}

/// One node's LU, and the nexus of a session on it.
fn unit() -> LogicalUnit {
    let disk: SharedDisk = Disk::shared(MemoryStore::new(1 << 20, Fill::Zeros));
    LogicalUnit::new(Config::new(LU), disk, AccessState::Active).expect("a disk")
}

fn nexus(who: u32) -> crate::kernel::sbd::Nexus {
    crate::kernel::sbd::Nexus {
        session_id: who.into(),
        id: NexusId {
            initiator: vec![who as u8; 24].into(),
            target_port: b"port.0"[..].into(),
        },
        relative_port_id: 1,
        through_proxy: true,
    }
}

/// Has the device server do it.
fn serve(unit: &mut LogicalUnit, who: u32, cdb: &[u8], data: &[u8]) -> (Completion, Vec<u8>) {
    let expected = data.len().max(512) as u64;
    match unit.begin(&nexus(who), cdb, expected, &SingleNode::default()) {
        Execution::Done(completion) => (completion, vec![]),
        Execution::DataIn(transfer) => {
            let mut read = vec![0; transfer.length() as usize];
            match unit.read(&transfer, 0, &mut read) {
                Ok(()) => (Completion::GOOD, read),
                Err(completion) => (completion, vec![]),
            }
        }
        Execution::DataOut(mut transfer) => match unit.write(&mut transfer, 0, data) {
            Ok(()) => (unit.finish(transfer).completion, vec![]),
            Err(completion) => (completion, vec![]),
        },
        Execution::Proxy { .. } => unreachable!("it is active"),
    }
}

fn any_cdb() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let kinds = prop::sample::select(&ReservationType::ALL[..]);
    let key = 0..4u64;
    let out = (0..7u8, kinds, key.clone(), key, any::<bool>());
    let out = out.prop_map(|(action, kind, key, other, aptpl)| {
        let action = OutAction::from_byte(action).expect("one of seven");
        let cdb = cdb::persistent_reserve_out(action, kind);
        (cdb.to_vec(), parameter_list(key, other, aptpl).to_vec())
    });
    let plain = |cdb: &[u8]| Just((cdb.to_vec(), vec![]));
    prop_oneof![
        8 => out,
        2 => Just((cdb::write_10(0, 1).to_vec(), vec![0; 512])),
        2 => plain(&cdb::read_10(0, 1)),
        1 => plain(&cdb::reserve_6()),
        1 => plain(&cdb::release_6()),
        1 => plain(&cdb::persistent_reserve_in(READ_KEYS, 512)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The device server does nothing that the model forbids, and the model, which knows all that
    /// was done, forbids whatever the device server refuses to read or to write.
    #[test]
    fn model_and_device_server_agree(
        steps in prop::collection::vec((1..4u32, any_cdb()), 1..60),
    ) {
        let mut story = Story::new();
        let mut unit = unit();
        for (who, (cdb, data)) in steps {
            let (completion, answer) = serve(&mut unit, who, &cdb, &data);
            let conflict = completion == Completion::RESERVATION_CONFLICT;
            let what = access(&cdb);
            let watched = story.bench.watcher.units.get(&LU).expect("a LU");
            if matches!(what, Access::Reads | Access::Writes) {
                let session = (0, u64::from(who));
                let command = Command {
                    node: 0,
                    session: who.into(),
                    lu: LU,
                    access: what,
                    cdb: cdb.clone(),
                    data: vec![],
                    began: 0,
                    beside: false,
                };
                // Nexuses are numbered as they logged in.
                let forbidden = watched.judge(who - 1, session, &command).is_some();
                let known = watched.persistent.is_some() && watched.reserved.is_some();
                prop_assert!(known, "nothing has left doubt");
                prop_assert_eq!(forbidden, conflict);
            }
            let tag = story.begin(0, who, &cdb, &data);
            story.end(0, who, tag, completion, &answer);
            prop_assert!(story.bench.found.is_empty(), "{:?}", story.bench.found);
        }
    }
}

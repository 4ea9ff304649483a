// SPDX-License-Identifier: MPL-2.0
//! A relay as one would write it at first, and what the explorer finds in it.
//!
//! The relay (module `relay`, some fifty lines) does what the manual pages suggest: what the
//! kernel hands to the door goes down a TCP connection with its length before it, and what comes
//! from there is posted. It works: hosts find their disks on both paths and read from them. The
//! example then plays scenarios of the explorer with it, seed after seed, and prints which
//! failures of the field (docs/field-failures.md) it has met:
//!
//! ```text
//! cargo run -p stmf-sim --example naive_relay            # the table; exit code 0 if it finds three
//! cargo run -p stmf-sim --example naive_relay -- 12      # the run of seed 12, recorded into a trace
//! ```
//!
//! # With a relay of your own
//!
//! Copy this file, put your program in the place of module `relay` and expect nothing to be
//! found. What has to be implemented is one method, `RelayProgram::start`: it is given a `Host`,
//! which is the system of the node (threads, sleep, the door API's platform, connect and listen),
//! and starts the process. docs/testing-your-relay.md tells more.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;
use stmf_sim::explore::{Draw, Settings, Verdict, draw, run};
use stmf_sim::field::{self, Failure};
use stmf_sim::findings::Finding;
use stmf_sim::recording::{self, TraceRecorder};
use stmf_sim::world::World;

/// The relay under test.
pub mod relay {
    use bytes::{Bytes, BytesMut};
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;
    use stmf_proxy::platform::DoorSettings;
    use stmf_proxy::proxy_door::{Door, Error, ProxyDoor, Stmf};
    use stmf_sim::kernel::doors::{DoorReply, DoorServer};
    use stmf_sim::world::network::{Connection, End, Endpoint};
    use stmf_sim::world::platform::SimPlatform;
    use stmf_sim::world::{Host, RelayProgram};

    const PORT: u16 = 6543;
    const RETRY: Duration = Duration::from_millis(100);
    const FULL: usize = 64 << 10;
    const EAGAIN: u32 = 11;

    /// Starts the relay.
    pub struct Naive;

    // The relay begins here.
    #[derive(Default)]
    struct State {
        proxy: Option<Rc<ProxyDoor<SimPlatform>>>,
        line: Option<Connection>,
        queue: Vec<Bytes>,
        received: BytesMut,
    }
    struct Relay(Host, RefCell<State>);
    impl DoorServer for Relay {
        fn call(&self, message: &Bytes, reply: DoorReply) {
            let frame = [&(message.len() as u32).to_be_bytes()[..], message]
                .concat()
                .into();
            let mut state = self.1.borrow_mut();
            match &state.line {
                Some(line) if line.queued() > FULL => return reply.answer(EAGAIN),
                Some(line) => line.send(frame),
                None => state.queue.push(frame),
            }
            reply.answer(0);
        }
    }
    impl Endpoint for Relay {
        fn connected(&self, line: &Connection) {
            let mut state = self.1.borrow_mut();
            state.queue.drain(..).for_each(|frame| line.send(frame));
            (state.line, state.received) = (Some(line.clone()), BytesMut::new());
            let (stmf, node) = (Stmf::new(self.0.platform()), self.0.node().into());
            self.0.spawn("alua", async move {
                let _ = stmf.set_alua_state_async(true, node).await;
            });
        }
        fn received(&self, _: &Connection, bytes: Bytes) {
            let mut state = self.1.borrow_mut();
            state.received.extend_from_slice(&bytes);
            while let Some(head) = state.received.first_chunk() {
                let end = 4 + u32::from_be_bytes(*head) as usize;
                if state.received.len() < end {
                    break;
                }
                let (message, proxy) = (state.received.split_to(end), state.proxy.clone());
                self.0.spawn("post", async move {
                    let _ = proxy.unwrap().post_async(&message[4..]).await;
                });
            }
        }
        fn taken(&self, _: &Connection, _: usize) {}
        fn ended(&self, _: &Connection, _: End) {
            self.1.borrow_mut().line = None;
        }
    }
    async fn run(relay: Rc<Relay>) -> Result<(), Error> {
        let (platform, settings) = (relay.0.platform(), DoorSettings::default());
        let door = Door::create_async(&platform, settings, relay.clone()).await?;
        relay.1.borrow_mut().proxy = Some(Rc::new(ProxyDoor::init_async(door).await?));
        let end = relay.clone();
        let _ = relay.0.listen(PORT, Rc::new(move |_| end.clone()));
        loop {
            if relay.0.node() == 0 && relay.1.borrow().line.is_none() {
                relay.0.connect(PORT, relay.clone());
            }
            relay.0.sleep_in_background(RETRY).await;
        }
    }
    impl RelayProgram for Naive {
        fn start(&self, host: Host) {
            let relay = Rc::new(Relay(host.clone(), RefCell::default()));
            host.spawn("main", async move {
                let _ = run(relay).await;
            });
            host.clone().spawn("signals", async move {
                host.stop_requested().await;
                host.exit();
            });
        }
    }
    // The relay ends here.
}

/// A failure of the field that was met.
pub struct Met {
    /// Which.
    pub failure: &'static Failure,
    /// The first seed whose run shows it.
    pub seed: u64,
    /// What names it.
    pub finding: Finding,
}

/// Plays the scenario of one seed with the relay.
pub fn play(seed: u64, settings: Settings) -> Verdict {
    let relay = Some(Rc::new(relay::Naive) as _);
    let scenario = draw(seed, &Draw::default());
    run(&scenario, Settings { relay, ..settings })
}

/// Plays seeds, and tells which failures of the field were met, in their order, and how often
/// something of each other kind was found.
pub fn explore(seeds: impl Iterator<Item = u64>) -> (Vec<Met>, BTreeMap<&'static str, u64>) {
    let (mut met, mut others): (Vec<Met>, _) = (Vec::new(), BTreeMap::new());
    for seed in seeds {
        for finding in play(seed, Settings::default()).findings {
            match field::all().find(|failure| failure.is_named_by(&finding)) {
                Some(failure) if !met.iter().any(|known| known.failure.id == failure.id) => {
                    met.push(Met {
                        failure,
                        seed,
                        finding,
                    });
                }
                Some(_) => {}
                None => *others.entry(finding.kind.name()).or_default() += 1,
            }
        }
    }
    (met, others)
}

/// Records the run of a seed, for `stmf-sim trace show`.
fn record(seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    let scenario = draw(seed, &Draw::default());
    let plan = World::builder()
        .seed(seed)
        .kernel(scenario.kernels[0].clone())
        .kernel_of(1, scenario.kernels[1].clone())
        .network(scenario.network.clone())
        .relay(relay::Naive)
        .plan();
    let path = format!("naive-relay-{seed}.stmftrace");
    let settings = recording::Settings {
        scenario: Some(format!("{} {seed}", scenario.name)),
        ..recording::Settings::file(&path)
    };
    let recorder = TraceRecorder::create(&plan, &settings)?;
    let recorder = Rc::new(std::cell::RefCell::new(recorder));
    let verdict = play(
        seed,
        Settings {
            recorder: Some(recorder.clone()),
            ..Settings::default()
        },
    );
    for finding in verdict.findings {
        println!("{} {finding}", finding.time);
    }
    println!("{}", recorder.borrow_mut().report());
    println!("look at it with: stmf-sim trace show {path}");
    Ok(())
}

/// How many seeds are played.
pub const SEEDS: u64 = 300;

/// How many failures of the field have to be met.
pub const ENOUGH: usize = 3;

fn main() -> ExitCode {
    if let Some(seed) = std::env::args().nth(1) {
        let recorded = match seed.parse() {
            Ok(seed) => record(seed).map_err(|error| error.to_string()),
            Err(_) => Err(format!("{seed} is no seed: give a number, or nothing")),
        };
        return match recorded {
            Ok(()) => ExitCode::SUCCESS,
            Err(text) => {
                eprintln!("naive_relay: {text}");
                ExitCode::from(2)
            }
        };
    }
    let (met, others) = explore(0..SEEDS);
    println!("Failures of the field (docs/field-failures.md) met in {SEEDS} scenarios:\n");
    println!("{:<15} {:>5}  what happened", "failure", "seed");
    for Met {
        failure,
        seed,
        finding,
    } in &met
    {
        println!("{:<15} {seed:>5}  {finding}", failure.id);
    }
    println!("\nThe run of a seed again, recorded:");
    for Met { failure, seed, .. } in &met {
        println!(
            "  cargo run -p stmf-sim --example naive_relay -- {seed}   # {}",
            failure.id
        );
    }
    println!("\nOther findings:");
    for (kind, times) in others {
        println!("{kind:<24} {times:>5}");
    }
    match met.len() {
        ENOUGH.. => ExitCode::SUCCESS,
        few => {
            eprintln!("naive_relay: {few} failures were met; {ENOUGH} were to be");
            ExitCode::FAILURE
        }
    }
}

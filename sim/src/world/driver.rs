// SPDX-License-Identifier: MPL-2.0
//! The relay of `stmf-proxy` in a simulated process: the thin driver around its state machine.
//!
//! It does what the daemon's driver does with threads and sockets: it serves the door, carries
//! out [`Action`]s, each call that may block in a thread of its own, and tells the machine how
//! they went. It decides nothing. The state machine is behind [`RelayMachine`], so that a test
//! can put something between it and the world, or run another one.

use super::alarm::Alarm;
use super::network::{Accept, Connection, End, Endpoint};
use super::platform::SimPlatform;
use super::relay::{Host, RelayProgram};
use crate::kernel::doors::{DoorReply, DoorServer, ServerThreads};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use stmf_proxy::link::{ConnectionId, Frame, Node, Role, TransportEnd};
use stmf_proxy::platform::DoorSettings;
use stmf_proxy::proxy_door::{Door, Error, ProxyDoor};
use stmf_proxy::relay::{
    Action, CallFailure, CallId, Config, ConfigError, ConnectFailure, Filling, Input, LinkConfig,
    OpenedDoor, PostId, Relay, Severity,
};
use stmf_proxy::status::{Errno, Status};
use stmf_proxy::time::Time;

/// The port at which the listening relay waits for its peer.
pub const LINK_PORT: u16 = 6543;

/// How the line begins with which the driver tells that its machine keeps more than it may.
pub const BOUND_PASSED: &str = "error: a bound is passed: ";

/// A relay as a state machine: what [`Relay`] is.
pub trait RelayMachine {
    /// Takes one input.
    fn handle(&mut self, now: Time, input: Input);
    /// The next thing to do, until there is none.
    fn poll_action(&mut self) -> Option<Action>;
    /// When [`Input::Timer`] is due.
    fn next_timer(&self) -> Option<Time>;
    /// A bound that the machine has passed: the name of its setting, how much there is, and how
    /// much there may be. Asked after every input; the first is told in the log
    /// ([`BOUND_PASSED`]).
    fn bound_passed(&self) -> Option<(&'static str, Filling)> {
        None
    }
}

impl RelayMachine for Relay {
    fn handle(&mut self, now: Time, input: Input) {
        Relay::handle(self, now, input);
    }
    fn poll_action(&mut self) -> Option<Action> {
        Relay::poll_action(self)
    }
    fn next_timer(&self) -> Option<Time> {
        Relay::next_timer(self)
    }
    fn bound_passed(&self) -> Option<(&'static str, Filling)> {
        self.occupancy().passed()
    }
}

/// The relay of `stmf-proxy`, node 0 connecting and node 1 listening.
#[derive(Clone)]
pub struct StandardRelay {
    adjust: Rc<dyn Fn(&mut Config)>,
    settings: DoorSettings,
    threads: Option<ServerThreads>,
    name: Option<&'static str>,
}

impl Default for StandardRelay {
    fn default() -> StandardRelay {
        StandardRelay {
            adjust: Rc::new(|_| {}),
            settings: DoorSettings::default(),
            threads: None,
            name: Some(StandardRelay::NAME),
        }
    }
}

impl StandardRelay {
    /// What traces call the relay with default settings.
    pub const NAME: &'static str = "standard";

    /// The relay with default settings.
    pub fn new() -> StandardRelay {
        StandardRelay::default()
    }

    /// Changes the settings of the relay before it starts.
    pub fn adjusted(mut self, adjust: impl Fn(&mut Config) + 'static) -> StandardRelay {
        self.adjust = Rc::new(adjust);
        self.name = None;
        self
    }

    /// Serves the door with these settings.
    pub fn with_door_settings(mut self, settings: DoorSettings) -> StandardRelay {
        self.settings = settings;
        self.name = None;
        self
    }

    /// Serves the door with threads of this kind, whatever its settings need.
    pub fn with_server_threads(mut self, threads: ServerThreads) -> StandardRelay {
        self.threads = Some(threads);
        self.name = None;
        self
    }

    /// Calls it so in traces: by a name under which [`crate::relays::by_name`] finds a relay with
    /// these settings.
    pub fn named(mut self, name: &'static str) -> StandardRelay {
        self.name = Some(name);
        self
    }

    /// The settings that the relay of this node starts with.
    pub fn config(&self, host: &Host) -> Config {
        // stmf knows two nodes. A third one claims to be node 1, and is refused.
        let node = Node::from_number(host.node().into()).unwrap_or(Node::One);
        let link = LinkConfig::Default {
            pair: "world".into(),
            host: format!("node{}", host.node()),
            node,
            role: if node == Node::Zero {
                Role::Connect
            } else {
                Role::Listen
            },
        };
        let mut config = Config::new(link, host.random());
        (self.adjust)(&mut config);
        config
    }

    /// Starts `machine` instead of the relay itself.
    pub fn start_machine(&self, host: Host, machine: impl RelayMachine + 'static) {
        if let Some(threads) = self.threads {
            host.platform().serve_with(threads);
        }
        Driver::start(host, self.settings, Box::new(machine));
    }
}

impl RelayProgram for StandardRelay {
    fn start(&self, host: Host) {
        match Relay::new(self.config(&host)) {
            Ok(relay) => self.start_machine(host, relay),
            Err(error) => refuse(&host, &error),
        }
    }

    fn name(&self) -> Option<String> {
        self.name.map(String::from)
    }
}

fn refuse(host: &Host, error: &ConfigError) {
    host.log(&format!("error: the relay does not start: {error}"));
    host.exit();
}

/// One connection of the link, by the name that the machine knows.
struct Line {
    connection: Connection,
    id: ConnectionId,
}

struct Driver {
    host: Host,
    machine: RefCell<Box<dyn RelayMachine>>,
    /// Inputs that came while the machine was at work on another one.
    inputs: RefCell<VecDeque<Input>>,
    working: Cell<bool>,
    bound_told: Cell<bool>,
    alarm: Alarm,
    calls: RefCell<BTreeMap<CallId, DoorReply>>,
    next_call: Cell<u64>,
    lines: RefCell<Vec<Line>>,
    /// The attempt to connect that is in progress.
    attempt: RefCell<Option<Connection>>,
    /// The door while no handle is open.
    door: RefCell<Option<Door<SimPlatform>>>,
    proxy: RefCell<Option<Rc<ProxyDoor<SimPlatform>>>>,
    this: Weak<Driver>,
}

impl Driver {
    fn start(host: Host, settings: DoorSettings, machine: Box<dyn RelayMachine>) {
        let driver = Rc::new_cyclic(|this| Driver {
            alarm: Alarm::new(host.executor(), "its alarm"),
            machine: RefCell::new(machine),
            inputs: RefCell::default(),
            working: Cell::new(false),
            bound_told: Cell::new(false),
            calls: RefCell::default(),
            next_call: Cell::new(1),
            lines: RefCell::default(),
            attempt: RefCell::default(),
            door: RefCell::default(),
            proxy: RefCell::default(),
            this: this.clone(),
            host: host.clone(),
        });
        let main = driver.clone();
        host.spawn("relay main", async move { main.main(settings).await });
        let signals = driver.clone();
        host.spawn("relay signals", async move {
            signals.host.stop_requested().await;
            signals.input(Input::Stop);
        });
        host.spawn("relay timer", async move {
            loop {
                driver.alarm.ring().await;
                driver.input(Input::Timer);
            }
        });
    }

    async fn main(&self, settings: DoorSettings) {
        let server = Rc::new(Server(self.this.clone()));
        match Door::create_async(&self.host.platform(), settings, server).await {
            Ok(door) => {
                *self.door.borrow_mut() = Some(door);
                self.input(Input::Start);
            }
            Err(error) => {
                self.host
                    .log(&format!("error: the relay does not start: {error}"));
                self.host.exit();
            }
        }
    }

    /// Gives the machine an input and does what it wants. An input that comes of doing so waits
    /// its turn.
    fn input(&self, input: Input) {
        if self.working.replace(true) {
            self.inputs.borrow_mut().push_back(input);
            return;
        }
        let mut next = Some(input);
        while let Some(input) = next {
            self.machine.borrow_mut().handle(self.host.now(), input);
            loop {
                let action = self.machine.borrow_mut().poll_action();
                let Some(action) = action else { break };
                self.act(action);
            }
            self.look_at_bounds();
            next = self.inputs.borrow_mut().pop_front();
        }
        self.working.set(false);
        let due = self.machine.borrow().next_timer();
        self.alarm.set(due);
    }

    fn look_at_bounds(&self) {
        let passed = self.machine.borrow().bound_passed();
        if let Some((setting, Filling { now, most })) = passed
            && !self.bound_told.replace(true)
        {
            self.host
                .log(&format!("{BOUND_PASSED}{setting}: {now} of {most}"));
        }
    }

    fn spawn(&self, name: &'static str, body: impl AsyncFnOnce(Rc<Driver>) + 'static) {
        if let Some(driver) = self.this.upgrade() {
            self.host.spawn(name, async move { body(driver).await });
        }
    }

    fn act(&self, action: Action) {
        match action {
            Action::OpenProxyDoor => self.spawn("relay opening", async |driver| {
                let opened = driver.open().await;
                driver.input(Input::ProxyDoorOpened(opened));
            }),
            Action::CloseProxyDoor => self.spawn("relay closing", async |driver| {
                driver.close().await;
                driver.input(Input::ProxyDoorClosed);
            }),
            Action::RevokeDoor => drop(self.door.take()),
            Action::SetAlua { enabled, node } => {
                self.spawn("relay setting ALUA", async move |driver| {
                    let stmf = stmf_proxy::proxy_door::Stmf::new(driver.host.platform());
                    let set = stmf.set_alua_state_async(enabled, node.number()).await;
                    driver.input(Input::AluaSet(set.map_err(failure)));
                })
            }
            Action::Post { post, message, .. } => self.post(post, message),
            Action::AnswerUpcall { call, result } => {
                let reply = self.calls.borrow_mut().remove(&call);
                if let Some(reply) = reply {
                    reply.answer(result);
                }
            }
            Action::Connect => {
                let endpoint = Rc::new(LinkEnd(self.this.clone()));
                let attempt = self.host.connect(LINK_PORT, endpoint);
                *self.attempt.borrow_mut() = Some(attempt);
            }
            Action::AbandonConnect => {
                if let Some(attempt) = self.attempt.take() {
                    attempt.reset();
                }
            }
            Action::Listen => self.listen(),
            Action::Send { connection, frame } => {
                if let Some(line) = self.line(connection) {
                    send(&line, &frame);
                }
            }
            Action::Disconnect {
                connection, flush, ..
            } => {
                if let Some(line) = self.forget(connection) {
                    if flush { line.close() } else { line.reset() }
                }
            }
            Action::Log(event) => {
                let level = match event.severity() {
                    Severity::Info => "info",
                    Severity::Warning => "warning",
                    Severity::Error => "error",
                };
                self.host.log(&format!("{level}: {event}"));
            }
            Action::Stopped(cause) => {
                self.host.log(&format!("info: {cause}"));
                self.host.exit();
            }
        }
    }

    async fn open(&self) -> Result<OpenedDoor, CallFailure> {
        let Some(door) = self.door.take() else {
            // The machine has revoked the door, or opens it twice: that is for it to hear.
            return Err(CallFailure {
                status: Status::Error.value() as u32,
                errno: 0,
            });
        };
        let descriptor = door.descriptor();
        // The door stays ours whatever becomes of the handle.
        let opened = ProxyDoor::init_with_descriptor_async(&self.host.platform(), descriptor).await;
        *self.door.borrow_mut() = Some(door);
        match opened {
            Ok(proxy) => {
                *self.proxy.borrow_mut() = Some(Rc::new(proxy));
                Ok(OpenedDoor {
                    boot: self.host.boot_identity(),
                    handle: self.host.new_handle_identity(),
                })
            }
            Err(error) => Err(failure(error)),
        }
    }

    async fn close(&self) {
        let Some(proxy) = self.proxy.take() else {
            return;
        };
        match Rc::try_unwrap(proxy) {
            Ok(proxy) => {
                if let Err(error) = proxy.close_async().await {
                    self.host.log(&format!("warning: {error}"));
                }
            }
            // The last post to end closes it.
            Err(shared) => drop(shared),
        }
    }

    fn post(&self, post: PostId, message: Bytes) {
        let Some(proxy) = self.proxy.borrow().clone() else {
            let result = Err(CallFailure {
                status: Status::PostMessageFailed.value() as u32,
                errno: Errno::EBADF.number(),
            });
            return self.input(Input::PostFinished { post, result });
        };
        let Some(driver) = self.this.upgrade() else {
            return;
        };
        // The thread goes into the kernel at once, and does little else.
        self.host.platform().enter("post", async move {
            let posted = proxy.post_async(&message).await;
            drop(proxy);
            if !driver.host.has_ended() {
                driver.input(Input::PostFinished {
                    post,
                    result: posted.map_err(failure),
                });
            }
        });
    }

    fn listen(&self) {
        let this = self.this.clone();
        let accept: Accept = Rc::new(move |connection| {
            if let Some(driver) = this.upgrade() {
                driver.remember(connection);
            }
            Rc::new(LinkEnd(this.clone()))
        });
        if self.host.listen(LINK_PORT, accept).is_err() {
            const EADDRINUSE: i32 = 125;
            self.input(Input::ListenFailed(EADDRINUSE));
        }
    }

    fn remember(&self, connection: &Connection) {
        let id = ConnectionId(connection.number().into());
        self.lines.borrow_mut().push(Line {
            connection: connection.clone(),
            id,
        });
    }

    fn line(&self, id: ConnectionId) -> Option<Connection> {
        let lines = self.lines.borrow();
        lines
            .iter()
            .find(|line| line.id == id)
            .map(|line| line.connection.clone())
    }

    fn forget(&self, id: ConnectionId) -> Option<Connection> {
        let mut lines = self.lines.borrow_mut();
        let place = lines.iter().position(|line| line.id == id)?;
        Some(lines.remove(place).connection)
    }
}

/// Frames up to this length, head and body, go to the network in one piece. Copying the body costs
/// less than a second run of bytes on its way.
const ONE_PIECE: usize = 4096;

fn send(line: &Connection, frame: &Frame) {
    if frame.len() <= ONE_PIECE {
        line.send(frame.to_vec().into());
    } else {
        line.send_all([Bytes::copy_from_slice(frame.head()), frame.body().clone()]);
    }
}

fn failure(error: Error) -> CallFailure {
    CallFailure {
        status: error.status().value() as u32,
        errno: error.errno().map_or(0, |errno| errno.number()),
    }
}

/// Serves the door.
struct Server(Weak<Driver>);

impl DoorServer for Server {
    fn call(&self, message: &Bytes, reply: DoorReply) {
        let Some(driver) = self.0.upgrade() else {
            return;
        };
        let call = CallId(driver.next_call.get());
        driver.next_call.set(call.0 + 1);
        driver.calls.borrow_mut().insert(call, reply);
        driver.input(Input::Upcall {
            call,
            message: message.clone(),
        });
    }

    fn unreferenced(&self) {
        if let Some(driver) = self.0.upgrade() {
            driver.input(Input::DoorUnreferenced);
        }
    }
}

/// Hears of the connections of the link.
struct LinkEnd(Weak<Driver>);

impl Endpoint for LinkEnd {
    fn connected(&self, connection: &Connection) {
        let Some(driver) = self.0.upgrade() else {
            return;
        };
        let id = ConnectionId(connection.number().into());
        if driver.line(id).is_none() {
            driver.attempt.take();
            driver.remember(connection);
        }
        driver.input(Input::Connected {
            connection: id,
            address: None,
        });
    }

    fn received(&self, connection: &Connection, bytes: Bytes) {
        let Some(driver) = self.0.upgrade() else {
            return;
        };
        let connection = ConnectionId(connection.number().into());
        driver.input(Input::Received { connection, bytes });
    }

    fn taken(&self, connection: &Connection, bytes: usize) {
        let Some(driver) = self.0.upgrade() else {
            return;
        };
        let connection = ConnectionId(connection.number().into());
        driver.input(Input::Sent { connection, bytes });
    }

    fn ended(&self, connection: &Connection, end: End) {
        let Some(driver) = self.0.upgrade() else {
            return;
        };
        let no_answer = Errno::ETIMEDOUT.number();
        let id = ConnectionId(connection.number().into());
        if driver.forget(id).is_some() {
            let end = match end {
                End::Closed => TransportEnd::Closed,
                End::Reset | End::Refused => TransportEnd::Reset,
                End::NoAnswer => TransportEnd::Failed(no_answer),
            };
            return driver.input(Input::Disconnected {
                connection: id,
                end,
            });
        }
        driver.attempt.take();
        driver.input(Input::ConnectFailed(match end {
            End::Refused => ConnectFailure::Refused,
            End::Reset | End::Closed => ConnectFailure::Errno(Errno::ECONNRESET.number()),
            End::NoAnswer => ConnectFailure::Errno(no_answer),
        }));
    }
}

// SPDX-License-Identifier: MPL-2.0
//! One relay with its driver, and what it has promised so far: everything that it asks for is
//! looked at here before it is done.

use super::super::stream::{PAIR, Peer};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use stmf_proxy::link::demo::DemoConfig;
use stmf_proxy::link::{BreakReason, ConnectionId, GoodbyeReason, Node, Role};
use stmf_proxy::relay::classify::by_object;
use stmf_proxy::relay::{
    Action, CallId, Config, Event, HandlePolicy, Input, Lane, LinkConfig, PostId, Relay, config,
};
use stmf_proxy::time::Time;

/// Longest message.
const MESSAGE: usize = 4096;

/// What greetings of candidates and frames without messages may take beside a full send queue.
const SEND_SLACK: usize = 16 << 10;

/// How the relays of a case are configured.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The demo link, and whether it is made again when it has ended.
    pub demo: Option<bool>,
    /// What becomes of the handle without a link.
    pub policy: HandlePolicy,
    /// Posts in progress at once, from 1.
    pub posts: usize,
}

impl Settings {
    /// Of one of the two nodes. Node 0 connects.
    pub fn config(&self, node: usize, seed: u64) -> Config {
        let host = |node| format!("head{node}");
        let link = match self.demo {
            Some(reconnect) => LinkConfig::Demo(DemoConfig {
                host: host(node),
                listening_host: host(1),
                reconnect,
            }),
            None => LinkConfig::Default {
                pair: PAIR.to_owned(),
                host: host(node),
                node: Node::from_number(node as u32).expect("0 or 1"),
                role: [Role::Connect, Role::Listen][node],
            },
        };
        let mut config = Config::new(link, seed);
        config.max_message = MESSAGE;
        config.send_queue_bytes = 2 * MESSAGE + config::SEND_QUEUE_SLACK;
        config.post_queue_bytes = 4 * MESSAGE;
        config.post_queue_messages = 12;
        config.posts_in_flight = self.posts;
        config.slow_posts_in_flight = 2;
        config.handle_without_link = self.policy;
        config.times.backoff_max = Duration::from_secs(1);
        config
    }
}

/// Something that the driver does for the relay and that takes time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    /// Opening the handle.
    Open,
    /// Closing it.
    Close,
    /// Setting ALUA.
    Alua,
    /// A post.
    Post(PostId, Lane),
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub enum Other {
    /// The other relay, which has this name for it.
    Relay(ConnectionId),
    /// Somebody else; none on the demo link until it has greeted.
    Stranger(Option<Peer>, bool),
}

/// A connection as its driver sees it.
#[derive(Debug)]
pub struct Connection {
    /// Who is at the other end.
    pub other: Other,
    /// Bytes that the relay has sent and the transport has not taken.
    pub outbox: VecDeque<u8>,
    /// All bytes that it has sent.
    pub sent: u64,
    /// Messages for which an upcall was answered with 0.
    pub accepted: Vec<Bytes>,
    /// How many messages of the other end have arrived whole.
    pub arrived: usize,
}

/// One relay, its kernel and its driver.
pub struct Machine {
    /// The relay.
    pub relay: Relay,
    /// What it may take.
    bounds: Config,
    /// The boot of the kernel.
    pub boot: u128,
    /// The open handle.
    pub handle: Option<u128>,
    /// Whether ALUA was set since the boot.
    pub alua_ever_set: bool,
    /// What is in progress.
    pub calls: Vec<Call>,
    /// It wants a connection.
    pub wants_connection: bool,
    /// It listens.
    pub listens: bool,
    /// Its connections.
    pub connections: BTreeMap<ConnectionId, Connection>,
    /// It was told to stop, or decided to.
    pub stopping: bool,
    /// It has ended.
    pub stopped: bool,
    revoked: bool,
    /// Messages that have arrived, by the number that they must have; none if a stranger sent it.
    contents: BTreeMap<PostId, Option<Bytes>>,
    arrivals: u64,
    /// Up to this number they went with their link.
    lost: u64,
    /// Posts that were begun.
    posted: Vec<(PostId, Lane)>,
}

impl Machine {
    /// A relay that was not started, on a kernel of this boot.
    pub fn new(settings: &Settings, node: usize, seed: u64, boot: u128) -> Machine {
        let bounds = settings.config(node, seed);
        Machine {
            relay: Relay::new(bounds.clone()).expect("within all bounds"),
            bounds,
            boot,
            handle: None,
            alua_ever_set: false,
            calls: Vec::new(),
            wants_connection: false,
            listens: false,
            connections: BTreeMap::new(),
            stopping: false,
            stopped: false,
            revoked: false,
            contents: BTreeMap::new(),
            arrivals: 0,
            lost: 0,
            posted: Vec::new(),
        }
    }

    /// Tells the relay one thing. What it asks for is checked; what is left to be done is given.
    pub fn tell(&mut self, now: Time, what: Input) -> Vec<Action> {
        let late = self.stopped;
        let connected = matches!(what, Input::Connected { .. });
        let asked = match &what {
            Input::Upcall { call, message } => Some((*call, message.clone())),
            _ => None,
        };
        let up = self.relay.is_link_up();
        self.relay.handle(now, what);
        let mut actions = Vec::new();
        while let Some(action) = self.relay.poll_action() {
            actions.push(action);
        }
        match asked {
            Some((call, message)) => self.check_answer(&actions, call, message, up),
            None => assert_eq!(answers(&actions), [], "nobody asked"),
        }
        for action in &actions {
            let allowed = match action {
                Action::AnswerUpcall { .. } | Action::Log(_) => true,
                Action::Disconnect { .. } => connected,
                _ => false,
            };
            assert!(allowed || !late, "{action:?} after the end");
            self.observe(action);
        }
        self.check_bounds();
        actions
    }

    /// Bytes have come for a connection: which messages they complete is known beforehand.
    /// `sent` is what the other relay has sent on it, none if it is a stranger's.
    pub fn receive(
        &mut self,
        now: Time,
        connection: ConnectionId,
        bytes: Bytes,
        sent: Option<&[Bytes]>,
    ) -> Vec<Action> {
        let before = self.relay.statistics().messages_received;
        self.relay
            .handle(now, Input::Received { connection, bytes });
        let mut actions = Vec::new();
        while let Some(action) = self.relay.poll_action() {
            actions.push(action);
        }
        assert_eq!(answers(&actions), [], "nobody asked");
        let come = (self.relay.statistics().messages_received - before) as usize;
        let full = |reason: &BreakReason| {
            matches!(
                reason,
                BreakReason::PostQueueCount { .. } | BreakReason::PostQueueBytes { .. }
            )
        };
        // On the demo link messages come before the link stands, too.
        let refused = actions.iter().any(|action| match action {
            Action::Log(Event::LinkDown { reason, .. } | Event::HandshakeFailed { reason, .. }) => {
                full(reason)
            }
            _ => false,
        });
        if let Some(known) = self.connections.get_mut(&connection) {
            let first = known.arrived;
            known.arrived += come;
            for index in first..first + come - usize::from(refused) {
                let content = sent.map(|sent| {
                    let message = sent.get(index);
                    message.expect("nothing arrives that was not sent").clone()
                });
                self.arrivals += 1;
                self.contents.insert(PostId(self.arrivals), content);
            }
        } else {
            assert_eq!(come, 0, "of a connection that is not there");
        }
        for action in &actions {
            let allowed = !self.stopped || matches!(action, Action::Log(_));
            assert!(allowed, "{action:?} after the end");
            self.observe(action);
        }
        self.check_bounds();
        actions
    }

    fn check_answer(&mut self, actions: &[Action], call: CallId, message: Bytes, up: bool) {
        let answers = answers(actions);
        assert_eq!(answers.len(), 1, "answered at once, and once");
        assert_eq!(answers[0].0, call);
        let sends = actions.iter().filter_map(|action| match action {
            Action::Send { connection, frame } if *frame.body() == message => Some(*connection),
            _ => None,
        });
        let sends: Vec<_> = sends.collect();
        match answers[0].1 {
            0 => {
                assert!(up && !self.stopping, "taken without a link");
                assert_eq!(sends.len(), 1, "what was taken is on its way");
                let connection = self.connections.get_mut(&sends[0]);
                connection.expect("it is there").accepted.push(message);
            }
            22 => assert!(message.is_empty()),
            97 => assert!(message.len() > 1),
            132 | 134 | 143 => {}
            other => panic!("answered with {other}"),
        }
    }

    /// Checks what the relay asks for, and notes down what follows.
    fn observe(&mut self, action: &Action) {
        match action {
            Action::OpenProxyDoor => {
                assert!(self.handle.is_none() && !self.calls.contains(&Call::Open));
                self.calls.push(Call::Open);
            }
            Action::CloseProxyDoor => {
                assert!(self.handle.is_some());
                assert_eq!(self.calls, [], "closed while something is in progress");
                self.calls.push(Call::Close);
            }
            Action::RevokeDoor => {
                assert!(self.handle.is_none() && self.calls.is_empty());
                self.revoked = true;
            }
            Action::Stopped(_) => {
                assert!(self.revoked && !self.stopped);
                self.stopped = true;
            }
            Action::SetAlua { enabled, node } => {
                assert!(*enabled && *node == self.bounds.node() && self.handle.is_some());
                assert!(!self.calls.contains(&Call::Alua));
                self.calls.push(Call::Alua);
            }
            Action::Post {
                post,
                lane,
                message,
            } => self.post(*post, *lane, message),
            Action::AnswerUpcall { .. } | Action::Disconnect { .. } => {}
            Action::Connect => self.wants_connection = true,
            Action::AbandonConnect => self.wants_connection = false,
            Action::Listen => self.listens = true,
            Action::Send { connection, frame } => {
                if let Some(connection) = self.connections.get_mut(connection) {
                    connection.sent += frame.len() as u64;
                    connection.outbox.extend(frame.head());
                    connection.outbox.extend(frame.body());
                }
            }
            Action::Log(event) => {
                assert!(!event.to_string().is_empty());
                match event {
                    Event::LinkDown { reason, .. }
                        if *reason != BreakReason::Goodbye(GoodbyeReason::Stopping) =>
                    {
                        self.lost = self.arrivals;
                    }
                    Event::Stopping { .. } => {
                        self.stopping = true;
                        self.lost = self.arrivals;
                    }
                    _ => {}
                }
            }
        }
    }

    /// A post begins.
    fn post(&mut self, post: PostId, lane: Lane, message: &Bytes) {
        assert!(self.handle.is_some() && !self.calls.contains(&Call::Close));
        assert!(self.alua_ever_set, "posted before ALUA was set");
        assert!(!self.stopping, "posted while stopping");
        assert_eq!(lane, by_object(message));
        let content = self.contents.get(&post).expect("it has arrived");
        assert!(content.as_ref().is_none_or(|content| content == message));
        assert!(post.0 > self.lost, "it went with its link");
        for (other, of) in &self.posted {
            assert_ne!(*other, post, "posted twice");
            assert!(
                *other < post || !of.conflicts_with(&lane),
                "{post} ({lane:?}) after {other} ({of:?})"
            );
        }
        let mut slow = usize::from(lane.is_slow());
        let mut all = 1;
        for call in &self.calls {
            let Call::Post(other, of) = call else {
                continue;
            };
            assert!(
                !of.conflicts_with(&lane),
                "{post} ({lane:?}) beside {other} ({of:?})"
            );
            all += 1;
            slow += usize::from(of.is_slow());
        }
        assert!(all <= self.bounds.posts_in_flight && slow <= self.bounds.slow_posts_in_flight);
        self.posted.push((post, lane));
        self.calls.push(Call::Post(post, lane));
    }

    fn check_bounds(&self) {
        let (bounds, now) = (&self.bounds, self.relay.statistics());
        assert!(now.post_queue_messages_high <= bounds.post_queue_messages as u64);
        assert!(now.post_queue_bytes_high <= bounds.post_queue_bytes as u64);
        assert!(now.send_queue_bytes_high <= bounds.send_queue_bytes as u64);
        assert!(now.send_queue_bytes_now <= (bounds.send_queue_bytes + SEND_SLACK) as u64);
        let posts = self.calls.iter();
        let posts = posts.filter(|call| matches!(call, Call::Post(..))).count();
        assert!(now.posts_in_flight_now >= posts as u64);
    }
}

fn answers(actions: &[Action]) -> Vec<(CallId, u32)> {
    let answers = actions.iter().filter_map(|action| match action {
        Action::AnswerUpcall { call, result } => Some((*call, *result)),
        _ => None,
    });
    answers.collect()
}

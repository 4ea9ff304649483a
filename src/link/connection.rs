// SPDX-License-Identifier: MPL-2.0
//! One connection to the peer, on either link: bytes in, greetings and messages out, and the
//! clocks that tell whether the other end still lives.
//!
//! It decides nothing about relays: whom to accept when, and what a message is for, is the
//! relay's business. It makes sure that what it reports was sent on this very connection, whole,
//! undamaged, once, in order, and in place.

use std::time::Duration;

use bytes::Bytes;

use super::demo;
use super::error::{BreakReason, GoodbyeReason, LinkError};
use super::frame::{Due, Frame, HEADER_LENGTH, Header, Kind, MAGIC};
use super::greeting::{self, Fields, Greeting, Welcome};
use super::ledger::Ledger;
use super::splitter::Splitter;
use super::{ConnectionId, KEEPALIVE_LONGEST, LinkTimes};
use crate::time::Time;

/// What a connection is bounded by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_message: u32,
    pub(crate) send_queue_bytes: usize,
    pub(crate) times: LinkTimes,
}

/// Which link is spoken, and who we say that we are.
#[derive(Clone, Debug)]
pub(crate) enum Ours {
    Default(Greeting),
    Demo { host: String },
}

/// What came from the peer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Incoming {
    /// A greeting that agrees with ours.
    Greeting(Greeting),
    /// A greeting on the demo link: the host name.
    DemoGreeting(String),
    Welcome(Welcome),
    Message(Bytes),
    Goodbye(GoodbyeReason),
}

/// Where in the byte stream we are.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Magic { first: Option<[u8; 4]> },
    Header,
    Body(Header),
    DemoLength,
    DemoBody { length: u32 },
}

/// What the peer's greeting told.
#[derive(Clone, Copy, Debug)]
struct Peer {
    session: u64,
    max_message: u32,
    version: u16,
    /// After so much silence it is taken for dead.
    dead_after: Duration,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    ours: Ours,
    limits: Limits,
    peer: Option<Peer>,
    welcome_sent: bool,
    welcome_received: bool,

    splitter: Splitter,
    stage: Stage,
    frames_received: u64,
    bytes_received: u64,
    heard_at: Time,
    greeting_due: Time,

    frames_sent: u64,
    keepalive_at: Time,
    ledger: Ledger,
}

impl Connection {
    /// A connection that has just come to stand, and the greeting to send on it.
    pub(crate) fn open(
        now: Time,
        id: ConnectionId,
        ours: Ours,
        limits: Limits,
    ) -> (Connection, Frame) {
        let stage = match ours {
            Ours::Default(_) => Stage::Magic { first: None },
            Ours::Demo { .. } => Stage::DemoLength,
        };
        let greeting = match &ours {
            Ours::Default(greeting) => Frame::build(Kind::Greeting, 0, 0, greeting.encode(), true),
            Ours::Demo { host } => Frame::demo(demo::greeting(host)),
        };
        let mut connection = Connection {
            id,
            ours,
            limits,
            peer: None,
            welcome_sent: false,
            welcome_received: false,
            splitter: Splitter::default(),
            stage,
            frames_received: 0,
            bytes_received: 0,
            heard_at: now,
            greeting_due: now + limits.times.greeting_timeout,
            frames_sent: 0,
            keepalive_at: now,
            ledger: Ledger::new(now),
        };
        connection.account(now, &greeting);
        (connection, greeting)
    }

    fn is_demo(&self) -> bool {
        matches!(self.ours, Ours::Demo { .. })
    }

    /// Whether messages may travel.
    pub(crate) fn is_established(&self) -> bool {
        self.welcome_sent && self.welcome_received
    }

    /// Whether the welcome is sent.
    pub(crate) fn is_welcomed(&self) -> bool {
        self.welcome_sent
    }

    /// Whether the peer's welcome has come.
    pub(crate) fn has_peers_welcome(&self) -> bool {
        self.welcome_received
    }

    /// The agreed version; none on the demo link.
    pub(crate) fn version(&self) -> Option<u16> {
        self.peer
            .map(|peer| peer.version)
            .filter(|_| !self.is_demo())
    }

    /// Longest message that both ends accept.
    pub(crate) fn max_message(&self) -> usize {
        let theirs = self.peer.map_or(u32::MAX, |peer| peer.max_message);
        theirs.min(self.limits.max_message) as usize
    }

    /// Bytes handed over that the transport has not taken.
    pub(crate) fn unsent(&self) -> usize {
        self.ledger.unsent()
    }

    /// At most so many messages of ours may not have reached the peer.
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.ledger.unconfirmed_messages()
    }

    // ---- bytes in ----

    /// Takes bytes from the transport; then call [`next`](Connection::next) until it says `None`.
    pub(crate) fn receive(&mut self, now: Time, bytes: Bytes) {
        self.heard_at = now;
        self.bytes_received = self.bytes_received.saturating_add(bytes.len() as u64);
        self.splitter.push(bytes);
    }

    /// The next thing that came. After an error or a goodbye the connection is of no more use.
    pub(crate) fn next(&mut self, now: Time) -> Option<Result<Incoming, BreakReason>> {
        loop {
            match self.stage {
                Stage::Magic { first } => {
                    let bytes = self.splitter.head::<4>()?;
                    let half = if first.is_none() {
                        &MAGIC[..4]
                    } else {
                        &MAGIC[4..]
                    };
                    if bytes != half {
                        let error = match bytes {
                            [0, 0, _, _] if first.is_none() => LinkError::DemoLinkPeer,
                            _ => LinkError::NotThisLink(bytes),
                        };
                        return Some(Err(error.into()));
                    }
                    self.stage = match first {
                        None => Stage::Magic { first: Some(bytes) },
                        Some(_) => Stage::Header,
                    };
                }
                Stage::Header => {
                    let bytes = self.splitter.head::<HEADER_LENGTH>()?;
                    match self.header(&bytes) {
                        Ok(header) => self.stage = Stage::Body(header),
                        Err(error) => return Some(Err(error.into())),
                    }
                }
                Stage::Body(header) => {
                    let body = self.splitter.body(header.length as usize)?;
                    self.stage = Stage::Header;
                    self.frames_received += 1;
                    match self.frame(now, header, body) {
                        Ok(None) => {}
                        Ok(Some(incoming)) => return Some(Ok(incoming)),
                        Err(reason) => return Some(Err(reason)),
                    }
                }
                Stage::DemoLength => {
                    let length = u32::from_be_bytes(self.splitter.head::<4>()?);
                    let bound = self.limits.max_message;
                    if let Err(error) = demo::check_length(length, self.frames_received, bound) {
                        return Some(Err(error.into()));
                    }
                    self.stage = Stage::DemoBody { length };
                }
                Stage::DemoBody { length } => {
                    let body = self.splitter.body(length as usize)?;
                    self.stage = Stage::DemoLength;
                    self.frames_received += 1;
                    return Some(Ok(self.demo_frame(body)));
                }
            }
        }
    }

    fn header(&self, bytes: &[u8; HEADER_LENGTH]) -> Result<Header, LinkError> {
        let Ours::Default(greeting) = &self.ours else {
            return Err(LinkError::DemoLinkPeer); // not reached: the demo link has no headers
        };
        let sequence = self.frames_received;
        let due = Due {
            session: greeting.session,
            sequence,
        };
        let header = Header::decode(bytes, due, self.limits.max_message)?;
        let kind = header.kind.name();
        let out_of_place = |when| {
            Err(LinkError::OutOfPlace {
                sequence,
                kind,
                when,
            })
        };
        match (header.kind, self.peer.is_some()) {
            (Kind::Greeting, true) => out_of_place("after the greeting"),
            (Kind::Greeting, false) => Ok(header),
            (_, false) => out_of_place("before the greeting"),
            (Kind::Welcome, true) if self.welcome_received => out_of_place("after the welcome"),
            (Kind::Message, true) if !self.is_established() => out_of_place("before both welcomes"),
            _ => Ok(header),
        }
    }

    fn frame(
        &mut self,
        now: Time,
        header: Header,
        body: Bytes,
    ) -> Result<Option<Incoming>, BreakReason> {
        header.check_payload(&body)?;
        match header.kind {
            Kind::Message => Ok(Some(Incoming::Message(body))),
            Kind::Keepalive => {
                let fields = Fields {
                    payload: &body,
                    kind: "keepalive",
                };
                self.ledger.confirm(now, fields.long(0)?)?;
                Ok(None)
            }
            Kind::Greeting => self.greeted(now, Greeting::decode(&body)?).map(Some),
            Kind::Welcome => {
                let welcome = Welcome::decode(&body)?;
                let expected = self.peer.map_or(0, |peer| peer.version);
                if welcome.version != expected {
                    let found = welcome.version;
                    return Err(LinkError::WrongVersion { expected, found }.into());
                }
                self.welcome_received = true;
                Ok(Some(Incoming::Welcome(welcome)))
            }
            Kind::Goodbye => {
                let fields = Fields {
                    payload: &body,
                    kind: "goodbye",
                };
                Ok(Some(Incoming::Goodbye(GoodbyeReason::from_code(
                    fields.short(0)?,
                ))))
            }
        }
    }

    fn greeted(&mut self, now: Time, theirs: Greeting) -> Result<Incoming, BreakReason> {
        let Ours::Default(ours) = &self.ours else {
            return Err(LinkError::DemoLinkPeer.into()); // not reached
        };
        let agreed = greeting::agree(ours, &theirs);
        let milliseconds = u64::from(theirs.keepalive_ms);
        let interval = Duration::from_millis(milliseconds).min(KEEPALIVE_LONGEST);
        let dead_after = self.limits.times.dead_peer_time.max(interval * 3);
        let (session, max_message) = (theirs.session, theirs.max_message);
        // Known even if the peer is refused: the goodbye that says so carries its session.
        let version = *agreed.as_ref().unwrap_or(&0);
        self.peer = Some(Peer {
            session,
            max_message,
            version,
            dead_after,
        });
        agreed?;
        self.ledger.begin(now);
        self.keepalive_at = now + self.limits.times.keepalive_interval;
        Ok(Incoming::Greeting(theirs))
    }

    fn demo_frame(&mut self, body: Bytes) -> Incoming {
        if self.peer.is_some() {
            return Incoming::Message(body);
        }
        let dead_after = self.limits.times.dead_peer_time;
        self.peer = Some(Peer {
            session: 0,
            max_message: u32::MAX,
            version: 0,
            dead_after,
        });
        self.welcome_received = true;
        Incoming::DemoGreeting(demo::greeted_host(&body))
    }

    // ---- bytes out ----

    fn account(&mut self, now: Time, frame: &Frame) {
        self.ledger.add(now, frame.len());
        self.frames_sent += 1;
    }

    fn control(&mut self, now: Time, kind: Kind, body: Bytes) -> Option<Frame> {
        let peer = self.peer.filter(|_| !self.is_demo())?;
        let frame = Frame::build(kind, peer.session, self.frames_sent, body, false);
        self.account(now, &frame);
        Some(frame)
    }

    /// Says that the kernel here is ready for this peer. On the demo link nothing is sent.
    pub(crate) fn welcome(&mut self, now: Time, welcome: Welcome) -> Option<Frame> {
        self.welcome_sent = true;
        self.control(now, Kind::Welcome, welcome.encode())
    }

    /// The version to welcome with.
    pub(crate) fn welcome_version(&self) -> u16 {
        self.peer.map_or(0, |peer| peer.version)
    }

    /// The last frame. `None` on the demo link, and before the peer's greeting told its session.
    pub(crate) fn goodbye(&mut self, now: Time, reason: GoodbyeReason) -> Option<Frame> {
        let body = Bytes::copy_from_slice(&reason.code().to_be_bytes());
        self.control(now, Kind::Goodbye, body)
    }

    /// One message. `None` if it would pass the bound on what waits to be sent.
    pub(crate) fn message(&mut self, now: Time, message: Bytes) -> Option<Frame> {
        let frame = if self.is_demo() {
            Frame::demo(message)
        } else {
            let session = self.peer.map_or(0, |peer| peer.session);
            Frame::build(Kind::Message, session, self.frames_sent, message, false)
        };
        let waiting = self.ledger.unsent().saturating_add(frame.len());
        if waiting > self.limits.send_queue_bytes {
            return None;
        }
        self.account(now, &frame);
        self.ledger.add_message();
        Some(frame)
    }

    /// The transport took bytes. An error says how many were waiting.
    pub(crate) fn sent(&mut self, now: Time, bytes: usize) -> Result<(), usize> {
        self.ledger.take(now, bytes)?;
        if self.is_demo() {
            self.ledger.confirm_taken(now);
        }
        Ok(())
    }

    // ---- time ----

    /// When each clock of the connection runs out.
    fn deadlines(&self) -> Deadlines {
        let mut due = Deadlines::default();
        if let Some(since) = self.ledger.stalled_since() {
            due.stalled = since + self.limits.times.dead_peer_time;
        }
        let Some(peer) = self.peer else {
            due.greeting = self.greeting_due;
            return due;
        };
        if !self.is_demo() {
            due.silent = self.heard_at + peer.dead_after;
            if let Some(since) = self.ledger.unconfirmed_since() {
                due.unheard = since + peer.dead_after;
            }
            due.keepalive = self.keepalive_at;
        }
        due
    }

    /// When [`timer`](Connection::timer) is due.
    pub(crate) fn next_timer(&self) -> Time {
        let due = self.deadlines();
        due.greeting
            .min(due.silent)
            .min(due.unheard)
            .min(due.stalled)
            .min(due.keepalive)
    }

    /// Does what is due: a keepalive to send, or the end of the connection.
    pub(crate) fn timer(&mut self, now: Time) -> Result<Option<Frame>, BreakReason> {
        let due = self.deadlines();
        let times = self.limits.times;
        let dead_after = self
            .peer
            .map_or(times.dead_peer_time, |peer| peer.dead_after);
        let passed = |at: Time| at <= now && at != Time::MAX;
        if passed(due.greeting) {
            return Err(BreakReason::GreetingTimeout(times.greeting_timeout));
        }
        if passed(due.silent) {
            return Err(BreakReason::DeadPeer(dead_after));
        }
        if passed(due.stalled) {
            return Err(BreakReason::SendStalled(times.dead_peer_time));
        }
        if passed(due.unheard) {
            return Err(BreakReason::NotConfirmed(dead_after));
        }
        if !passed(due.keepalive) {
            return Ok(None);
        }
        self.keepalive_at = now + times.keepalive_interval;
        let body = Bytes::copy_from_slice(&self.bytes_received.to_be_bytes());
        Ok(self.control(now, Kind::Keepalive, body))
    }
}

/// [`Time::MAX`] for a clock that does not run.
#[derive(Clone, Copy, Debug)]
struct Deadlines {
    greeting: Time,
    silent: Time,
    unheard: Time,
    stalled: Time,
    keepalive: Time,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        let never = Time::MAX;
        Deadlines {
            greeting: never,
            silent: never,
            unheard: never,
            stalled: never,
            keepalive: never,
        }
    }
}

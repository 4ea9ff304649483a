// SPDX-License-Identifier: MPL-2.0
//! The line of each event: what happened, to whom, and what to do where a person has to.

use std::fmt;

use super::event::{CloseReason, DoorCall, Event};
use super::io::UpcallRefusal;
use crate::link::error::Seconds;

impl fmt::Display for DoorCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DoorCall::Open => "opening the proxy door",
            DoorCall::Close => "closing the proxy door handle",
            DoorCall::SetAlua => "enabling ALUA",
        })
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::PeerRebooted { old, new } => write!(
                f,
                "peer rebooted (boot {old} -> {new}): closing the proxy door handle and opening it again"
            ),
            CloseReason::PeerUnknown => f.write_str(
                "the peer may have rebooted (the demo link does not tell): closing the proxy door \
                 handle and opening it again",
            ),
            CloseReason::NoLink(after) => write!(
                f,
                "no link for {}: closing the proxy door handle until the peer is back",
                Seconds(*after)
            ),
            CloseReason::PeerNotReady(after) => write!(
                f,
                "the peer has not been ready for {}: closing the proxy door handle until it is",
                Seconds(*after)
            ),
            CloseReason::Stopping => f.write_str("stopping: closing the proxy door handle"),
        }
    }
}

/// `1 post`, `2 posts`.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}{}",
            self.0,
            self.1,
            if self.0 == 1 { "" } else { "s" }
        )
    }
}

fn posts(count: usize) -> Count {
    Count(count as u64, "post")
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started { node, role, link } => {
                write!(f, "relay of {node} starts, {role}, on the {link} link")
            }
            Event::DoorOpened { boot, handle } => {
                write!(f, "proxy door open (handle {handle}, boot {boot})")
            }
            Event::DoorNotOpened { failure, retry_in } => {
                write!(f, "proxy door not opened: {failure}")?;
                match retry_in {
                    Some(delay) => write!(f, "; next attempt in {}", Seconds(*delay)),
                    None => Ok(()),
                }
            }
            Event::DoorClosing {
                reason,
                posts_in_flight: 0,
            } => write!(f, "{reason}"),
            Event::DoorClosing {
                reason,
                posts_in_flight,
            } => {
                write!(
                    f,
                    "{reason}, once {} in progress finished",
                    posts(*posts_in_flight)
                )
            }
            Event::DoorClosed => f.write_str("proxy door handle closed"),
            Event::DoorUnreferenced => f.write_str("the kernel let go of the door"),
            Event::DoorRevoked => f.write_str("door revoked"),
            Event::Connecting { attempt } => {
                write!(f, "connecting to the peer (attempt {attempt})")
            }
            Event::NotConnected { failure, retry_in } => {
                write!(
                    f,
                    "not connected: {failure}; next attempt in {}",
                    Seconds(*retry_in)
                )
            }
            Event::Listening => f.write_str("listening for the peer"),
            Event::NotListening { errno, retry_in } => {
                write!(
                    f,
                    "not listening: errno {errno}; next attempt in {}",
                    Seconds(*retry_in)
                )
            }
            Event::Connected {
                connection,
                address: Some(address),
            } => {
                write!(f, "{connection} stands ({address}), greeting the peer")
            }
            Event::Connected {
                connection,
                address: None,
            } => {
                write!(f, "{connection} stands, greeting the peer")
            }
            Event::HandshakeFailed { connection, reason } => {
                write!(f, "{connection} given up before a link stood: {reason}")
            }
            Event::PeerGreeted {
                connection,
                host,
                node,
                boot,
            } => {
                write!(
                    f,
                    "{connection}: greeting from host \"{}\"",
                    host.escape_default()
                )?;
                if let Some(node) = node {
                    write!(f, ", {node}")?;
                }
                match boot {
                    Some(boot) => write!(f, ", boot {boot}"),
                    None => Ok(()),
                }
            }
            Event::PeerRelayRestarted { old, new } => write!(
                f,
                "the peer opened its proxy door anew (handle {old} -> {new}), same boot: what this \
                 node had registered there is gone and is registered again"
            ),
            Event::LinkUp {
                connection,
                host,
                peer,
                version,
            } => {
                write!(
                    f,
                    "link up on {connection} to {peer} (host \"{}\"",
                    host.escape_default()
                )?;
                match version {
                    Some(version) => write!(f, ", version {version})"),
                    None => f.write_str(", demo link)"),
                }
            }
            Event::LinkDown {
                connection,
                reason,
                unconfirmed,
                discarded,
                lasted,
            } => {
                write!(
                    f,
                    "link down on {connection} after {}: {reason}",
                    Seconds(*lasted)
                )?;
                if *unconfirmed > 0 {
                    write!(f, "; up to {} of ours lost", Count(*unconfirmed, "message"))?;
                }
                if *discarded > 0 {
                    write!(
                        f,
                        "; {} of the peer discarded unposted",
                        Count(*discarded, "message")
                    )?;
                }
                Ok(())
            }
            Event::Reconnecting { retry_in } => {
                write!(f, "connecting again in {}", Seconds(*retry_in))
            }
            Event::AluaSetting { node } => write!(f, "enabling ALUA as {node}"),
            Event::AluaSet { node } => write!(f, "ALUA enabled as {node}, posting begins"),
            Event::AluaNotSet { failure } => {
                write!(f, "ALUA not enabled: {failure}; nothing is posted")
            }
            Event::UpcallsRefused { refusal } => {
                let errno = refusal.errno();
                let why = match refusal {
                    UpcallRefusal::LinkDown => "no link stands",
                    UpcallRefusal::SendQueueFull => "the send queue is full",
                    UpcallRefusal::TooLong => "the message is too long",
                    UpcallRefusal::Empty => "the message is empty",
                    UpcallRefusal::Stopping => "the relay is stopping",
                };
                write!(
                    f,
                    "a message of the kernel is refused and lost, and so are those that follow \
                     ({why}, errno {errno})"
                )
            }
            Event::UpcallsRefusedWhileDown { count } => {
                write!(
                    f,
                    "{} of the kernel lost while no link stood",
                    Count(*count, "message")
                )
            }
            Event::UpcallTooLong { length, bound } => write!(
                f,
                "a message of {length} bytes is refused and lost: {bound} allowed, the smaller \
                 of max_message here and at the peer"
            ),
            Event::UpcallEmpty => f.write_str("an empty message of the kernel is refused"),
            Event::MessagesDiscarded { count } => {
                write!(
                    f,
                    "{} of the peer discarded unposted",
                    Count(*count, "message")
                )
            }
            Event::PostFailed { post, failure } => {
                write!(f, "{post} failed, its message is lost: {failure}")
            }
            Event::PostSlow { post, since } => {
                write!(f, "{post} has been in the kernel for {}", Seconds(*since))
            }
            Event::DoorSlow { call, since } => {
                write!(f, "{call} has taken {} so far", Seconds(*since))
            }
            Event::Stopping {
                cause,
                posts_in_flight,
            } => {
                write!(
                    f,
                    "stopping: {cause}; {} in progress",
                    posts(*posts_in_flight)
                )
            }
            Event::Stopped => f.write_str("relay stopped"),
            Event::Misuse(misuse) => write!(f, "mistake in the relay's driver: {misuse}"),
        }
    }
}

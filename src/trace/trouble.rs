// SPDX-License-Identifier: MPL-2.0
//! Which events tell of something that went wrong, and what the comment beside them says.

use super::event::{ConnectionEnd, Event};
use crate::status::Errno;
use std::fmt;

/// Something that went wrong, in words ([`Display`](fmt::Display)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble<'a>(Event<'a>);

impl<'a> Event<'a> {
    /// What went wrong, if the event tells of that. A status other than GOOD counts, though
    /// initiators meet some of them in normal service.
    pub fn trouble(&self) -> Option<Trouble<'a>> {
        let wrong = match *self {
            Event::UpcallDone { outcome, .. } => outcome != Ok(0),
            Event::PostDone { outcome, .. }
            | Event::CallDone { outcome, .. }
            | Event::AluaState { outcome, .. }
            | Event::LuOperation { outcome, .. } => outcome.is_err(),
            Event::CommandDone { status, .. } | Event::ManagementDone { status, .. } => status != 0,
            Event::SessionOpened { session, .. } => session == 0,
            Event::Panic { .. }
            | Event::Disconnected { .. }
            | Event::Aborted { .. }
            | Event::TimedOut { .. }
            | Event::Fault(_)
            | Event::Lost { .. }
            | Event::PowerOff => true,
            _ => false,
        };
        wrong.then_some(Trouble(*self))
    }
}

impl fmt::Display for Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = Errno::from_number;
        match self.0 {
            Event::UpcallDone {
                outcome: Ok(result),
                ..
            } => write!(
                f,
                "the relay answered {}: the kernel has lost the message",
                match i32::try_from(result) {
                    Ok(number) => errno(number).to_string(),
                    Err(_) => result.to_string(),
                }
            ),
            Event::UpcallDone {
                outcome: Err(number),
                ..
            } => write!(f, "the door call failed: {}", errno(number)),
            Event::PostDone {
                outcome: Err(number),
                ..
            } => write!(f, "the kernel refused the message: {}", errno(number)),
            Event::CallDone {
                step,
                outcome: Err(number),
                ..
            } => write!(f, "{step:?} failed: {}", errno(number)),
            Event::AluaState {
                outcome: Err(number),
                ..
            } => write!(f, "the ALUA state was not set: {}", errno(number)),
            Event::LuOperation {
                operation,
                outcome: Err(number),
                ..
            } => write!(f, "{operation:?} of the LU failed: {}", errno(number)),
            Event::CommandDone { status, .. } => write!(f, "ended with SCSI status {status:#04x}"),
            Event::ManagementDone { status, .. } => write!(f, "ended with status {status:#04x}"),
            Event::SessionOpened { .. } => f.write_str("the session was refused"),
            Event::Panic { trap: 0, reason } => write!(f, "kernel panic: {reason}"),
            Event::Panic { trap, reason } => write!(f, "kernel panic, trap {trap}: {reason}"),
            Event::Disconnected { end, .. } => f.write_str(match end {
                ConnectionEnd::Closed => "the connection was closed by the peer",
                ConnectionEnd::Reset => "the connection was reset",
                ConnectionEnd::Refused => "the connection was refused",
                ConnectionEnd::NoAnswer => "the peer did not answer",
            }),
            Event::Aborted { .. } => f.write_str("given up by the target without a status"),
            Event::TimedOut { .. } => f.write_str("given up by the initiator after its time-out"),
            Event::Fault(text) => write!(f, "injected fault: {text}"),
            Event::Lost { events } => write!(f, "{events} events are not in this trace"),
            Event::PowerOff => f.write_str("the node lost its power"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_in_words() {
        let told = |event: Event<'_>| event.trouble().map(|trouble| trouble.to_string());
        let upcall = |outcome| Event::UpcallDone { call: 1, outcome };
        assert_eq!(told(upcall(Ok(0))), None);
        assert_eq!(
            told(upcall(Ok(134))).as_deref(),
            Some("the relay answered ENOTCONN (134): the kernel has lost the message")
        );
        assert_eq!(
            told(upcall(Err(7))).as_deref(),
            Some("the door call failed: E2BIG (7)")
        );
        assert_eq!(
            told(Event::Panic {
                trap: 4,
                reason: "no rport"
            })
            .as_deref(),
            Some("kernel panic, trap 4: no rport")
        );
        assert_eq!(told(Event::RelayStarted), None);
    }
}

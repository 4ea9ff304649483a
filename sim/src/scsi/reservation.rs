// SPDX-License-Identifier: MPL-2.0
//! Persistent reservations on the wire: types, service actions, the parameter list of PERSISTENT
//! RESERVE OUT and the answers of PERSISTENT RESERVE IN (SPC-4, 6.15 and 6.16).

use super::be;
use std::fmt;

/// Service action READ KEYS of PERSISTENT RESERVE IN.
pub const READ_KEYS: u8 = 0;
/// Service action READ RESERVATION.
pub const READ_RESERVATION: u8 = 1;
/// Service action REPORT CAPABILITIES.
pub const REPORT_CAPABILITIES: u8 = 2;
/// Service action READ FULL STATUS.
pub const READ_FULL_STATUS: u8 = 3;

/// Service actions of PERSISTENT RESERVE OUT that are served.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum OutAction {
    /// Register, change or remove one's key.
    Register = 0,
    /// Make the reservation.
    Reserve = 1,
    /// Give it up.
    Release = 2,
    /// Remove the reservation and every registration.
    Clear = 3,
    /// Remove other registrations, and take the reservation over.
    Preempt = 4,
    /// The same, and abort the commands of those that were removed.
    PreemptAndAbort = 5,
    /// As REGISTER, whatever key one has.
    RegisterAndIgnore = 6,
}

impl OutAction {
    /// All seven, those first that need least: strategies shrink towards them.
    pub const ALL: [OutAction; 7] = [
        OutAction::RegisterAndIgnore,
        OutAction::Register,
        OutAction::Reserve,
        OutAction::Release,
        OutAction::Clear,
        OutAction::Preempt,
        OutAction::PreemptAndAbort,
    ];

    /// From the number in a CDB; `None` for those that are not served.
    pub fn from_byte(byte: u8) -> Option<OutAction> {
        OutAction::ALL
            .into_iter()
            .find(|action| *action as u8 == byte)
    }

    /// Whether scope and type of the CDB mean something.
    pub fn has_type(self) -> bool {
        use OutAction::*;
        matches!(self, Reserve | Release | Preempt | PreemptAndAbort)
    }
}

/// The types of persistent reservations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ReservationType {
    /// Only the holder may write.
    WriteExclusive = 1,
    /// Only the holder may read or write.
    ExclusiveAccess = 3,
    /// Only registered nexuses may write.
    WriteExclusiveRegistrantsOnly = 5,
    /// Only registered nexuses may read or write.
    ExclusiveAccessRegistrantsOnly = 6,
    /// Only registered nexuses may write, and each of them is a holder.
    WriteExclusiveAllRegistrants = 7,
    /// Only registered nexuses may read or write, and each of them is a holder.
    ExclusiveAccessAllRegistrants = 8,
}

impl ReservationType {
    /// All six.
    pub const ALL: [ReservationType; 6] = [
        ReservationType::WriteExclusive,
        ReservationType::ExclusiveAccess,
        ReservationType::WriteExclusiveRegistrantsOnly,
        ReservationType::ExclusiveAccessRegistrantsOnly,
        ReservationType::WriteExclusiveAllRegistrants,
        ReservationType::ExclusiveAccessAllRegistrants,
    ];

    /// From the number on the wire.
    pub fn from_byte(byte: u8) -> Option<ReservationType> {
        ReservationType::ALL
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    /// Whether every registered nexus is a holder.
    pub fn all_registrants(self) -> bool {
        self as u8 >= 7
    }

    /// Whether every registered nexus has the holder's access.
    pub fn shared_by_registrants(self) -> bool {
        self as u8 >= 5
    }

    /// Whether those without access may not even read.
    pub fn excludes_reads(self) -> bool {
        use ReservationType::*;
        matches!(
            self,
            ExclusiveAccess | ExclusiveAccessRegistrantsOnly | ExclusiveAccessAllRegistrants
        )
    }
}

impl fmt::Display for ReservationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ReservationType::WriteExclusive => "write exclusive",
            ReservationType::ExclusiveAccess => "exclusive access",
            ReservationType::WriteExclusiveRegistrantsOnly => "write exclusive, registrants only",
            ReservationType::ExclusiveAccessRegistrantsOnly => "exclusive access, registrants only",
            ReservationType::WriteExclusiveAllRegistrants => "write exclusive, all registrants",
            ReservationType::ExclusiveAccessAllRegistrants => "exclusive access, all registrants",
        })
    }
}

/// Length in bytes of the parameter list of PERSISTENT RESERVE OUT.
pub const PARAMETER_LIST_LENGTH: usize = 24;

/// The parameter list of PERSISTENT RESERVE OUT: one's key, the key of the service action, and
/// whether the registrations are to outlive a loss of power (APTPL).
pub fn parameter_list(key: u64, action_key: u64, aptpl: bool) -> [u8; PARAMETER_LIST_LENGTH] {
    let mut list = [0; PARAMETER_LIST_LENGTH];
    list[..8].copy_from_slice(&key.to_be_bytes());
    list[8..16].copy_from_slice(&action_key.to_be_bytes());
    list[20] = u8::from(aptpl);
    list
}

/// The answer to READ KEYS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    /// PRGENERATION: counts the changes of registrations.
    pub generation: u32,
    /// The key of every registered nexus.
    pub keys: Vec<u64>,
}

impl Keys {
    /// Reads as many keys as are there; `None` if even the header is short.
    pub fn parse(data: &[u8]) -> Option<Keys> {
        let length = be(data.get(..8)?, 4, 4) as usize;
        let list = &data[8..data.len().min(8usize.saturating_add(length))];
        Some(Keys {
            generation: be(data, 0, 4) as u32,
            keys: list.chunks_exact(8).map(|key| be(key, 0, 8)).collect(),
        })
    }
}

/// The answer to READ RESERVATION.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// PRGENERATION.
    pub generation: u32,
    /// The reservation: the holder's key (0 if all registrants hold it) and its type.
    pub reservation: Option<(u64, ReservationType)>,
}

impl Held {
    /// `None` if data are missing or the type is not one of the six.
    pub fn parse(data: &[u8]) -> Option<Held> {
        let generation = be(data.get(..8)?, 0, 4) as u32;
        let reservation = match be(data, 4, 4) {
            0 => None,
            _ => {
                let held = data.get(8..24)?;
                Some((be(held, 0, 8), ReservationType::from_byte(held[13] & 0xf)?))
            }
        };
        Some(Held {
            generation,
            reservation,
        })
    }
}

/// One registered nexus, as READ FULL STATUS tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FullStatus {
    /// Its key.
    pub key: u64,
    /// The type of the reservation, if the nexus holds it.
    pub holds: Option<ReservationType>,
    /// Relative port identifier of the target port.
    pub relative_port_id: u16,
    /// TransportID of the initiator port.
    pub initiator: Vec<u8>,
}

impl FullStatus {
    /// Reads the answer to READ FULL STATUS, after its header, as far as it is complete; `None`
    /// if even the header is short.
    pub fn parse_list(data: &[u8]) -> Option<Vec<FullStatus>> {
        let length = be(data.get(..8)?, 4, 4) as usize;
        let mut rest = &data[8..data.len().min(8usize.saturating_add(length))];
        let mut all = Vec::new();
        while rest.len() >= 24 {
            let (head, tail) = rest.split_at(24);
            let Some(initiator) = tail.get(..be(head, 20, 4) as usize) else {
                break;
            };
            all.push(FullStatus {
                key: be(head, 0, 8),
                holds: (head[12] & 1 != 0)
                    .then(|| ReservationType::from_byte(head[13] & 0xf))
                    .flatten(),
                relative_port_id: be(head, 18, 2) as u16,
                initiator: initiator.to_vec(),
            });
            rest = &tail[initiator.len()..];
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_parameter_list_is_laid_out_as_specified() {
        let list = parameter_list(0x0102_0304_0506_0708, 9, true);
        assert_eq!(list[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(list[8..], [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn types_know_what_they_are() {
        use ReservationType::*;
        assert_eq!(ReservationType::from_byte(2), None);
        for kind in ReservationType::ALL {
            assert_eq!(ReservationType::from_byte(kind as u8), Some(kind));
            assert_eq!(
                kind.excludes_reads(),
                kind.to_string().starts_with("exclusive")
            );
            assert_eq!(
                kind.all_registrants(),
                kind.to_string().ends_with("all registrants")
            );
        }
        assert!(!ExclusiveAccess.shared_by_registrants());
        assert!(WriteExclusiveRegistrantsOnly.shared_by_registrants());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(data in prop::collection::vec(any::<u8>(), 0..96)) {
            let _ = Keys::parse(&data);
            let _ = Held::parse(&data);
            let _ = FullStatus::parse_list(&data);
        }
    }
}

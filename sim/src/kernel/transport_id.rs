// SPDX-License-Identifier: MPL-2.0
//! TransportIDs (SPC-4, 7.6.4): which of them a session can have, and which name the same
//! initiator port.

/// The smallest TransportID of the kinds that have a fixed or a least size, in bytes.
pub const TRANSPORT_ID_MIN: usize = 24;

/// Bytes before the part that depends on the protocol.
const HEADER: usize = 4;

mod protocol {
    pub(super) const FIBRE_CHANNEL: u8 = 0;
    pub(super) const SRP: u8 = 4;
    pub(super) const ISCSI: u8 = 5;
}

/// What separates the name from the session id in an iSCSI TransportID of format 1.
const ISID_SEPARATOR: &[u8] = b",i,0x";

fn protocol_of(id: &[u8]) -> u8 {
    id[0] & 0x0f
}

fn format_of(id: &[u8]) -> u8 {
    id[0] >> 6
}

/// Whether a session can have this TransportID.
pub fn is_valid(id: &[u8]) -> bool {
    if id.len() < HEADER {
        return false;
    }
    let additional = usize::from(u16::from_be_bytes([id[2], id[3]]));
    match protocol_of(id) {
        protocol::FIBRE_CHANNEL | protocol::SRP => {
            id.len() == TRANSPORT_ID_MIN && format_of(id) == 0
        }
        protocol::ISCSI => {
            let sized = additional >= TRANSPORT_ID_MIN - HEADER
                && additional.is_multiple_of(4)
                && id.len() == HEADER + additional;
            if !sized {
                return false;
            }
            let Some(end) = id[HEADER..].iter().position(|byte| *byte == 0) else {
                return false;
            };
            let name = &id[HEADER..HEADER + end];
            match format_of(id) {
                0 => true,
                1 => name
                    .windows(ISID_SEPARATOR.len())
                    .any(|part| part == ISID_SEPARATOR),
                _ => false,
            }
        }
        _ => id.len() == HEADER + additional,
    }
}

/// Whether two TransportIDs of sessions name the same initiator port: bytes that their protocol
/// reserves do not count, but their lengths do.
pub fn same_port(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() || one.len() < HEADER || one[0] != other[0] {
        return one == other;
    }
    let named = match protocol_of(one) {
        protocol::FIBRE_CHANNEL => 8..16,
        protocol::SRP => 8..24,
        _ => HEADER..one.len(),
    };
    one.get(named.clone()) == other.get(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iscsi(first: u8, name: &str, padded: usize) -> Vec<u8> {
        let mut id = vec![first, 0, 0, padded as u8];
        id.extend_from_slice(name.as_bytes());
        id.resize(HEADER + padded, 0);
        id
    }

    #[test]
    fn takes_what_protocols_allow() {
        assert!(is_valid(&[0; 24]));
        assert!(is_valid(&iscsi(5, "iqn.x:a", 20)));
        assert!(is_valid(&iscsi(0x45, "iqn.x:a,i,0x0123", 20)));
        // A protocol without rules of its own: the length has to fit.
        assert!(is_valid(&[6, 0, 0, 4, 0, 0x11, 0x22, 0x33]));
    }

    #[test]
    fn refuses_what_they_do_not() {
        for (why, id) in [
            ("empty", vec![]),
            ("shorter than the header", vec![5, 0]),
            ("length beyond the end", vec![5, 0, 0, 20]),
            ("no length", iscsi(5, "", 0)),
            ("below the least length", iscsi(5, "iqn", 16)),
            ("length not a multiple of 4", iscsi(5, "iqn.x", 21)),
            ("no NUL", iscsi(5, "aaaaaaaaaaaaaaaaaaaa", 20)),
            ("no session id", iscsi(0x45, "iqn.x:a", 20)),
            ("unknown format", iscsi(0x85, "iqn.x:a,i,0x01", 20)),
            ("fibre channel of another length", vec![0; 25]),
            ("fibre channel of another format", {
                let mut id = vec![0; 24];
                id[0] = 0x40;
                id
            }),
            ("trailing byte", vec![6, 0, 0, 1, 0, 0]),
        ] {
            assert!(!is_valid(&id), "{why}: {id:02x?}");
        }
    }

    #[test]
    fn reserved_bytes_do_not_tell_ports_apart_but_lengths_do() {
        let mut one = [0; 24];
        one[8..16].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let mut other = one;
        other[1] = 0xff;
        other[5] = 7;
        other[20] = 9;
        assert!(same_port(&one, &other));
        other[8] = 9;
        assert!(!same_port(&one, &other));

        let name = iscsi(5, "iqn.x:a", 20);
        let mut reserved = name.clone();
        reserved[1] = 1;
        assert!(same_port(&name, &reserved));
        assert!(!same_port(&name, &iscsi(5, "iqn.x:a", 24)));
        assert!(!same_port(&name, &iscsi(5, "iqn.x:b", 20)));
    }
}

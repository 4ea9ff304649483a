// SPDX-License-Identifier: MPL-2.0
//! TransportIDs of iSCSI initiators (SPC-4, 7.6.4.6): how READ FULL STATUS, and COMSTAR's remote
//! ports, name an initiator.

use super::be;

/// PROTOCOL IDENTIFIER of iSCSI.
const ISCSI: u8 = 5;

/// The TransportID of an iSCSI initiator by its name: four bytes, then the name with at least one
/// NUL, padded to a multiple of four and at least 20 bytes. `None` if the name is longer than the
/// 223 bytes that RFC 7143 allows.
pub fn iscsi(name: &str) -> Option<Vec<u8>> {
    if name.len() > 223 {
        return None;
    }
    let padded = (name.len() + 1).next_multiple_of(4).max(20);
    let mut bytes = vec![ISCSI, 0, 0, padded as u8];
    bytes.extend(name.bytes());
    bytes.resize(4 + padded, 0);
    Some(bytes)
}

/// The name in such a TransportID; `None` if it is of another kind, cut off, or not text.
pub fn iscsi_name(transport_id: &[u8]) -> Option<&str> {
    let length = be(transport_id.get(..4)?, 2, 2) as usize;
    let name = transport_id.get(4..4 + length)?;
    let end = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    (transport_id[0] == ISCSI)
        .then(|| std::str::from_utf8(&name[..end]).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_up_to_their_bound() {
        let id = iscsi("iqn.1993-08.org.debian:01:i2").unwrap();
        assert_eq!((id.len(), &id[..4]), (36, &[5, 0, 0, 32][..]));
        let recorded = b"\x05\0\0\x14iqn.y:i1\0\0\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(iscsi("iqn.y:i1").unwrap(), recorded);
        for length in [0, 1, 3, 4, 223] {
            let name = "n".repeat(length);
            let id = iscsi(&name).unwrap();
            assert_eq!(id.len() % 4, 0);
            assert_eq!(id.last(), Some(&0));
            assert_eq!(iscsi_name(&id), Some(&name[..]));
            assert_eq!(iscsi_name(&id[..id.len() - 1]), None);
        }
        assert_eq!(iscsi(&"n".repeat(224)), None);
        assert_eq!(iscsi_name(&[0; 24]), None, "Fibre Channel");
        assert_eq!(iscsi_name(&[5, 0]), None);
        assert_eq!(iscsi_name(&[5, 0, 0, 1, 0xff]), None);
    }
}

// SPDX-License-Identifier: MPL-2.0
//! Where the data of a message lies: what belongs to the customers of a storage node, and not to
//! the exchange of two kernels. A recorder that must not keep it asks here.

use super::fields::*;
use crate::nvlist::{Limits, List, PACKED_LIMIT, Value};
use std::ops::Range;

/// A part of a message that is data, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRange {
    /// Its bytes in the message. Not empty.
    pub range: Range<usize>,
    /// Whether they are the words of a byte array, each of which stands for one byte of data.
    pub words: bool,
}

/// The names of all fields that are not data.
const HEADER_FIELDS: [&str; 46] = [
    MSG_TYPE.name,
    MSGID.name,
    ICRP_PORT_ID.name,
    ICRP_RELATIVE_PORT_ID.name,
    ICRP_CB_ARG_LEN.name,
    ICRP_CB_ARG.name,
    ICDP_PORT_ID.name,
    ICDP_CB_ARG_LEN.name,
    ICDP_CB_ARG.name,
    ICRL_LUN_ID.name,
    ICRL_LU_PROVIDER_NAME.name,
    ICRL_CB_ARG_LEN.name,
    ICRL_CB_ARG.name,
    ICSC_TASK_MSGID.name,
    ICSC_INI_DEVID.name,
    ICSC_TGT_DEVID.name,
    ICSC_RPORT.name,
    ICSC_LUN_ID.name,
    ICSC_SESSION_ID.name,
    ICSC_TASK_LUN_NO.name,
    ICSC_TASK_EXPECTED_XFER_LENGTH.name,
    ICSC_TASK_CDB_LENGTH.name,
    ICSC_TASK_CDB.name,
    ICSC_TASK_FLAGS.name,
    ICSC_TASK_PRIORITY.name,
    ICSC_TASK_MGMT_FUNCTION.name,
    ICSC_IMMED_DATA_LEN.name,
    ICSD_TASK_MSGID.name,
    ICSD_SESSION_ID.name,
    ICSD_LUN_ID.name,
    ICSD_DATA_LEN.name,
    ICSX_TASK_MSGID.name,
    ICSX_SESSION_ID.name,
    ICSX_STATUS.name,
    ICSS_TASK_MSGID.name,
    ICSS_SESSION_ID.name,
    ICSS_LUN_ID.name,
    ICSS_RESPONSE.name,
    ICSS_STATUS.name,
    ICSS_FLAGS.name,
    ICSS_RESID.name,
    ICSS_SENSE_LEN.name,
    ICSS_SENSE.name,
    ICRT_TASK_MSGID.name,
    ICRT_SESSION_ID.name,
    ICRT_OFFSET.name,
];

/// More of them.
const MORE_HEADER_FIELDS: [&str; 9] = [
    ICRT_LENGTH.name,
    ICS_MSG_TYPE.name,
    ICS_MSGID.name,
    ICS_STATUS.name,
    ICSCD_INI_DEVID.name,
    ICSCD_TGT_DEVID.name,
    ICSCD_RPORT.name,
    ICSCD_SESSION_ID.name,
    ICERR_DATALEN.name,
];

/// Bytes that may follow a list without being taken for data: a kernel sends four for each
/// empty array in it.
const HARMLESS_TAIL: usize = 64;

/// The data of a message; `None` if it has none.
///
/// Whatever is not known to be something else counts as data: fields with names that no message
/// has, and of a damaged message everything from the damage on.
pub fn data_range(message: &[u8]) -> Option<DataRange> {
    let limits = Limits {
        max_size: PACKED_LIMIT,
        ..Limits::DEFAULT
    };
    let rest = |start: usize| {
        let range = start..message.len();
        (!range.is_empty()).then_some(DataRange {
            range,
            words: false,
        })
    };
    let unpacked = List::unpack(message, &limits);
    let Some(list) = List::open(message) else {
        return rest(0);
    };
    let mut pairs = list.pairs();
    let first = pairs.find(|pair| {
        !HEADER_FIELDS
            .iter()
            .chain(&MORE_HEADER_FIELDS)
            .any(|name| name.as_bytes() == pair.name)
    });
    if let Err(damage) = unpacked {
        let data = first.map_or(damage.offset, |pair| pair.value_offset);
        return rest(data.min(damage.offset));
    }
    let mut last = true;
    if first.is_some() {
        while pairs.next().is_some() {
            last = false;
        }
    }
    let tail = message.len().saturating_sub(pairs.offset()) > HARMLESS_TAIL;
    match first {
        None if tail => rest(pairs.offset()),
        None => None,
        Some(pair) => match pair.value {
            Value::Uint8Array(bytes) if last && !tail && !bytes.is_empty() => {
                let start = pair.value_offset + 4;
                Some(DataRange {
                    range: start..start + bytes.words().len(),
                    words: true,
                })
            }
            _ => rest(pair.value_offset),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Body, Dialect, EchoRequest, LunMessage, Message, ScsiData};
    use super::*;

    fn encoded(body: Body) -> Vec<u8> {
        let message = Message { msgid: 9, body };
        message.encode(Dialect::Current).unwrap()
    }

    fn with_data(data: &[u8]) -> Vec<u8> {
        encoded(Body::ScsiData(ScsiData {
            task_msgid: 1,
            session_id: 2,
            lun_id: [3; 16],
            data: data.to_vec(),
        }))
    }

    #[test]
    fn data_is_found_and_nothing_else() {
        let message = with_data(&[0xA1, 0xA2, 0xA3]);
        let found = data_range(&message).unwrap();
        assert!(found.words);
        let words = [0xFF, 0xFF, 0xFF, 0xA1, 0xFF, 0xFF, 0xFF, 0xA2];
        assert_eq!(message[found.range.clone()][..8], words);
        assert_eq!(found.range.len(), 12);
        assert_eq!(message.len(), found.range.end + 8);

        let echo = encoded(Body::EchoRequest(EchoRequest { data: vec![1; 5] }));
        assert_eq!(data_range(&echo).unwrap().range.len(), 20);
        let empty = encoded(Body::EchoRequest(EchoRequest { data: vec![] }));
        assert_eq!(data_range(&empty), None);
        let lun = encoded(Body::RegisterLun(LunMessage {
            lun_id: [1; 16],
            lu_provider_name: b"sbd".to_vec(),
            cb_arg: vec![1; 9],
        }));
        assert_eq!(data_range(&lun), None);
    }

    /// A message may be longer than what a decoder takes by default; it is no damage.
    #[test]
    fn data_of_a_very_long_message_is_found() {
        let data = vec![0xA5; Limits::DEFAULT_MAX_SIZE / 4];
        let message = with_data(&data);
        assert!(message.len() > Limits::DEFAULT_MAX_SIZE);
        let found = data_range(&message).unwrap();
        assert!(found.words);
        assert_eq!(found.range.len(), 4 * data.len());
    }

    /// Whatever single byte is damaged, no more than the damaged byte of the data shows.
    #[test]
    fn damage_does_not_uncover_data() {
        let message = with_data(&[0xA5; 8]);
        let place = data_range(&message).unwrap().range;
        for at in 0..message.len() {
            let mut damaged = message.clone();
            damaged[at] ^= 0x41;
            let found = data_range(&damaged).unwrap_or_else(|| panic!("byte {at}"));
            assert!(found.range.start <= place.start, "byte {at}: {found:?}");
            assert!(found.range.end >= place.end, "byte {at}: {found:?}");
        }
    }

    #[test]
    fn bytes_that_no_list_accounts_for_are_data() {
        let everything = DataRange {
            range: 0..4,
            words: false,
        };
        assert_eq!(data_range(&[]), None);
        assert_eq!(data_range(&[1, 1, 0, 0]), Some(everything));
        // The list ends early, before its data.
        let mut message = with_data(&[0xA5; 80]);
        let pair = 12;
        message[pair..pair + 8].fill(0);
        let found = data_range(&message).unwrap();
        assert_eq!(found.range, pair + 8..message.len());
        // What a kernel sends after empty arrays is not.
        let mut message = with_data(&[0xA5; 8]);
        let place = data_range(&message);
        message.extend([0; HARMLESS_TAIL]);
        assert_eq!(data_range(&message), place);
        message.push(0);
        assert!(!data_range(&message).unwrap().words);
        // Nor is it in a message that has no data.
        let mut empty = encoded(Body::EchoRequest(EchoRequest { data: vec![] }));
        empty.resize(empty.len() + HARMLESS_TAIL - 4, 0);
        assert_eq!(data_range(&empty), None);
        let end = empty.len();
        empty.push(0);
        empty.resize(end + 5, 0);
        assert!(data_range(&empty).is_some_and(|found| found.range.end == end + 5));
    }
}

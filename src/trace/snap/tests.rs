// SPDX-License-Identifier: MPL-2.0
use super::*;
use crate::message::{Body, Dialect, Message, ScsiData};
use crate::time::Time;
use crate::trace::{RecordBuf, arbitrary};
use proptest::prelude::*;

fn message(data: &[u8]) -> Vec<u8> {
    let message = Message {
        msgid: 0,
        body: Body::ScsiData(ScsiData {
            task_msgid: 1,
            session_id: 2,
            lun_id: [3; 16],
            data: data.to_vec(),
        }),
    };
    message.encode(Dialect::Current).unwrap()
}

fn post(message: &[u8]) -> Record<'_> {
    let post = 1;
    Record::new(1, Time::ZERO, Some(0), Event::Post { post, message })
}

/// What a reader gets of a record that was recorded with this setting.
fn through(record: &Record<'_>, snap: Snap) -> RecordBuf {
    let mut bytes = Vec::new();
    super::super::packet::pack(record, &Kept::of(record, snap), &mut bytes);
    RecordBuf::from_packet(record.time, bytes)
}

#[test]
fn a_cut_message_decodes_and_shows_all_but_the_data() {
    let data: Vec<u8> = (0..10).map(|byte| byte + 0xA0).collect();
    let whole = message(&data);
    for keep in [0, 3, 9] {
        let snap = Snap {
            keep: Some(keep),
            digest: true,
        };
        let cut = through(&post(&whole), snap);
        let cut = cut.get();
        let gap = cut.cut.unwrap();
        assert_eq!(gap.length, 4 * (10 - keep));
        assert!(gap.words);
        assert_eq!(gap.digest, Some(digest_of(&data[keep as usize..], false)));
        assert_eq!(cut.original_length(), whole.len());
        let filled = gap.fill(cut.event.bulk(), whole.len()).unwrap();
        let mut expected = data.clone();
        expected[keep as usize..].fill(0);
        assert_eq!(filled, message(&expected));
        assert_eq!(cut.message().unwrap(), filled);
    }
    let keep_all = Snap {
        keep: Some(10),
        digest: true,
    };
    assert_eq!(through(&post(&whole), keep_all).get(), post(&whole));
    let none = through(&post(&whole), Snap::NO_DATA);
    assert_eq!(none.get().cut.unwrap().digest, None);
}

#[test]
fn digests_are_those_of_sha_256() {
    // FIPS 180-4, "abc": ba7816bf 8f01cfea 414140de 5dae2223 ...
    let expected = 0xBA78_16BF_8F01_CFEA_4141_40DE_5DAE_2223_u128.to_be_bytes();
    assert_eq!(digest_of(b"abc", false), expected);
    let mut words = Vec::new();
    crate::nvlist::words::expand(b"abc", &mut words);
    assert_eq!(digest_of(&words, true), expected);
    let long: Vec<u8> = (0..3 * BLOCK + 5).map(|index| index as u8).collect();
    let mut words = Vec::new();
    crate::nvlist::words::expand(&long, &mut words);
    assert_eq!(digest_of(&words, true), digest_of(&long, false));
}

#[test]
fn what_is_too_long_keeps_its_front() {
    let text = Event::RelayLog("0123456789");
    let record = Record::new(1, Time::ZERO, None, text);
    assert_eq!(Kept::within(&record, Snap::ALL, 10).cut, None);
    let kept = Kept::within(&record, Snap::ALL, 4);
    assert_eq!((kept.before, kept.after), (&b"0123"[..], &b""[..]));
    assert_eq!(kept.cut.unwrap().length, 6);
    // What was cut before says in all what is missing.
    let cut = through(&post(&message(&[1; 50])), Snap::NO_DATA);
    let cut = cut.get();
    let shorter = Kept::within(&cut, Snap::ALL, 30);
    let missing = shorter.cut.unwrap();
    assert_eq!(shorter.length(), 30);
    assert_eq!(missing.offset, 30);
    assert_eq!(missing.length as usize + 30, cut.original_length());
}

proptest! {
    /// Data of 0xD5 is in no byte of what is recorded.
    #[test]
    fn no_data_is_recorded_where_none_may_be(
        length in 1..40usize,
        damage in proptest::option::of((any::<prop::sample::Index>(), 1..=255u8)),
        kind in 0..5u8,
    ) {
        let data = vec![0xD5; length];
        let mut bytes = message(&data);
        let mut allowed = 0;
        if let Some((at, change)) = damage {
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            allowed = usize::from(bytes[at] == 0xD5);
        }
        let (initiator, tag, session, lun) = (1, 2, 3, [0; 8]);
        let (cdb, sense) = (&[][..], &[][..]);
        let event = match kind {
            0 => Event::Post { post: 1, message: &bytes },
            1 => Event::Sent { connection: 1, bytes: &bytes },
            2 => Event::Received { connection: 1, bytes: &bytes },
            3 => Event::Command {
                initiator, tag, session, lun, flags: 0, expected: 0, cdb, data: &data,
            },
            _ => Event::CommandDone {
                initiator, tag, status: 0, residual_flags: 0, residual: 0, sense, data: &data,
            },
        };
        let record = Record::new(1, Time::ZERO, Some(0), event);
        let kept = Kept::of(&record, Snap::NO_DATA);
        let shown = kept.before.iter().chain(kept.after).filter(|byte| **byte == 0xD5).count();
        prop_assert!(shown <= allowed, "{shown} bytes of data are shown");
    }

    #[test]
    fn original_lengths_stay(record in arbitrary::record(), keep in 0..9u32, digest: bool) {
        let record = record.get();
        let snap = Snap { keep: Some(keep), digest };
        let cut = through(&record, snap);
        prop_assert_eq!(cut.get().original_length(), record.original_length());
        prop_assert_eq!(Record { cut: record.cut, event: record.event, ..cut.get() }, record);
    }
}

// SPDX-License-Identifier: MPL-2.0
//! The promise: decoding never takes more memory than the input deserves. What is allocated for a
//! message, all in all, is less than its bytes, however it is damaged; a list is read without
//! any.

use allocation_counter::measure;
use proptest::collection::vec;
use proptest::prelude::*;
use stmf_proxy::message::{
    Body, DeviceId, Dialect, LunMessage, Message, ScsiData, SessionMessage, peek,
};
use stmf_proxy::nvlist::{DataType, Limits, List};

fn message() -> impl Strategy<Value = Message> {
    let body = prop_oneof![
        vec(any::<u8>(), 1..5000).prop_map(|data| Body::ScsiData(ScsiData {
            task_msgid: 1,
            session_id: 2,
            lun_id: [3; 16],
            data,
        })),
        (vec(1..=255u8, 0..200), vec(any::<u8>(), 0..200)).prop_map(
            |(lu_provider_name, cb_arg)| {
                Body::RegisterLun(LunMessage {
                    lun_id: [3; 16],
                    lu_provider_name,
                    cb_arg,
                })
            }
        ),
        vec(any::<u8>(), 2..200).prop_map(|bytes| {
            let id = DeviceId {
                ident: bytes.clone(),
                ..DeviceId::default()
            };
            Body::SessionCreate(SessionMessage {
                ini_devid: id.clone(),
                tgt_devid: id,
                rport: Some(bytes),
                session_id: 1,
            })
        }),
    ];
    body.prop_map(|body| Message { msgid: 1, body })
}

proptest! {
    #[test]
    fn decoding_takes_no_more_than_the_input_deserves(
        message in message(),
        damage in vec((any::<usize>(), any::<[u8; 4]>()), 0..3),
    ) {
        let mut wire = message.encode(Dialect::Current).expect("it can be sent");
        for (place, word) in damage {
            // Whole words: most of them are sizes and counts.
            let place = (place % wire.len()) & !3;
            wire[place..place + 4].copy_from_slice(&word);
        }
        let allocated = measure(|| drop(Message::decode(&wire, Dialect::Current)));
        prop_assert!(allocated.bytes_total <= wire.len() as u64, "{allocated:?}");
        prop_assert!(allocated.count_total <= 4, "{allocated:?}");
        let allocated = measure(|| {
            std::hint::black_box(peek(&wire));
        });
        prop_assert_eq!(allocated.count_total, 0);
        let allocated = measure(|| {
            if let Ok(list) = List::unpack(&wire, &Limits::DEFAULT) {
                let _ = list.lookup(b"icm_msgid", DataType::Uint64);
                let _ = list.pairs().count();
            }
        });
        prop_assert_eq!(allocated.count_total, 0);
    }

    #[test]
    fn encoding_allocates_once(message in message()) {
        let allocated = measure(|| drop(message.encode(Dialect::Current)));
        prop_assert_eq!(allocated.count_total, 1);
    }
}

#[test]
fn a_count_of_billions_costs_nothing() {
    let body = Body::ScsiData(ScsiData {
        task_msgid: 1,
        session_id: 2,
        lun_id: [3; 16],
        data: vec![1],
    });
    let mut wire = Message { msgid: 1, body }
        .encode(Dialect::Current)
        .expect("it can be sent");
    // Element count and count word of the data are the last words but three and two.
    let end = wire.len() - 8;
    wire[end - 12..end - 8].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xF0]);
    wire[end - 8..end - 4].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xF0]);
    let allocated = measure(|| {
        let refused = Message::decode(&wire, Dialect::Current);
        assert!(refused.is_err());
    });
    assert_eq!(allocated.count_total, 0);
}

// SPDX-License-Identifier: MPL-2.0
//! What people and programs are told: names, and why a message or its JSON form was refused.

use super::status::{self, task_management};
use super::*;
use crate::nvlist::{DataType, NvlistProblem};

fn echo(data: &[u8]) -> Message {
    let data = data.to_vec();
    Message {
        msgid: 9,
        body: Body::EchoRequest(EchoRequest { data }),
    }
}

#[test]
fn everything_has_its_name() {
    let dialects = [Dialect::Current, Dialect::Y2009].map(|dialect| format!("{dialect:>8}"));
    let messages = MessageType::ALL.map(|of| format!("{:2} {of:>20}|", of.number()));
    let types: Vec<_> = (0..30)
        .filter_map(DataType::from_number)
        .map(|of| format!("{:2} {of:>14}|", of.number()))
        .collect();
    let failures = [
        status::SUCCESS,
        status::FAILURE,
        status::TARGET_FAILURE,
        status::LU_FAILURE,
        status::BUSY,
    ];
    let values: Vec<_> = failures
        .into_iter()
        .chain((0..13).map(status::code))
        .map(|value| format!("{value:#018x} {:?}", status::name(value)))
        .collect();
    let functions: Vec<_> = (0..11)
        .map(|function| format!("{function:2} {:?}", task_management::name(function)))
        .collect();
    let all = [
        dialects.join("\n"),
        messages.join("\n"),
        types.join("\n"),
        values.join("\n"),
        functions.join("\n"),
    ];
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn a_refusal_says_where_and_of_which_kind() {
    let wire = echo(&[1, 2]).encode(Dialect::Current).expect("it fits");
    let decode = |wire: &[u8]| Message::decode(wire, Dialect::Current).expect_err("refused");

    let cut = decode(&wire[..wire.len() - 1]);
    assert!(cut.offset().is_some_and(|offset| offset > 4), "{cut:?}");
    assert!(matches!(
        cut.unpack_problem(),
        Some(NvlistProblem::Truncated { .. })
    ));
    assert_eq!((cut.field(), cut.is_own_bound()), (None, false));

    let limits = Limits {
        max_size: wire.len() - 1,
        ..Limits::DEFAULT
    };
    let long = Message::decode_within(&wire, Dialect::Current, &limits).expect_err("too long");
    assert!(long.is_own_bound());

    let at = |name: &[u8]| {
        wire.windows(name.len())
            .position(|part| part == name)
            .expect("it is there")
    };
    // Name, type and element count stand before the value.
    let number = at(b"icm_msg_type") + 12 + 8;
    let mut unknown = wire.clone();
    unknown[number + 3] = 15;
    let unknown = decode(&unknown);
    assert!(
        unknown
            .offset()
            .is_some_and(|offset| offset <= number && offset + 40 > number),
        "{unknown:?}"
    );
    assert_eq!(
        (unknown.unpack_problem(), unknown.is_own_bound()),
        (None, false)
    );
    let mut missing = wire.clone();
    missing[at(b"icm_msgid")] = b'x';
    let missing = decode(&missing);
    assert_eq!(missing.offset(), None);

    let told = [&cut, &long, &unknown, &missing].map(|error| error.to_string());
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_is_wrong_with_json_is_told() {
    let texts = [
        r#"7"#,
        r#"{"type":"scsi_dta","msgid":1}"#,
        r#"{"msgid":1}"#,
        r#"{"type":7,"msgid":1}"#,
        r#"{"type":null,"msgid":1}"#,
        r#"{"type":true,"msgid":1}"#,
        r#"{"type":[],"msgid":1}"#,
        r#"{"type":{},"msgid":1}"#,
        r#"{"type":"echo_request","msgid":"1","data":""}"#,
        r#"{"type":"echo_request","msgid":-1,"data":""}"#,
        r#"{"type":"echo_request","msgid":1,"data":5}"#,
        r#"{"type":"echo_request","msgid":1,"data":"0g"}"#,
        r#"{"type":"echo_request","msgid":1}"#,
        r#"{"type":"echo_request","msgid":1,"data":"","more":0}"#,
        r#"{"type":"echo_request","msgid":1,"msgid":2,"data":""}"#,
        r#"{"type":"status","msgid":1,"status_msg_type":256,"status_msgid":0,"status":0}"#,
        r#"{"type":"register_lun","msgid":1,"lun_id":"00","lu_provider_name":"","cb_arg":""}"#,
        r#"{"type":"deregister_proxy_port","msgid":1,"port_id":{"piv":1,"other":2},"cb_arg":""}"#,
    ];
    let told = texts.map(|text| {
        let error = serde_json::from_str::<Message>(text).expect_err(text);
        format!("{text}\n    {error}")
    });
    insta::assert_snapshot!(told.join("\n"));
}

/// The data is never looked at: it would take four times its bytes on the wire.
#[test]
fn what_is_longer_than_the_packed_form_can_say_is_refused() {
    let body = Body::EchoRequest(EchoRequest {
        data: vec![0; (1 << 29) - 1],
    });
    let error = Message { msgid: 9, body }
        .encoded_len(Dialect::Current)
        .expect_err("over 2 GiB");
    let EncodeError::TooLarge { size, limit } = error else {
        panic!("{error:?}");
    };
    assert!(size > 1 << 31 && size < (1 << 31) + 1000, "{size}");
    assert_eq!(limit, 0x7FFF_FFFF);
}

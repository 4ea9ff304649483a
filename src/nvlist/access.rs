// SPDX-License-Identifier: MPL-2.0
//! What a reader is told about a list and its arrays, and what it is refused for its sizes.

use super::*;

fn packed(fields: &[Field<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    pack(fields, &mut out).expect("it fits");
    out
}

fn one(data: Data<'_>) -> Vec<u8> {
    packed(&[Field { name: b"a", data }])
}

/// The first value of a list.
fn first(packed: &[u8]) -> Value<'_> {
    let list = List::unpack(packed, &Limits::DEFAULT).expect("sound");
    list.pairs().next().expect("a pair").value
}

#[test]
fn arrays_know_their_length() {
    let [small, large] = [&[1u16][..], &[1, 2, 3]];
    for values in [&[][..], small, large] {
        let bytes = one(Data::Uint16Array(values));
        let Value::Uint16Array(read) = first(&bytes) else {
            panic!("its type");
        };
        assert_eq!(
            (read.len(), read.is_empty()),
            (values.len(), values.is_empty())
        );
        let wide: Vec<u64> = values.iter().map(|value| u64::from(*value)).collect();
        let bytes = one(Data::Uint64Array(&wide));
        let Value::Uint64Array(read) = first(&bytes) else {
            panic!("its type");
        };
        assert_eq!(
            (read.len(), read.is_empty()),
            (values.len(), values.is_empty())
        );
        let truths: Vec<bool> = values.iter().map(|value| *value > 1).collect();
        let bytes = one(Data::BooleanArray(&truths));
        let Value::BooleanArray(read) = first(&bytes) else {
            panic!("its type");
        };
        assert_eq!(
            (read.len(), read.is_empty()),
            (values.len(), values.is_empty())
        );
        let octets: Vec<u8> = values.iter().map(|value| *value as u8).collect();
        let bytes = one(Data::Uint8Array(&octets));
        let Value::Uint8Array(read) = first(&bytes) else {
            panic!("its type");
        };
        assert_eq!(
            (read.len(), read.is_empty()),
            (values.len(), values.is_empty())
        );
        let strings = vec![&b"text"[..]; values.len()];
        let bytes = one(Data::StringArray(&strings));
        let Value::StringArray(read) = first(&bytes) else {
            panic!("its type");
        };
        assert_eq!(
            (read.len(), read.is_empty()),
            (values.len(), values.is_empty())
        );
        assert_eq!(read.iter().collect::<Vec<_>>(), strings);
        let lists = vec![&[][..]; values.len()];
        let bytes = one(Data::NvlistArray(&lists));
        let Value::NvlistArray(read) = first(&bytes) else {
            panic!("its type");
        };
        assert_eq!(
            (read.len(), read.is_empty()),
            (values.len(), values.is_empty())
        );
        assert_eq!(read.iter().count(), values.len());
    }
}

#[test]
fn a_list_knows_its_flags_and_where_it_begins() {
    let inner = [Field {
        name: b"b",
        data: Data::Boolean,
    }];
    let mut bytes = one(Data::Nvlist(&inner));
    bytes[11] = 2;
    let list = List::unpack(&bytes, &Limits::DEFAULT).expect("sound");
    // Encoding and the like, version, flags.
    assert_eq!((list.flags(), list.offset()), (2, 12));
    let Value::Nvlist(inside) = first(&bytes) else {
        panic!("its type");
    };
    // Sizes, name and its length, type and count, then version and flags of the inner list.
    assert_eq!((inside.flags(), inside.offset()), (1, 12 + 24 + 8));
    assert_eq!(inside.pairs().next().map(|pair| pair.offset), Some(44));
}

/// A pair of the bytes that are left takes at most so much in a host's memory; more is refused
/// before anything is read, up to that only when name and value are known.
#[test]
fn the_decoded_size_of_a_pair_is_bounded_at_its_edge() {
    let mut bytes = one(Data::Uint8Array(&[1, 2, 3, 4, 5]));
    let pair = 12;
    let room = bytes.len() as u64 - pair as u64 - 20;
    let most = 24 + 2 * room + (room / 4).next_multiple_of(4);
    let sound = decoded_size(1, 5);
    for size in [1, 23, 24, most, most + 1, 0x7FFF_FFFF] {
        bytes[pair + 4..pair + 8].copy_from_slice(&(size as u32).to_be_bytes());
        let refused = List::unpack(&bytes, &Limits::DEFAULT).expect_err("not its size");
        let found = size as i32;
        let expected = if (24..=most).contains(&size) {
            NvlistProblem::DecodedSize {
                found,
                expected: sound,
            }
        } else {
            NvlistProblem::DecodedSizeRange {
                found,
                least: 24,
                most,
            }
        };
        assert_eq!((refused.offset, refused.problem), (pair + 4, expected));
    }
}

/// Of the array only its length is looked at: it would take four times its bytes when packed.
#[test]
fn what_is_longer_than_the_form_can_say_is_not_packed() {
    let long = vec![0; 1 << 29];
    let data = Data::Uint8Array(&long);
    let refused = packed_size(&[Field { name: b"a", data }]);
    let Err(PackError::TooLarge { size }) = refused else {
        panic!("{refused:?}");
    };
    // Header, version, flags; sizes, name, type, count, count word; end mark.
    assert_eq!(size, 12 + 24 + 4 + (4 << 29) + 8);
    let data = Data::Uint8Array(&long[..(1 << 29) - 20]);
    assert!(packed_size(&[Field { name: b"a", data }]).is_ok());
}

#[test]
fn types_say_their_names() {
    assert_eq!(format!("{:>7}", DataType::Uint8), "  UINT8");
    assert_eq!(DataType::Boolean.to_string(), "BOOLEAN");
}

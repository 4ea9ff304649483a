// SPDX-License-Identifier: MPL-2.0
//! Any bytes as a packed list. Reading must not panic and allocates nothing; limits are kept;
//! lookups find what walking finds; what was read and is packed again reads the same.

use allocation_counter::measure;
use bumpalo::Bump;
use stmf_proxy::nvlist::{
    Data, Field, LOOKUP_FLAGS, Limits, List, NvlistProblem, Value, pack, packed_size,
};

/// So many names of a list are looked up: a lookup walks the list.
const LOOKUPS: usize = 16;

/// Checks these bytes.
pub fn check(bytes: &[u8]) {
    let allocated = measure(|| {
        if let Ok(list) = List::unpack(bytes, &Limits::DEFAULT) {
            walk(&list);
        }
    });
    assert_eq!(allocated.count_total, 0, "reading allocates nothing");

    let found = List::unpack(bytes, &Limits::DEFAULT);
    check_limits(bytes, &found);
    let Ok(list) = found else { return };
    check_lookups(&list);

    let memory = Bump::new();
    let fields = fields(&memory, &list);
    let mut packed = b"kept".to_vec();
    pack(fields, &mut packed).unwrap_or_else(|error| panic!("read but not packed: {error}"));
    let packed = packed.split_off(4);
    assert_eq!(packed_size(fields), Ok(packed.len()));
    let again = List::unpack(&packed, &Limits::DEFAULT)
        .unwrap_or_else(|error| panic!("packed but not read: {error}"));
    assert_eq!(again.flags(), 1, "unique names");
    assert_eq!(self::fields(&memory, &again), fields, "it reads the same");
}

/// Walks a list to its end, all that is in it too.
fn walk(list: &List<'_>) {
    for pair in list.pairs() {
        match pair.value {
            Value::Nvlist(list) => walk(&list),
            Value::NvlistArray(lists) => {
                assert_eq!(lists.iter().count(), lists.len());
                lists.iter().for_each(|list| walk(&list));
            }
            Value::StringArray(strings) => assert_eq!(strings.iter().count(), strings.len()),
            Value::Uint8Array(bytes) => assert_eq!(bytes.iter().count(), bytes.len()),
            _ => {}
        }
    }
}

/// Tighter limits change nothing but that they are passed, and at their edge.
fn check_limits(bytes: &[u8], found: &Result<List<'_>, stmf_proxy::nvlist::NvlistError>) {
    let exact = Limits {
        max_size: bytes.len(),
        ..Limits::DEFAULT
    };
    assert_eq!(&List::unpack(bytes, &exact), found);
    if let Some(max_size) = bytes.len().checked_sub(1) {
        let refused = List::unpack(bytes, &Limits { max_size, ..exact });
        let problem = refused.map_err(|error| error.problem);
        assert!(matches!(problem, Err(NvlistProblem::TooLarge { .. })));
    }
    for max_depth in 0..3 {
        let limits = Limits { max_depth, ..exact };
        match List::unpack(bytes, &limits).map_err(|error| error.problem) {
            Ok(_) => assert!(found.is_ok()),
            Err(NvlistProblem::TooDeep { limit }) => assert_eq!(limit, max_depth),
            // What is too deep may stand behind what is wrong in any case.
            Err(problem) => {
                assert_eq!(Some(&problem), found.as_ref().err().map(|e| &e.problem));
            }
        }
    }
}

/// The first of a name and type is found, unless the flags forbid it.
fn check_lookups(list: &List<'_>) {
    for pair in list.pairs().take(LOOKUPS) {
        let data_type = pair.value.data_type();
        let first = list
            .pairs()
            .find(|other| other.name == pair.name && other.value.data_type() == data_type);
        let found = list.lookup(pair.name, data_type).ok();
        if list.flags() & LOOKUP_FLAGS == 0 {
            assert_eq!(found, None);
        } else {
            assert_eq!(found, first);
        }
    }
}

/// All that a list holds, to be packed or compared.
fn fields<'a>(memory: &'a Bump, list: &List<'a>) -> &'a [Field<'a>] {
    let mut fields = bumpalo::collections::Vec::new_in(memory);
    for pair in list.pairs() {
        let (name, data) = (pair.name, data(memory, pair.value));
        fields.push(Field { name, data });
    }
    fields.into_bump_slice()
}

fn data<'a>(memory: &'a Bump, value: Value<'a>) -> Data<'a> {
    match value {
        Value::Boolean => Data::Boolean,
        Value::Byte(value) => Data::Byte(value),
        Value::Int16(value) => Data::Int16(value),
        Value::Uint16(value) => Data::Uint16(value),
        Value::Int32(value) => Data::Int32(value),
        Value::Uint32(value) => Data::Uint32(value),
        Value::Int64(value) => Data::Int64(value),
        Value::Uint64(value) => Data::Uint64(value),
        Value::Hrtime(value) => Data::Hrtime(value),
        Value::BooleanValue(value) => Data::BooleanValue(value),
        Value::Int8(value) => Data::Int8(value),
        Value::Uint8(value) => Data::Uint8(value),
        Value::String(value) => Data::String(value),
        Value::ByteArray(value) => Data::ByteArray(value),
        Value::Int8Array(value) => Data::Int8Array(memory.alloc_slice_fill_iter(value.iter())),
        Value::Uint8Array(value) => Data::Uint8Array(memory.alloc_slice_fill_iter(value.iter())),
        Value::Int16Array(value) => Data::Int16Array(memory.alloc_slice_fill_iter(value.iter())),
        Value::Uint16Array(value) => Data::Uint16Array(memory.alloc_slice_fill_iter(value.iter())),
        Value::Int32Array(value) => Data::Int32Array(memory.alloc_slice_fill_iter(value.iter())),
        Value::Uint32Array(value) => Data::Uint32Array(memory.alloc_slice_fill_iter(value.iter())),
        Value::Int64Array(value) => Data::Int64Array(memory.alloc_slice_fill_iter(value.iter())),
        Value::Uint64Array(value) => Data::Uint64Array(memory.alloc_slice_fill_iter(value.iter())),
        Value::BooleanArray(value) => {
            Data::BooleanArray(memory.alloc_slice_fill_iter(value.iter()))
        }
        Value::StringArray(value) => {
            let strings = bumpalo::collections::Vec::from_iter_in(value.iter(), memory);
            Data::StringArray(strings.into_bump_slice())
        }
        Value::Nvlist(list) => Data::Nvlist(fields(memory, &list)),
        Value::NvlistArray(lists) => {
            let lists = lists.iter().map(|list| fields(memory, &list));
            let lists = bumpalo::collections::Vec::from_iter_in(lists, memory);
            Data::NvlistArray(lists.into_bump_slice())
        }
    }
}

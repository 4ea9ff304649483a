// SPDX-License-Identifier: MPL-2.0
//! What holds for every list, and for every string of bytes.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// A list with all that it holds; borrowed from for packing, made from what was read.
type Tree = Vec<(Vec<u8>, Item)>;

#[derive(Clone, Debug, PartialEq)]
enum Item {
    /// Anything that is neither a list nor needs a buffer to be borrowed from.
    Scalar(Data<'static>),
    String(Vec<u8>),
    Octets(DataType, Vec<u8>),
    Strings(Vec<Vec<u8>>),
    Int16(Vec<i16>),
    Uint16(Vec<u16>),
    Int32(Vec<i32>),
    Uint32(Vec<u32>),
    Int64(Vec<i64>),
    Uint64(Vec<u64>),
    Booleans(Vec<bool>),
    List(Tree),
    Lists(Vec<Tree>),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255u8, 0..12)
}

fn leaf() -> impl Strategy<Value = Item> {
    let octets = prop_oneof![
        Just(DataType::ByteArray),
        Just(DataType::Int8Array),
        Just(DataType::Uint8Array)
    ];
    let scalar = prop_oneof![
        Just(Data::Boolean),
        any::<u8>().prop_map(Data::Byte),
        any::<i16>().prop_map(Data::Int16),
        any::<u16>().prop_map(Data::Uint16),
        any::<i32>().prop_map(Data::Int32),
        any::<u32>().prop_map(Data::Uint32),
        any::<i64>().prop_map(Data::Int64),
        any::<u64>().prop_map(Data::Uint64),
        any::<i64>().prop_map(Data::Hrtime),
        any::<bool>().prop_map(Data::BooleanValue),
        any::<i8>().prop_map(Data::Int8),
        any::<u8>().prop_map(Data::Uint8),
    ];
    prop_oneof![
        4 => scalar.prop_map(Item::Scalar),
        1 => name().prop_map(Item::String),
        2 => (octets, vec(any::<u8>(), 0..70)).prop_map(|(kind, bytes)| Item::Octets(kind, bytes)),
        1 => vec(name(), 0..4).prop_map(Item::Strings),
        1 => vec(any::<i16>(), 0..4).prop_map(Item::Int16),
        1 => vec(any::<u16>(), 0..4).prop_map(Item::Uint16),
        1 => vec(any::<i32>(), 0..4).prop_map(Item::Int32),
        1 => vec(any::<u32>(), 0..4).prop_map(Item::Uint32),
        1 => vec(any::<i64>(), 0..4).prop_map(Item::Int64),
        1 => vec(any::<u64>(), 0..4).prop_map(Item::Uint64),
        1 => vec(any::<bool>(), 0..4).prop_map(Item::Booleans),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let item = leaf().prop_recursive(3, 20, 4, |item| {
        let list = vec((name(), item), 0..4).boxed();
        prop_oneof![
            list.clone().prop_map(Item::List),
            vec(list, 0..3).prop_map(Item::Lists)
        ]
    });
    vec((name(), item), 0..6)
}

/// Packs a tree. The borrowed form is made on the way down, so that it lives long enough.
fn pack_tree(tree: &Tree) -> Vec<u8> {
    fn with_fields<R>(tree: &[(Vec<u8>, Item)], then: &mut dyn FnMut(&[Field<'_>]) -> R) -> R {
        fn step<R>(
            rest: &[(Vec<u8>, Item)],
            done: &[Field<'_>],
            then: &mut dyn FnMut(&[Field<'_>]) -> R,
        ) -> R {
            let Some(((name, item), rest)) = rest.split_first() else {
                return then(done);
            };
            let mut next = |data: Data<'_>| {
                let mut fields = done.to_vec();
                fields.push(Field { name, data });
                step(rest, &fields, then)
            };
            match item {
                Item::Scalar(data) => next(*data),
                Item::String(string) => next(Data::String(string)),
                Item::Octets(DataType::ByteArray, bytes) => next(Data::ByteArray(bytes)),
                Item::Octets(DataType::Int8Array, bytes) => next(Data::Int8Array(bytes)),
                Item::Octets(_, bytes) => next(Data::Uint8Array(bytes)),
                Item::Strings(strings) => {
                    let strings: Vec<&[u8]> = strings.iter().map(Vec::as_slice).collect();
                    next(Data::StringArray(&strings))
                }
                Item::Int16(integers) => next(Data::Int16Array(integers)),
                Item::Uint16(integers) => next(Data::Uint16Array(integers)),
                Item::Int32(integers) => next(Data::Int32Array(integers)),
                Item::Uint32(integers) => next(Data::Uint32Array(integers)),
                Item::Int64(integers) => next(Data::Int64Array(integers)),
                Item::Uint64(integers) => next(Data::Uint64Array(integers)),
                Item::Booleans(booleans) => next(Data::BooleanArray(booleans)),
                Item::List(tree) => with_fields(tree, &mut |fields| next(Data::Nvlist(fields))),
                Item::Lists(trees) => {
                    with_lists(trees, &[], &mut |lists| next(Data::NvlistArray(lists)))
                }
            }
        }
        step(tree, &[], then)
    }
    fn with_lists<R>(
        rest: &[Tree],
        done: &[&[Field<'_>]],
        then: &mut dyn FnMut(&[&[Field<'_>]]) -> R,
    ) -> R {
        match rest.split_first() {
            None => then(done),
            Some((tree, rest)) => with_fields(tree, &mut |fields| {
                let mut lists = done.to_vec();
                lists.push(fields);
                with_lists(rest, &lists, then)
            }),
        }
    }
    with_fields(tree, &mut |fields| {
        let mut out = b"kept".to_vec();
        pack(fields, &mut out).expect("it can be packed");
        assert_eq!(packed_size(fields), Ok(out.len() - 4));
        out.split_off(4)
    })
}

/// Reads all that a packed list has, and packs that.
pub(crate) fn repack(packed: &[u8]) -> Vec<u8> {
    let list = List::unpack(packed, &Limits::DEFAULT).expect("a sound list");
    pack_tree(&read_tree(&list))
}

fn read_tree(list: &List<'_>) -> Tree {
    let pairs = list.pairs();
    pairs
        .map(|pair| (pair.name.to_vec(), read_item(pair.value)))
        .collect()
}

fn read_item(value: Value<'_>) -> Item {
    Item::Scalar(match value {
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
        Value::String(value) => return Item::String(value.to_vec()),
        Value::ByteArray(value) => return Item::Octets(DataType::ByteArray, value.to_vec()),
        Value::Int8Array(value) => return Item::Octets(DataType::Int8Array, value.to_vec()),
        Value::Uint8Array(value) => return Item::Octets(DataType::Uint8Array, value.to_vec()),
        Value::StringArray(value) => {
            return Item::Strings(value.iter().map(<[u8]>::to_vec).collect());
        }
        Value::Int16Array(value) => return Item::Int16(value.iter().collect()),
        Value::Uint16Array(value) => return Item::Uint16(value.iter().collect()),
        Value::Int32Array(value) => return Item::Int32(value.iter().collect()),
        Value::Uint32Array(value) => return Item::Uint32(value.iter().collect()),
        Value::Int64Array(value) => return Item::Int64(value.iter().collect()),
        Value::Uint64Array(value) => return Item::Uint64(value.iter().collect()),
        Value::BooleanArray(value) => return Item::Booleans(value.iter().collect()),
        Value::Nvlist(list) => return Item::List(read_tree(&list)),
        Value::NvlistArray(lists) => {
            assert_eq!(lists.iter().count(), lists.len());
            return Item::Lists(lists.iter().map(|list| read_tree(&list)).collect());
        }
    })
}

proptest! {
    #[test]
    fn any_list_comes_back(tree in tree()) {
        let packed = pack_tree(&tree);
        let list = List::unpack(&packed, &Limits::DEFAULT).expect("it was packed");
        prop_assert_eq!(list.flags(), 1);
        prop_assert_eq!(read_tree(&list), tree);
    }

    #[test]
    fn lookups_find_the_first_of_name_and_type(tree in tree()) {
        let packed = pack_tree(&tree);
        let list = List::unpack(&packed, &Limits::DEFAULT).expect("it was packed");
        for (index, pair) in list.pairs().enumerate() {
            let data_type = pair.value.data_type();
            let first = list
                .pairs()
                .position(|other| other.name == pair.name && other.value.data_type() == data_type);
            let found = list.lookup(pair.name, data_type).expect("it is there");
            prop_assert_eq!(found.offset == pair.offset, first == Some(index));
        }
        prop_assert_eq!(list.lookup(b"\0", DataType::Byte), Err(LookupError::Missing));
    }

    #[test]
    fn damaged_lists_are_refused_or_read(
        tree in tree(),
        damage in vec((any::<usize>(), any::<u8>()), 1..4),
        cut in any::<usize>(),
    ) {
        let mut packed = pack_tree(&tree);
        for (place, value) in damage {
            let place = place % packed.len();
            packed[place] = value;
        }
        packed.truncate(packed.len() - cut % 8);
        if let Ok(list) = List::unpack(&packed, &Limits::DEFAULT) {
            // All of it can be walked, as far as its end mark.
            drop(read_tree(&list));
            let text = format!("{list:?}");
            prop_assert!(!text.is_empty());
        }
    }
}

/// A list in a list in a list, `depth` in all.
fn nested(depth: usize) -> Vec<u8> {
    let mut packed = vec![1, 1, 0, 0];
    packed.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
    for _ in 1..depth {
        // Sizes (the first is not checked), empty name, type, one element; version and flags.
        for word in [0u32, 24 + 24, 0, 19, 1, 0, 1] {
            packed.extend_from_slice(&word.to_be_bytes());
        }
    }
    packed.resize(packed.len() + 8 * depth, 0);
    packed
}

#[test]
fn nesting_is_bounded_at_its_edge() {
    let limit = Limits::DEFAULT_MAX_DEPTH;
    let unpack = |depth, max_depth| {
        let limits = Limits {
            max_depth,
            ..Limits::DEFAULT
        };
        List::unpack(&nested(depth), &limits)
            .map(drop)
            .map_err(|error| error.problem)
    };
    assert_eq!(unpack(32, limit), Ok(()));
    assert_eq!(unpack(33, limit), Err(NvlistProblem::TooDeep { limit }));
    assert_eq!(unpack(1, 1), Ok(()));
    assert_eq!(unpack(1, 0), Err(NvlistProblem::TooDeep { limit: 0 }));
    // However it is set, the stack is not at stake.
    let limit = Limits::HIGHEST_MAX_DEPTH;
    assert_eq!(unpack(64, u32::MAX), Ok(()));
    assert_eq!(unpack(65, u32::MAX), Err(NvlistProblem::TooDeep { limit }));
    assert_eq!(
        unpack(100_000, u32::MAX),
        Err(NvlistProblem::TooDeep { limit })
    );
    // The deepest that is taken can be walked.
    let deepest = nested(64);
    let limits = Limits {
        max_depth: 64,
        ..Limits::DEFAULT
    };
    let list = List::unpack(&deepest, &limits).expect("as deep as can be");
    assert_eq!(list.pairs().count(), 1);

    let mut field = Field {
        name: b"a",
        data: Data::Boolean,
    };
    let mut fields: Vec<Field<'_>> = vec![field; 1];
    for _ in 1..32 {
        field.data = Data::Nvlist(Vec::leak(std::mem::take(&mut fields)));
        fields = vec![field];
    }
    assert!(packed_size(&fields).is_ok());
    field.data = Data::Nvlist(&fields);
    assert_eq!(packed_size(&[field]), Err(PackError::TooDeep { limit: 32 }));
}

#[test]
fn names_and_strings_without_nul_and_not_too_long() {
    let pack_one = |name: &[u8], data| {
        let mut out = Vec::new();
        pack(&[Field { name, data }], &mut out).map(|()| out)
    };
    let longest = vec![b'n'; NAME_LIMIT - 1];
    let packed = pack_one(&longest, Data::Boolean).expect("just short enough");
    assert!(List::unpack(&packed, &Limits::DEFAULT).is_ok());
    let too_long = vec![b'n'; NAME_LIMIT];
    let length = NAME_LIMIT;
    assert_eq!(
        pack_one(&too_long, Data::Boolean),
        Err(PackError::Name { length })
    );
    assert_eq!(
        pack_one(b"a\0", Data::Boolean),
        Err(PackError::Name { length: 2 })
    );
    let nul = pack_one(b"a", Data::String(b"ab\0"));
    assert_eq!(nul, Err(PackError::StringWithNul { offset: 2 }));

    let mut packed = pack_one(b"abcd", Data::String(b"efgh")).expect("sound");
    let at = |text: &[u8], packed: &[u8]| {
        packed
            .windows(4)
            .position(|window| window == text)
            .expect("it is there")
    };
    let string = at(b"efgh", &packed);
    packed[string + 3] = 0;
    let refused = List::unpack(&packed, &Limits::DEFAULT).expect_err("NUL in the string");
    assert_eq!(refused.problem, NvlistProblem::StringWithNul);
    let name = at(b"abcd", &packed);
    packed[name] = 0;
    let refused = List::unpack(&packed, &Limits::DEFAULT).expect_err("NUL in the name");
    assert_eq!(refused.problem, NvlistProblem::NameWithNul);
    assert_eq!(refused.offset, name - 4);
}

#[test]
fn what_a_kernel_would_take_is_told_apart() {
    let mut packed = Vec::new();
    let data = Data::Uint32Array(&[1, 2]);
    pack(&[Field { name: b"a", data }], &mut packed).expect("sound");
    let count_word = packed.len() - 8 - 12;
    packed[count_word + 3] = 1;
    let refused = List::unpack(&packed, &Limits::DEFAULT).expect_err("two counts");
    assert_eq!(refused.offset, count_word);
    let problem = NvlistProblem::CountWord {
        found: 1,
        expected: 2,
    };
    assert_eq!(refused.problem, problem);
    assert!(problem.is_own_bound());

    packed[0] = 0;
    let refused = List::unpack(&packed, &Limits::DEFAULT).expect_err("native");
    assert_eq!(refused.problem, NvlistProblem::NativeEncoding);
    packed[0] = 2;
    let refused = List::unpack(&packed, &Limits::DEFAULT).expect_err("unknown");
    assert!(!refused.problem.is_own_bound());
}

#[test]
fn flags_decide_whether_names_can_be_looked_up() {
    let mut packed = Vec::new();
    let data = Data::Uint8(1);
    pack(&[Field { name: b"a", data }], &mut packed).expect("sound");
    for flags in 0..8 {
        packed[11] = flags;
        let list = List::unpack(&packed, &Limits::DEFAULT).expect("flags are not checked here");
        let found = list.lookup(b"a", DataType::Uint8);
        assert_eq!(found.is_ok(), flags & 3 != 0, "flags {flags}");
    }
}

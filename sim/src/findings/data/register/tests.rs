// SPDX-License-Identifier: MPL-2.0

use super::*;
use proptest::prelude::*;

fn digest(value: u8) -> Digest {
    Digest::of(&[value; BLOCK])
}

/// An operation of a history on one block.
#[derive(Clone, Copy, Debug)]
struct Operation {
    /// The value written, or none for a read.
    writes: Option<u8>,
    /// What a read returned.
    returned: Option<u8>,
    began: u64,
    ended: u64,
    /// It may be that it never happened.
    optional: bool,
}

/// Whether these can have happened in some order, one after the other, each between its beginning
/// and its end: tries them all.
fn linearizable(operations: &[Operation], done: u32, value: u8) -> bool {
    let left = |at: usize| done & 1 << at == 0;
    let all = (0..operations.len()).filter(|at| left(*at));
    let mut needed = all.clone().filter(|at| !operations[*at].optional);
    if needed.next().is_none() {
        return true;
    }
    let first_end = all.clone().map(|at| match operations[at].optional {
        // It may be left out for good.
        true => NEVER,
        false => operations[at].ended,
    });
    let first_end = first_end.min().unwrap_or(NEVER);
    all.into_iter().any(|at| {
        let operation = operations[at];
        if operation.began > first_end {
            return false;
        }
        let done = done | 1 << at;
        // An optional one that comes in here must not come after one that began after its end.
        let too_late = operation.optional
            && (0..operations.len()).any(|other| {
                done & 1 << other != 0 && other != at && operations[other].began > operation.ended
            });
        match (operation.writes, operation.returned) {
            (Some(_), _) if too_late => false,
            (Some(written), _) => linearizable(operations, done, written),
            (None, Some(returned)) => returned == value && linearizable(operations, done, value),
            (None, None) => unreachable!(),
        }
    })
}

/// What happens next: see [`play`].
#[derive(Clone, Copy, Debug)]
enum Step {
    Write(u8),
    Read,
    /// One of those under way ends, so.
    End(u8, u8),
}

/// Plays steps; the history, and whether the register found something wrong with it. With
/// `distinct`, no value is written twice.
fn play(steps: &[Step], first: Option<u8>, distinct: bool) -> (Vec<Operation>, bool) {
    let mut register = Register::new(first.map(digest));
    let mut history = Vec::new();
    let mut under_way: Vec<(u64, Operation)> = Vec::new();
    let mut written = vec![0];
    let mut wrong = false;
    for (now, step) in (1..).zip(steps) {
        let began = now;
        let operation = Operation {
            writes: None,
            returned: None,
            began,
            ended: NEVER,
            optional: true,
        };
        match *step {
            Step::Write(value) => {
                let value = match distinct {
                    true => written.len() as u8,
                    false => value % 3,
                };
                written.push(value);
                register.write((0, now), digest(value), now);
                let writes = Some(value);
                under_way.push((
                    now,
                    Operation {
                        writes,
                        ..operation
                    },
                ));
            }
            Step::Read => under_way.push((now, operation)),
            Step::End(which, how) if !under_way.is_empty() => {
                let place = usize::from(which) % under_way.len();
                let (id, mut operation) = under_way.remove(place);
                if operation.writes.is_none() {
                    let returned = written[usize::from(how) % written.len()];
                    operation.returned = Some(returned);
                    operation.ended = now;
                    operation.optional = false;
                    let verdict = register.read(&digest(returned), operation.began, now);
                    wrong |= verdict.is_err();
                    history.push(operation);
                } else {
                    match how % 4 {
                        0 | 1 => {
                            operation.ended = now;
                            operation.optional = false;
                            register.written((0, id), Fate::Done, Some(now));
                        }
                        2 => {
                            operation.ended = now;
                            register.written((0, id), Fate::Unknown, Some(now));
                        }
                        _ => register.written((0, id), Fate::Unknown, None),
                    }
                    history.push(operation);
                }
                let reads = under_way.iter().filter(|(_, o)| o.writes.is_none());
                let oldest = reads.map(|(_, read)| read.began).min();
                register.forget(oldest.unwrap_or(now));
            }
            Step::End(..) => {}
        }
    }
    let writes = under_way.into_iter().map(|(_, operation)| operation);
    history.extend(writes.filter(|operation| operation.writes.is_some()));
    (history, wrong)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => any::<u8>().prop_map(Step::Write),
        3 => Just(Step::Read),
        5 => any::<(u8, u8)>().prop_map(|(which, how)| Step::End(which, how)),
    ];
    prop::collection::vec(step, 1..18)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn different_values_are_judged_as_by_trying_every_order(steps in steps()) {
        let (history, wrong) = play(&steps, Some(0), true);
        prop_assert_eq!(wrong, !linearizable(&history, 0, 0), "{:?}", history);
    }

    #[test]
    fn equal_values_never_make_a_sound_history_wrong(steps in steps()) {
        let (history, wrong) = play(&steps, Some(0), false);
        prop_assert!(!(wrong && linearizable(&history, 0, 0)), "{:?}", history);
    }

    #[test]
    fn what_nobody_knows_at_first_never_makes_a_sound_history_wrong(steps in steps()) {
        let (history, wrong) = play(&steps, None, false);
        prop_assert!(!(wrong && linearizable(&history, 0, 0)), "{:?}", history);
    }
}

const ONE: CommandId = (1, 1);
const TWO: CommandId = (1, 2);

#[test]
fn a_write_that_ended_good_and_is_not_there_is_lost() {
    let mut register = Register::new(Some(digest(0)));
    register.write(ONE, digest(1), 1);
    register.written(ONE, Fate::Done, Some(2));
    assert_eq!(register.read(&digest(0), 3, 4), Err(Wrong::Lost(Some(ONE))));
    register.forget(5);
    let late = register.read(&digest(0), 6, 7);
    assert_eq!(
        late,
        Err(Wrong::Lost(Some(ONE))),
        "known after it was forgotten"
    );
    assert_eq!(register.read(&digest(1), 8, 9), Ok(()));
}

#[test]
fn what_was_seen_once_does_not_go_away_again() {
    let mut register = Register::new(Some(digest(0)));
    register.write(ONE, digest(1), 1);
    register.written(ONE, Fate::Unknown, None);
    assert_eq!(register.read(&digest(0), 2, 3), Ok(()));
    assert_eq!(register.read(&digest(1), 4, 5), Ok(()));
    let back = register.read(&digest(0), 6, 7);
    assert_eq!(back, Err(Wrong::WentBack(Some(ONE))));
    // Beside the read that saw it first, it may be read still.
    assert_eq!(register.read(&digest(0), 5, 8), Ok(()));
}

#[test]
fn a_mixture_of_two_values_is_torn() {
    let mut register = Register::new(Some(digest(0)));
    register.write(ONE, digest(1), 1);
    register.write(TWO, digest(2), 1);
    let mixed = |at: usize| {
        let mut block = [1; BLOCK];
        block[at..].fill(2);
        Digest::of(&block)
    };
    for at in [64, 100, 448] {
        let verdict = register.read(&mixed(at), 2, 3);
        assert_eq!(verdict, Err(Wrong::Torn(Some(ONE), Some(TWO))), "{at}");
    }
    assert_eq!(register.read(&digest(7), 2, 3), Err(Wrong::Foreign));
}

#[test]
fn a_block_with_too_many_values_is_given_up() {
    let mut register = Register::new(Some(digest(0)));
    for tag in 1..MOST_VALUES as u64 {
        register.write((0, tag), digest(1), tag);
    }
    assert_eq!(register.read(&digest(9), 100, 101), Err(Wrong::Foreign));
    register.write((0, 100), digest(1), 102);
    assert_eq!(register.read(&digest(9), 103, 104), Ok(()));
}

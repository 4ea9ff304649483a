// SPDX-License-Identifier: MPL-2.0
//! The scheduler against the plainest model that could be right.

use proptest::prelude::*;

use super::*;

/// The plainest thing that could be right: a list, and a look at all earlier ones.
#[derive(Default)]
struct Model {
    unfinished: Vec<(PostId, Lane, bool)>,
}

impl Model {
    fn may_go(&self) -> Vec<PostId> {
        let waits = |index: usize| {
            let (_, lane, _) = self.unfinished[index];
            self.unfinished[..index]
                .iter()
                .any(|(_, earlier, _)| lane.conflicts_with(earlier))
        };
        (0..self.unfinished.len())
            .filter(|index| !self.unfinished[*index].2 && !waits(*index))
            .map(|index| self.unfinished[index].0)
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(Lane),
    Next,
    Finish(prop::sample::Index),
    Discard,
}

fn lane() -> impl Strategy<Value = Lane> {
    let object = (0..3u64, 0..3u8).prop_map(|(id, kind)| match kind {
        0 => Object::Port(id),
        1 => Object::LogicalUnit(id),
        _ => Object::SenderSession(id),
    });
    let mode = prop_oneof![Just(Mode::Shared), Just(Mode::Exclusive)];
    let claims = prop::collection::vec((object, mode), 0..=4);
    let lane = (claims, any::<bool>()).prop_map(|(claims, slow)| {
        let lane = claims
            .into_iter()
            .fold(Lane::free(), |lane, (object, mode)| lane.and(object, mode));
        if slow { lane.slow() } else { lane }
    });
    prop_oneof![12 => lane, 1 => Just(Lane::barrier())]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => lane().prop_map(Step::Push),
        6 => Just(Step::Next),
        6 => any::<prop::sample::Index>().prop_map(Step::Finish),
        1 => Just(Step::Discard),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn order_is_kept_where_it_matters_and_only_there(steps in steps()) {
        let mut lanes = Lanes::new(usize::MAX, usize::MAX);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Push(lane) => {
                    let post = lanes.push(lane, Bytes::from_static(b"12345"));
                    model.unfinished.push((post, lane, false));
                }
                Step::Next => {
                    let expected = model.may_go().first().copied();
                    let got = lanes.next(Time::ZERO);
                    prop_assert_eq!(got.as_ref().map(|got| got.0), expected);
                    for entry in &mut model.unfinished {
                        if Some(entry.0) == expected {
                            entry.2 = true;
                            prop_assert_eq!(got.as_ref().map(|got| got.1), Some(entry.1));
                        }
                    }
                }
                Step::Finish(which) => {
                    let flying: Vec<_> =
                        model.unfinished.iter().filter(|entry| entry.2).map(|e| e.0).collect();
                    if !flying.is_empty() {
                        let post = *which.get(&flying);
                        prop_assert!(lanes.finish(post));
                        prop_assert!(!lanes.finish(post), "finished twice");
                        model.unfinished.retain(|entry| entry.0 != post);
                    }
                }
                Step::Discard => {
                    let before = model.unfinished.len();
                    model.unfinished.retain(|entry| entry.2);
                    let dropped = (before - model.unfinished.len()) as u64;
                    prop_assert_eq!(lanes.discard_waiting(), dropped);
                }
            }
            prop_assert_eq!(lanes.len(), model.unfinished.len());
            prop_assert_eq!(lanes.bytes(), 5 * model.unfinished.len());
            let flying = model.unfinished.iter().filter(|entry| entry.2).count();
            prop_assert_eq!(lanes.in_flight(), flying);
        }
        // All that is left comes out, and nothing is kept for it.
        while lanes.len() > 0 {
            while let Some((post, ..)) = lanes.next(Time::ZERO) {
                prop_assert!(model.may_go().contains(&post));
                for entry in &mut model.unfinished {
                    entry.2 |= entry.0 == post;
                }
            }
            let post = lanes.in_flight.keys().next().copied().expect("something can always go");
            prop_assert!(lanes.finish(post));
            model.unfinished.retain(|entry| entry.0 != post);
        }
        prop_assert!(lanes.objects.is_empty() && lanes.everything.is_none());
    }

    #[test]
    fn the_bounds_on_posts_in_progress_hold(
        lanes_in in prop::collection::vec(lane(), 1..80), bound in 1usize..6, slow in 1usize..4,
    ) {
        let mut lanes = Lanes::new(bound, slow);
        let mut slow_posts = BTreeSet::new();
        for lane in lanes_in {
            let post = lanes.push(lane, Bytes::new());
            if lane.is_slow() {
                slow_posts.insert(post);
            }
        }
        while lanes.len() > 0 {
            while lanes.next(Time::ZERO).is_some() {}
            prop_assert!(lanes.in_flight() <= bound);
            let flying: Vec<_> = lanes.in_flight.keys().copied().collect();
            let slow_flying = flying.iter().filter(|post| slow_posts.contains(post)).count();
            prop_assert!(slow_flying <= slow);
            prop_assert!(lanes.finish(*flying.last().expect("something can always go")));
        }
    }
}

#[test]
fn slow_ones_leave_room_for_the_others() {
    let mut lanes = Lanes::new(3, 2);
    for id in 0..5 {
        lanes.push(
            Lane::free().and(Object::Port(id), Mode::Exclusive).slow(),
            Bytes::new(),
        );
    }
    let command = lanes.push(
        Lane::free().and(Object::SenderSession(1), Mode::Exclusive),
        Bytes::new(),
    );
    let out: Vec<_> = std::iter::from_fn(|| lanes.next(Time::ZERO))
        .map(|next| next.0)
        .collect();
    assert_eq!(out, [PostId(1), PostId(2), command]);
}

#[test]
fn a_post_that_is_not_in_progress_does_not_finish() {
    let mut lanes = Lanes::new(1, 1);
    assert!(!lanes.finish(PostId(1)));
    let post = lanes.push(Lane::free(), Bytes::new());
    assert!(!lanes.finish(post), "it only waits");
    assert!(lanes.next(Time::ZERO).is_some());
    assert!(lanes.finish(post));
}

#[test]
fn a_post_that_takes_long_is_named_once() {
    let mut lanes = Lanes::new(2, 1);
    lanes.push(Lane::free(), Bytes::new());
    lanes.push(Lane::free(), Bytes::new());
    let second = Duration::from_secs(1);
    lanes.next(Time::ZERO);
    lanes.next(Time::ZERO + second);
    assert_eq!(lanes.overdue(Time::ZERO + second, second * 2), []);
    let later = Time::ZERO + second * 2;
    assert_eq!(lanes.overdue(later, second * 2), [(PostId(1), second * 2)]);
    assert_eq!(lanes.overdue(later, second * 2), []);
    assert_eq!(
        lanes.overdue(later + second, second * 2),
        [(PostId(2), second * 2)]
    );
}

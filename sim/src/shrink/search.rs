// SPDX-License-Identifier: MPL-2.0
//! The search for something smaller that still fails: what can be cut, how often it is tried,
//! and the cutting of inputs, which is the same whatever the inputs are.
//!
//! Nothing here knows of worlds. All is deterministic but the answer of
//! [`Watching::go_on`], which may look at a clock.

use std::collections::BTreeSet;

/// Something with inputs that can be made smaller: a script.
pub trait Subject: Clone {
    /// How many inputs it has.
    fn inputs(&self) -> usize;
    /// Only the inputs whose flag is true (one for each), and of these only those that still make
    /// sense: none that needs one that is gone.
    fn retain(&self, keep: &[bool]) -> Self;
    /// Only the first inputs: what comes after them was never done.
    fn truncate(&self, inputs: usize) -> Self;
    /// What may go together, as flags of what stays: the more goes, the earlier. Made anew after
    /// every success.
    fn groups(&self) -> Vec<Vec<bool>>;
    /// A number that is the same for equal ones, and for hardly any others.
    fn fingerprint(&self) -> u128;
    /// Tries to make single inputs and what is around them simpler ([`Search::attempt`]). Every
    /// candidate is simpler by a measure that ends somewhere.
    ///
    /// # Errors
    ///
    /// Hands on why the search is over.
    fn simplify<E>(search: &mut Search<'_, Self, E>) -> Result<(), Over<E>>;
    /// The same under other circumstances that may bring a failure back which a cut has lost by
    /// accident (another order of threads); few of them.
    fn otherwise(&self) -> Vec<Self>;
}

/// What a try that failed has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    /// How many inputs were done when the failure showed: what comes after them is of no use.
    pub done: usize,
}

/// Where a search stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Tries until now.
    pub tries: u64,
    /// Inputs that are left.
    pub inputs: usize,
    /// What is being done, in a few words.
    pub step: &'static str,
}

/// Somebody who waits for the end of a search.
pub trait Watching {
    /// Asked before every try, and now and then during one (with no standing): false ends the
    /// search with what it has.
    fn go_on(&self, standing: Option<Standing>) -> bool;
}

/// Waits as long as it takes.
impl Watching for () {
    fn go_on(&self, _: Option<Standing>) -> bool {
        true
    }
}

/// Why a search is over before it came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over<E> {
    /// As many tries as are allowed were made.
    Tries,
    /// Whoever waits did not want to wait longer.
    Waiting,
    /// A try could not be made.
    Failed(E),
}

/// Tries a candidate: what it has shown if it fails as it should, else none.
pub type Tester<'a, S, E> = dyn FnMut(&S) -> Result<Option<Shown>, E> + 'a;

/// A search, and the best that it has found.
pub struct Search<'a, S: Subject, E> {
    best: S,
    tester: &'a mut Tester<'a, S, E>,
    watching: &'a dyn Watching,
    /// Candidates that were tried, by fingerprint.
    tried: BTreeSet<u128>,
    tries: u64,
    most_tries: u64,
    step: &'static str,
}

/// Up to how many inputs any two are tried to be removed together.
const MOST_FOR_PAIRS: usize = 24;

/// Up to how many inputs a failure that was lost with one of them is looked for otherwise.
const MOST_FOR_OTHERWISE: usize = 40;

impl<'a, S: Subject, E> Search<'a, S, E> {
    /// A search from `start`, of which it is known that it fails.
    pub fn new(
        start: S,
        tester: &'a mut Tester<'a, S, E>,
        watching: &'a dyn Watching,
        most_tries: u64,
    ) -> Search<'a, S, E> {
        Search {
            tried: BTreeSet::from([start.fingerprint()]),
            best: start,
            tester,
            watching,
            tries: 0,
            most_tries,
            step: "",
        }
    }

    /// The smallest until now that fails.
    pub fn best(&self) -> &S {
        &self.best
    }

    /// How many tries were made.
    pub fn tries(&self) -> u64 {
        self.tries
    }

    /// Says what is being done.
    pub fn set_step(&mut self, step: &'static str) {
        self.step = step;
    }

    /// Tries a candidate; if it fails it is the best one from now on.
    ///
    /// # Errors
    ///
    /// If the search is over.
    pub fn attempt(&mut self, candidate: S) -> Result<bool, Over<E>> {
        if !self.tried.insert(candidate.fingerprint()) {
            return Ok(false);
        }
        if self.tries >= self.most_tries {
            return Err(Over::Tries);
        }
        let standing = Standing {
            tries: self.tries,
            inputs: self.best.inputs(),
            step: self.step,
        };
        if !self.watching.go_on(Some(standing)) {
            return Err(Over::Waiting);
        }
        self.tries += 1;
        let shown = (self.tester)(&candidate).map_err(Over::Failed)?;
        let Some(shown) = shown else {
            return Ok(false);
        };
        self.best = candidate;
        self.cut_tail(shown);
        Ok(true)
    }

    /// Leaves out what was never done, which takes no try: the run is the same.
    pub fn cut_tail(&mut self, shown: Shown) {
        let inputs = self.best.inputs();
        if shown.done < inputs {
            self.best = self.best.truncate(shown.done);
            self.tried.insert(self.best.fingerprint());
        }
    }

    /// Makes the best one as small as it gets.
    ///
    /// # Errors
    ///
    /// If the search was over before; [`Search::best`] has what was found until then.
    pub fn minimize(&mut self) -> Result<(), Over<E>> {
        // What makes noise goes first: every later try is the quicker for it.
        S::simplify(self)?;
        loop {
            let before = self.best.fingerprint();
            self.step = "cutting inputs";
            self.cut_groups()?;
            self.cut_chunks()?;
            S::simplify(self)?;
            if self.best.fingerprint() != before {
                continue;
            }
            self.step = "cutting two inputs at once";
            self.cut_pairs()?;
            self.step = "cutting inputs, with other choices";
            self.cut_otherwise()?;
            if self.best.fingerprint() == before {
                return Ok(());
            }
        }
    }

    /// Tries to keep only what is marked.
    fn attempt_keep(&mut self, keep: &[bool]) -> Result<bool, Over<E>> {
        match keep.contains(&false) {
            true => self.attempt(self.best.retain(keep)),
            false => Ok(false),
        }
    }

    fn cut_groups(&mut self) -> Result<(), Over<E>> {
        let mut number = 0;
        while let Some(keep) = self.best.groups().get(number) {
            if !self.attempt_keep(keep)? {
                number += 1;
            }
        }
        Ok(())
    }

    /// Cuts runs of inputs, half of all and shorter ones, down to single inputs, until none can
    /// be spared. From the end: what needs others goes before these.
    fn cut_chunks(&mut self) -> Result<(), Over<E>> {
        let mut length = (self.best.inputs() / 2).max(1);
        loop {
            let mut helped = false;
            let mut end = self.best.inputs();
            while end > 0 {
                let start = end.saturating_sub(length);
                let inputs = self.best.inputs();
                let keep: Vec<bool> = (0..inputs).map(|at| at < start || at >= end).collect();
                helped |= self.attempt_keep(&keep)?;
                end = start.min(self.best.inputs());
            }
            match length {
                1 if !helped => return Ok(()),
                1 => {}
                _ => length /= 2,
            }
        }
    }

    fn cut_pairs(&mut self) -> Result<(), Over<E>> {
        let (mut one, mut other) = (0, 1);
        while one + 1 < self.best.inputs() {
            let inputs = self.best.inputs();
            if inputs > MOST_FOR_PAIRS {
                return Ok(());
            }
            let keep: Vec<bool> = (0..inputs).map(|at| at != one && at != other).collect();
            if self.attempt_keep(&keep)? {
                (one, other) = (0, 1);
                continue;
            }
            other += 1;
            if other >= inputs {
                one += 1;
                other = one + 1;
            }
        }
        Ok(())
    }

    fn cut_otherwise(&mut self) -> Result<(), Over<E>> {
        let mut place = self.best.inputs();
        while place > 0 {
            place = (place - 1).min(self.best.inputs());
            let inputs = self.best.inputs();
            if inputs > MOST_FOR_OTHERWISE {
                return Ok(());
            }
            let keep: Vec<bool> = (0..inputs).map(|at| at != place).collect();
            if !keep.contains(&false) {
                continue;
            }
            for candidate in self.best.retain(&keep).otherwise() {
                if self.attempt(candidate)? {
                    break;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// Numbers, each of which may need an earlier one.
    #[derive(Clone, PartialEq, Eq, Debug)]
    struct Numbers(Vec<(u8, Option<u8>)>);

    impl Subject for Numbers {
        fn inputs(&self) -> usize {
            self.0.len()
        }
        fn retain(&self, keep: &[bool]) -> Numbers {
            let mut kept = Vec::new();
            for (&(number, needs), _) in self.0.iter().zip(keep).filter(|(_, keep)| **keep) {
                let there = |need: u8| kept.iter().any(|(number, _)| *number == need);
                if needs.is_none_or(there) {
                    kept.push((number, needs));
                }
            }
            Numbers(kept)
        }
        fn truncate(&self, inputs: usize) -> Numbers {
            Numbers(self.0[..inputs].to_vec())
        }
        fn groups(&self) -> Vec<Vec<bool>> {
            vec![self.0.iter().map(|(_, needs)| needs.is_none()).collect()]
        }
        fn fingerprint(&self) -> u128 {
            let fold = |hash: u128, (number, needs): &(u8, Option<u8>)| {
                let input = u128::from(*number) << 9 | needs.map_or(0, |n| u128::from(n) + 1);
                hash.wrapping_mul(0x1000_0000_0000_01b3_0000_0000_0001)
                    .wrapping_add(input + 1)
            };
            self.0.iter().fold(7, fold)
        }
        fn simplify<E>(_: &mut Search<'_, Numbers, E>) -> Result<(), Over<E>> {
            Ok(())
        }
        fn otherwise(&self) -> Vec<Numbers> {
            Vec::new()
        }
    }

    fn numbers() -> impl Strategy<Value = Numbers> {
        proptest::collection::vec((any::<bool>(), any::<u8>()), 1..80).prop_map(|made| {
            let input = |(place, (needs, which)): (usize, (bool, u8))| {
                let need = needs && place > 0;
                (
                    place as u8,
                    need.then(|| (usize::from(which) % place) as u8),
                )
            };
            Numbers(made.into_iter().enumerate().map(input).collect())
        })
    }

    /// Cuts down to what still has all of `needed`; how often it was tried.
    fn cut(start: &Numbers, needed: &[u8], most_tries: u64) -> (Numbers, u64, bool) {
        let fails = |numbers: &Numbers| {
            let place = |need: &u8| numbers.0.iter().position(|(number, _)| number == need);
            let places: Option<Vec<usize>> = needed.iter().map(place).collect();
            places.map(|places| Shown {
                done: places.into_iter().max().map_or(0, |last| last + 1),
            })
        };
        let mut tester = |numbers: &Numbers| Ok::<_, Infallible>(fails(numbers));
        let mut search = Search::new(start.clone(), &mut tester, &(), most_tries);
        let whole = search.minimize() == Ok(());
        (search.best().clone(), search.tries(), whole)
    }

    proptest! {
        #[test]
        fn what_is_left_fails_is_in_order_and_cannot_be_cut(
            start in numbers(),
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let needed: Vec<u8> = picks.iter().map(|pick| pick.index(start.0.len()) as u8).collect();
            let (best, tries, whole) = cut(&start, &needed, u64::MAX);
            prop_assert!(whole);
            // Exactly what is needed, and what that needs: nothing less fails.
            let mut expected: Vec<u8> = needed.clone();
            let mut at = 0;
            while at < expected.len() {
                expected.extend(start.0[usize::from(expected[at])].1);
                at += 1;
            }
            expected.sort_unstable();
            expected.dedup();
            let left: Vec<u8> = best.0.iter().map(|(number, _)| *number).collect();
            prop_assert_eq!(left, expected);
            // The same again.
            prop_assert_eq!(cut(&start, &needed, u64::MAX), (best, tries, true));
        }

        #[test]
        fn a_search_ends_after_its_tries(start in numbers(), most in 0u64..20) {
            let needed = [0];
            let (best, tries, whole) = cut(&start, &needed, most);
            prop_assert!(tries <= most);
            prop_assert!(whole || tries == most);
            prop_assert!(best.0.contains(&(0, None)));
        }
    }

    #[test]
    fn whoever_waits_can_end_it() {
        struct Impatient(u64);
        impl Watching for Impatient {
            fn go_on(&self, standing: Option<Standing>) -> bool {
                standing.is_none_or(|standing| standing.tries < self.0)
            }
        }
        let start = Numbers((0..50).map(|number| (number, None)).collect());
        let mut tester = |_: &Numbers| Ok::<_, Infallible>(None);
        let impatient = Impatient(5);
        let mut search = Search::new(start, &mut tester, &impatient, u64::MAX);
        assert_eq!(search.minimize(), Err(Over::Waiting));
        assert_eq!(search.tries(), 5);
    }
}

// SPDX-License-Identifier: MPL-2.0
//! A table that remembers only so much: when it is full, what was entered first is forgotten.

use std::collections::BTreeMap;

/// How many entries each table has that remembers something of a trace: 65,536. More things are
/// under way at once only where something is very wrong.
pub const TABLE_LIMIT: usize = 65_536;

/// A map of bounded size.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    limit: usize,
    entries: BTreeMap<K, (u64, V)>,
    /// The keys, by when they were entered.
    order: BTreeMap<u64, K>,
    next: u64,
    forgotten: u64,
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    /// An empty table of at most `limit` entries, 1 or more.
    pub(crate) fn new(limit: usize) -> Bounded<K, V> {
        Bounded {
            limit: limit.max(1),
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            next: 0,
            forgotten: 0,
        }
    }

    /// Enters something, in the place of what had the same key; gives back what had to give way.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let mut gone = self.remove(&key);
        if self.entries.len() >= self.limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            gone = self.entries.remove(&oldest).map(|(_, value)| value);
            self.forgotten += 1;
        }
        self.order.insert(self.next, key.clone());
        self.entries.insert(key, (self.next, value));
        self.next += 1;
        gone
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (number, value) = self.entries.remove(key)?;
        self.order.remove(&number);
        Some(value)
    }

    /// The first entry from `key` on, in the order of keys.
    pub(crate) fn first_from(&self, key: &K) -> Option<&K> {
        self.entries.range(key..).next().map(|(key, _)| key)
    }

    /// What was entered, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order
            .values()
            .filter_map(|key| Some((key, self.get(key)?)))
    }

    /// How many entries gave way to others.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_at_the_limit() {
        let mut table = Bounded::new(2);
        assert_eq!(table.insert("b", 1), None);
        assert_eq!(table.insert("a", 2), None);
        assert_eq!((table.iter().count(), table.forgotten()), (2, 0));
        assert_eq!(table.insert("b", 3), Some(1));
        assert_eq!(
            (table.iter().count(), table.forgotten()),
            (2, 0),
            "same key"
        );
        assert_eq!(table.insert("c", 4), Some(2));
        assert_eq!((table.iter().count(), table.forgotten()), (2, 1));
        assert_eq!(table.get(&"a"), None, "it was the oldest by then");
        let entries: Vec<_> = table.iter().collect();
        assert_eq!(entries, [(&"b", &3), (&"c", &4)]);
        assert_eq!(table.first_from(&"bb"), Some(&"c"));
        assert_eq!(table.remove(&"b"), Some(3));
        assert_eq!(table.remove(&"b"), None);
        *table.get_mut(&"c").unwrap() = 5;
        table.insert("d", 6);
        assert_eq!((table.iter().count(), table.forgotten()), (2, 1));
    }
}

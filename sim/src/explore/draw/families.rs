// SPDX-License-Identifier: MPL-2.0
//! The kinds of acts, and the families of scenarios: how often each kind comes in which.

/// Groups of faults, as command lines name them.
pub const GROUPS: [&str; 7] = [
    "link", "door", "relay", "kernel", "node", "disk", "operator",
];

/// Kinds of acts, in the order of the weights of a family.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Data,
    Discovery,
    Reservation,
    Management,
    Session,
    Port,
    FailOver,
    Unit,
    Alua,
    Relay,
    Power,
    Link,
    Door,
    Kernel,
    Disk,
    Impatience,
}

pub(super) const SORTS: [Sort; 16] = [
    Sort::Data,
    Sort::Discovery,
    Sort::Reservation,
    Sort::Management,
    Sort::Session,
    Sort::Port,
    Sort::FailOver,
    Sort::Unit,
    Sort::Alua,
    Sort::Relay,
    Sort::Power,
    Sort::Link,
    Sort::Door,
    Sort::Kernel,
    Sort::Disk,
    Sort::Impatience,
];

impl Sort {
    /// Whether a kernel tells its peer of it, with the stmf lock held.
    pub(super) fn tells_the_peer(self) -> bool {
        matches!(
            self,
            Sort::Session | Sort::Port | Sort::FailOver | Sort::Unit | Sort::Alua
        )
    }

    /// The group of faults that it belongs to; none for what hosts do.
    pub(super) fn group(self) -> Option<&'static str> {
        Some(match self {
            Sort::Port | Sort::FailOver | Sort::Unit | Sort::Alua => "operator",
            Sort::Relay => "relay",
            Sort::Power => "node",
            Sort::Link => "link",
            Sort::Door => "door",
            Sort::Kernel => "kernel",
            Sort::Disk => "disk",
            _ => return None,
        })
    }
}

/// A kind of trouble: how often each kind of act comes, in the order of what is named.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    pub(super) weights: [u32; SORTS.len()],
}

/// All families. A seed takes one of them.
pub const FAMILIES: &[Family] = &[
    //                data disc resv mgmt sess port fail unit alua rely powr link door kern disk impa
    Family {
        name: "traffic",
        about: "reads and writes down all paths, now and then a broken link",
        weights: [60, 10, 2, 4, 4, 0, 2, 0, 0, 0, 0, 4, 4, 2, 4, 3],
    },
    Family {
        name: "discovery",
        about: "hosts that look for LUs while ports come and go",
        weights: [6, 50, 4, 4, 14, 10, 2, 2, 0, 2, 0, 4, 4, 2, 1, 3],
    },
    Family {
        name: "failover",
        about: "LUs that move between the nodes under load",
        weights: [45, 6, 6, 4, 4, 0, 18, 3, 2, 2, 2, 5, 4, 2, 3, 3],
    },
    Family {
        name: "reservations",
        about: "reservations on both paths, resets, failover",
        weights: [20, 4, 45, 6, 6, 0, 6, 0, 0, 2, 2, 4, 2, 1, 1, 2],
    },
    Family {
        name: "management",
        about: "task management on busy and on vanishing LUs",
        weights: [30, 6, 6, 30, 8, 2, 6, 8, 0, 2, 0, 4, 6, 3, 4, 12],
    },
    Family {
        name: "ports",
        about: "ports and sessions that come and go",
        weights: [25, 10, 2, 4, 20, 24, 2, 2, 4, 2, 0, 5, 4, 6, 0, 3],
    },
    Family {
        name: "links",
        about: "a link that breaks, stalls and damages what it carries",
        weights: [45, 6, 4, 4, 6, 4, 4, 0, 0, 2, 0, 30, 2, 1, 1, 3],
    },
    Family {
        name: "relays",
        about: "relays that are stopped, killed and started under load",
        weights: [45, 6, 4, 4, 6, 3, 3, 0, 2, 24, 0, 4, 4, 3, 1, 2],
    },
    Family {
        name: "power",
        about: "nodes that lose their power and come back",
        weights: [40, 6, 6, 4, 10, 3, 8, 2, 2, 4, 18, 4, 2, 2, 2, 1],
    },
    Family {
        name: "operators",
        about: "ALUA switched by hand, LUs added, removed and served by both nodes",
        weights: [35, 8, 4, 6, 6, 8, 12, 14, 14, 4, 2, 3, 3, 2, 1, 2],
    },
    Family {
        name: "doors",
        about: "door calls that fail, or are answered badly",
        weights: [45, 10, 4, 8, 8, 6, 3, 2, 4, 2, 0, 4, 26, 8, 2, 8],
    },
    Family {
        name: "everything",
        about: "all of it",
        weights: [30, 8, 8, 8, 8, 8, 8, 5, 4, 8, 5, 12, 10, 8, 5, 6],
    },
];

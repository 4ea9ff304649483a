// SPDX-License-Identifier: MPL-2.0
//! The faults and deeds that runs count when they really happen, and the groups in which command
//! lines ask for them.

use super::draw::GROUPS;

/// A kind of fault or deed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultKind {
    /// The group ([`GROUPS`]).
    pub group: &'static str,
    /// What runs count it as.
    pub name: &'static str,
}

const fn kind(group: &'static str, name: &'static str) -> FaultKind {
    FaultKind { group, name }
}

/// All kinds, by group.
pub const KINDS: &[FaultKind] = &[
    kind("link", "link-broken"),
    kind("link", "link-half-open"),
    kind("link", "link-held"),
    kind("link", "link-damage"),
    kind("link", "link-slow-reader"),
    kind("link", "link-latency"),
    kind("link", "link-jitter"),
    kind("link", "link-bandwidth"),
    kind("link", "link-pieces"),
    kind("door", "door-eagain"),
    kind("door", "door-eintr"),
    kind("door", "door-e2big"),
    kind("door", "door-ebadf"),
    kind("door", "door-result"),
    kind("door", "door-no-thread"),
    kind("relay", "relay-killed"),
    kind("relay", "relay-stop"),
    kind("relay", "relay-replaced"),
    kind("kernel", "post-failed"),
    kind("kernel", "memory-ioctl-buffer"),
    kind("kernel", "memory-proxy-port"),
    kind("kernel", "memory-session"),
    kind("kernel", "memory-proxy-task"),
    kind("kernel", "memory-stmf-task"),
    kind("kernel", "slow-registration"),
    kind("kernel", "service-disabled"),
    kind("kernel", "service-enabled"),
    kind("node", "power-off"),
    kind("node", "pause"),
    kind("disk", "disk-slow"),
    kind("disk", "disk-read-error"),
    kind("disk", "disk-write-error"),
    kind("operator", "alua-off"),
    kind("operator", "alua-on"),
    kind("operator", "failover"),
    kind("operator", "lu-removed"),
    kind("operator", "lu-standby"),
    kind("operator", "port-removed"),
];

/// The group of something that happened: that of its kind; of kinds that are not listed, the
/// group with whose name it begins; none if there is no such group.
pub fn group_of(name: &str) -> Option<&'static str> {
    let listed = KINDS.iter().find(|kind| kind.name == name);
    let begins = |group: &&&str| {
        name.strip_prefix(**group)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    listed
        .map(|kind| kind.group)
        .or_else(|| GROUPS.iter().find(begins).copied())
}

/// Which groups are meant by the words of a command line: names of groups, `all`, `none`.
///
/// # Errors
///
/// The word that is none of these, or that does not go with the others.
pub fn groups(words: &str) -> Result<Vec<&'static str>, String> {
    let words: Vec<&str> = words.split(',').map(str::trim).collect();
    match words[..] {
        ["all"] => return Ok(GROUPS.to_vec()),
        ["none"] => return Ok(Vec::new()),
        _ => {}
    }
    let mut chosen = Vec::new();
    for group in GROUPS {
        if words.contains(&group) {
            chosen.push(group);
        }
    }
    match words.iter().find(|word| !GROUPS.contains(word)) {
        None => Ok(chosen),
        Some(word @ (&"all" | &"none")) => Err(format!("{word} stands alone")),
        Some(word) => Err(format!(
            "there is no group of faults {word:?}; there are {}, and all and none",
            GROUPS.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_of_a_group_and_listed_once() {
        for (place, kind) in KINDS.iter().enumerate() {
            assert!(GROUPS.contains(&kind.group), "{kind:?}");
            let first = KINDS.iter().position(|other| other.name == kind.name);
            assert_eq!(first, Some(place), "{kind:?}");
            assert_eq!(group_of(kind.name), Some(kind.group));
        }
    }

    #[test]
    fn kinds_that_are_not_listed_go_by_their_names() {
        assert_eq!(group_of("link-of-a-new-kind"), Some("link"));
        assert_eq!(group_of("linkage"), None);
        assert_eq!(group_of("nonsense"), None);
    }

    #[test]
    fn groups_are_chosen_by_name() {
        assert_eq!(groups("all").unwrap(), GROUPS);
        assert!(groups("none").unwrap().is_empty());
        assert_eq!(groups("node, link,link").unwrap(), ["link", "node"]);
        for bad in ["", "all,link", "none,none", "links", "link,,node"] {
            assert!(groups(bad).is_err(), "{bad:?}");
        }
        let error = groups("weather").unwrap_err();
        assert!(error.contains("link, door, relay"), "{error}");
    }
}

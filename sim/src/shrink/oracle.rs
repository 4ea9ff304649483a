// SPDX-License-Identifier: MPL-2.0
//! What must stay while a trace is cut: which findings count as the failure that is looked for.

use crate::findings::{Finding, Kind};
use std::fmt;

/// The failure that must stay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    kind: Kind,
    /// What the finding says, without numbers; none if any finding of the kind will do.
    words: Option<String>,
}

impl Wanted {
    /// A failure like this one: of its kind, and with its words, whatever numbers stand in them.
    /// So a cut does not slip to another failure of the same kind.
    pub fn like(finding: &Finding) -> Wanted {
        Wanted {
            kind: finding.kind,
            words: Some(words(&finding.text)),
        }
    }

    /// Any failure of this kind.
    pub fn any(kind: Kind) -> Wanted {
        Wanted { kind, words: None }
    }

    /// What it says, with `#` for every word that has a digit; empty if any finding of the kind
    /// will do.
    pub fn words(&self) -> &str {
        self.words.as_deref().unwrap_or_default()
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a finding is the failure.
    pub fn is_shown_by(&self, finding: &Finding) -> bool {
        let same = |wanted: &String| *wanted == words(&finding.text);
        finding.kind == self.kind && self.words.as_ref().is_none_or(same)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.words {
            Some(words) => write!(f, "{}: {words}", self.kind),
            None => write!(f, "any {}", self.kind),
        }
    }
}

/// The first line of a text with every word in it that has a digit replaced by `#`: numbers of
/// nodes and tags, times, names of ports and LUs.
fn words(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let in_word = |c: char| c.is_alphanumeric();
        let end = match in_word(first) {
            true => rest.find(|c| !in_word(c)).unwrap_or(rest.len()),
            false => rest.find(in_word).unwrap_or(rest.len()),
        };
        let (piece, after) = rest.split_at(end);
        match piece.chars().any(|c| c.is_ascii_digit()) {
            true => out.push('#'),
            false => out.push_str(piece),
        }
        rest = after;
    }
    out
}

/// Other names under which a command line may ask for a kind.
const ALIASES: [(&str, Kind); 4] = [
    ("panic", Kind::ProgramPanic),
    ("corrupted-data", Kind::CorruptData),
    ("refused", Kind::RefusedMessage),
    ("lost", Kind::LostCommand),
];

/// The kind that a command line names.
///
/// # Errors
///
/// A text that lists all names.
pub fn kind_by_name(name: &str) -> Result<Kind, String> {
    let alias = || ALIASES.iter().find(|(alias, _)| *alias == name);
    if let Some(kind) = Kind::by_name(name).or_else(|| alias().map(|(_, kind)| *kind)) {
        return Ok(kind);
    }
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let names = names.join(", ");
    Err(format!(
        "no failure is called so; there are {names}, and panic for program-panic"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stmf_proxy::time::Time;

    fn finding(kind: Kind, text: &str) -> Finding {
        Finding {
            kind,
            time: Time::ZERO,
            node: None,
            text: text.into(),
        }
    }

    #[test]
    fn numbers_do_not_matter_and_words_do() {
        let first = finding(
            Kind::NodePanic,
            "node 1 panicked: session 0x17 of wwn.5001 (trap 2)\n  since 4 s",
        );
        let wanted = Wanted::like(&first);
        assert_eq!(
            wanted.to_string(),
            "node-panic: node # panicked: session # of wwn.# (trap #)"
        );
        let again = "node 0 panicked: session 9 of wwn.5002 (trap 12)";
        assert!(wanted.is_shown_by(&finding(Kind::NodePanic, again)));
        assert!(!wanted.is_shown_by(&finding(Kind::Hang, again)));
        let other = finding(Kind::NodePanic, "node 0 panicked: no TransportID (trap 4)");
        assert!(!wanted.is_shown_by(&other));
        assert!(Wanted::any(Kind::NodePanic).is_shown_by(&other));
    }

    #[test]
    fn kinds_are_found_by_name_and_alias() {
        for kind in Kind::ALL {
            assert_eq!(kind_by_name(kind.name()), Ok(kind));
        }
        assert_eq!(kind_by_name("panic"), Ok(Kind::ProgramPanic));
        let error = kind_by_name("oops").unwrap_err();
        assert!(error.contains("deadlock, hang, "), "{error}");
    }
}

// SPDX-License-Identifier: MPL-2.0
//! Where a replay and its recording part, told for people.

use std::fmt;
use stmf_proxy::time::Time;

/// In which way they part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DivergenceKind {
    /// Something came, but not as recorded.
    Differs,
    /// What was recorded never came.
    NeverCame,
    /// Something came that was not recorded.
    NotRecorded,
    /// What was recorded came to its end, and here it never does.
    NeverEnds,
    /// What ends here never did in the recording.
    Ends,
    /// The simulated kernel panics, the recorded one went on.
    Panics,
}

impl DivergenceKind {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            DivergenceKind::Differs => "came otherwise than recorded",
            DivergenceKind::NeverCame => "was recorded and never comes",
            DivergenceKind::NotRecorded => "comes and was not recorded",
            DivergenceKind::NeverEnds => "ended in the recording and never ends here",
            DivergenceKind::Ends => "ends here and never ended in the recording",
            DivergenceKind::Panics => "the simulated kernel panics, the recorded one went on",
        }
    }
}

/// A field of what was recorded and of what came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its recorded value, if there is one.
    pub recorded: Option<String>,
    /// Its simulated value, if there is one.
    pub simulated: Option<String>,
    /// Whether the two are to be the same and are not.
    pub differs: bool,
}

/// An event of the recording near the divergence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Near {
    pub(super) here: bool,
    pub(super) line: String,
}

/// The first thing in which a replay differs from its recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// In which way.
    pub kind: DivergenceKind,
    /// Sequence number of the recorded event at which it showed.
    pub sequence: u64,
    /// The time of that event.
    pub time: Time,
    /// Virtual time of the replay when it showed.
    pub now: Time,
    /// What it is about, as "upcall: scsi_status".
    pub what: String,
    /// What was recorded and what came, field by field.
    pub fields: Vec<Field>,
    /// Threads of the simulated kernel that wait, as far as they say why.
    pub blocked: Vec<String>,
    /// The last lines of its log.
    pub log: Vec<String>,
    pub(super) near: Vec<Near>,
}

/// A value is shown up to this length.
const VALUE_MAX: usize = 48;

fn shown(value: Option<&String>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value.chars().count() > VALUE_MAX => {
            let front: String = value.chars().take(VALUE_MAX - 3).collect();
            format!("{front}...")
        }
        Some(value) => value.clone(),
    }
}

impl Divergence {
    /// Events of the recording around its place, one a line; the place itself is marked.
    pub fn near(&self) -> impl Iterator<Item = (bool, &str)> {
        self.near.iter().map(|near| (near.here, near.line.as_str()))
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.what, self.kind.name())?;
        writeln!(
            f,
            "at event {} of the recording, {} s; virtual time {} s",
            self.sequence, self.time, self.now
        )?;
        if !self.fields.is_empty() {
            writeln!(f, "\n    {:26} {:<22} simulated", "", "recorded")?;
        }
        for field in &self.fields {
            let (recorded, simulated) = (
                shown(field.recorded.as_ref()),
                shown(field.simulated.as_ref()),
            );
            let mark = if field.differs { '>' } else { ' ' };
            if recorded.len() > 21 || simulated.len() > 40 {
                writeln!(
                    f,
                    "{}",
                    format!("  {mark} {:26} {recorded}", field.name).trim_end()
                )?;
                if field.differs {
                    writeln!(f, "  {mark} {:49} {simulated}", "")?;
                }
            } else {
                let line = format!("  {mark} {:26} {recorded:<22} {simulated}", field.name);
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        for (title, lines) in [
            ("threads that wait", &self.blocked),
            ("the kernel's log", &self.log),
        ] {
            if !lines.is_empty() {
                writeln!(f, "\n{title}")?;
            }
            for line in lines {
                writeln!(f, "    {line}")?;
            }
        }
        if !self.near.is_empty() {
            writeln!(f, "\nthe recording")?;
        }
        for near in &self.near {
            let mark = if near.here { '>' } else { ' ' };
            writeln!(f, "  {mark} {}", near.line)?;
        }
        Ok(())
    }
}

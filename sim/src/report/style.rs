// SPDX-License-Identifier: MPL-2.0
//! Colour, where a person looks at a terminal, and nowhere else.

use std::io::{IsTerminal, Write};

/// How a piece of text is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// Plain text.
    Plain,
    /// A heading.
    Heading,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Perhaps not as it should be.
    Warn,
    /// Of less interest.
    Faint,
}

/// Whether text is coloured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Style {
    coloured: bool,
}

impl Style {
    /// No colour.
    pub const PLAIN: Style = Style { coloured: false };
    /// Colour, wherever it goes.
    pub const COLOURED: Style = Style { coloured: true };

    /// Colour if standard output is a terminal that can show it and the user has not asked for
    /// none (a non-empty environment variable NO_COLOR, <https://no-color.org>).
    pub fn of_standard_output() -> Style {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Style {
            coloured: std::io::stdout().is_terminal() && !unwanted && !dumb,
        }
    }

    /// The text, in the tone's colour.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.coloured => return text.to_string(),
            Tone::Plain => return text.to_string(),
            Tone::Heading => "1",
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Warn => "33",
            Tone::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// One line on standard error that is written over as work goes on; nothing where standard
/// error is no terminal.
pub struct Progress {
    shown: bool,
    width: usize,
    last: Option<std::time::Instant>,
}

impl Progress {
    /// The least time between two versions of the line.
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

    /// A line on standard error, if that is a terminal and `wanted`.
    pub fn new(wanted: bool) -> Progress {
        Progress {
            shown: wanted && std::io::stderr().is_terminal(),
            width: 0,
            last: None,
        }
    }

    /// Shows the text that `line` makes, unless the line was changed a moment ago.
    pub fn show(&mut self, line: impl FnOnce() -> String) {
        if !self.shown || self.last.is_some_and(|last| last.elapsed() < Self::PAUSE) {
            return;
        }
        self.last = Some(std::time::Instant::now());
        let line = line();
        let width = line.chars().count();
        let blank = self.width.saturating_sub(width);
        eprint!("\r{line}{:blank$}", "");
        let _ = std::io::stderr().flush();
        self.width = width;
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.shown && self.width > 0 {
            eprint!("\r{:width$}\r", "", width = self.width);
            let _ = std::io::stderr().flush();
            self.width = 0;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_wraps_and_plain_does_not() {
        assert_eq!(Style::PLAIN.paint(Tone::Bad, "lost"), "lost");
        assert_eq!(
            Style::COLOURED.paint(Tone::Bad, "lost"),
            "\x1b[1;31mlost\x1b[0m"
        );
        assert_eq!(Style::COLOURED.paint(Tone::Plain, "text"), "text");
    }
}

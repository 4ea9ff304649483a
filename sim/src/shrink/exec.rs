// SPDX-License-Identifier: MPL-2.0
//! A command of the user's that says whether a trace still fails.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A command, as a shell takes it. `{}` in it stands for the trace; if it has none, the trace
/// comes last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exec {
    /// The command.
    pub command: String,
    /// How long it may take for one trace.
    pub patience: Duration,
}

/// How long a command may take unless told otherwise.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);

/// Why a command says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It cannot be started.
    #[error("cannot start the command with sh: {0}")]
    Start(std::io::Error),
    /// The shell does not find it, or may not start it: that is no failure of the trace's.
    #[error("sh cannot start the command (exit status {0}); is it there, and executable?")]
    NotFound(i32),
}

impl Exec {
    /// Whether the command fails for this trace: ends with a status other than 0, or by a
    /// signal. One that takes too long is ended, and counts as one that does not fail.
    ///
    /// # Errors
    ///
    /// If it says nothing.
    pub fn fails(&self, trace: &Path) -> Result<bool, ExecError> {
        const PAUSE: Duration = Duration::from_millis(2);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(self.line(trace));
        shell
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // In a group of its own, so that all that it starts can be ended.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let mut child = shell.spawn().map_err(ExecError::Start)?;
        let started = Instant::now();
        loop {
            match child.try_wait().map_err(ExecError::Start)? {
                Some(status) => {
                    return match status.code() {
                        Some(code @ (126 | 127)) => Err(ExecError::NotFound(code)),
                        Some(code) => Ok(code != 0),
                        None => Ok(true),
                    };
                }
                None if started.elapsed() > self.patience => {
                    let group = format!("-{}", child.id());
                    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
                    let _ = child.kill();
                    let _ = child.wait();
                    return Ok(false);
                }
                None => std::thread::sleep(PAUSE),
            }
        }
    }

    fn line(&self, trace: &Path) -> String {
        let path = format!("'{}'", trace.to_string_lossy().replace('\'', r"'\''"));
        match self.command.contains("{}") {
            true => self.command.replace("{}", &path),
            false => format!("{} {path}", self.command),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(command: &str, patience: u64) -> Exec {
        Exec {
            command: command.into(),
            patience: Duration::from_secs(patience),
        }
    }

    #[test]
    fn the_trace_is_put_in_quoted() {
        let trace = Path::new("/tmp/it's a trace");
        assert_eq!(
            exec("look {} now", 1).line(trace),
            r"look '/tmp/it'\''s a trace' now"
        );
        assert_eq!(exec("look", 1).line(trace), r"look '/tmp/it'\''s a trace'");
    }

    #[test]
    fn the_exit_status_decides() {
        let trace = Path::new("/dev/null");
        assert!(!exec("test -e", 60).fails(trace).unwrap());
        assert!(exec("test -d", 60).fails(trace).unwrap());
        assert!(exec("kill -KILL $$ #", 60).fails(trace).unwrap());
        assert!(matches!(
            exec("there-is-no-such-command", 60).fails(trace),
            Err(ExecError::NotFound(127))
        ));
    }

    #[test]
    fn one_that_takes_too_long_does_not_fail() {
        assert!(
            !exec("sleep 1000; false #", 0)
                .fails(Path::new("/dev/null"))
                .unwrap()
        );
    }
}

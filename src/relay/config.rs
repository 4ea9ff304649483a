// SPDX-License-Identifier: MPL-2.0
//! Settings of a relay and their bounds.

use std::time::Duration;

use super::classify::by_object;
use super::subject::Classifier;
use crate::link::demo::DemoConfig;
use crate::link::greeting::{NAME_MAX, VERSION_HIGH, VERSION_LOW};
use crate::link::{KEEPALIVE_LONGEST, LinkTimes, Node, Role};

/// The most that [`Config::max_message`] may be: 1 GiB.
pub const MESSAGE_BOUND: usize = 1 << 30;

/// Which link to speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkConfig {
    /// The link of this project (`docs/link.md`).
    Default {
        /// Name of the pair of nodes, 1 to 255 bytes: relays of different pairs refuse each other.
        pair: String,
        /// Name of this host, for the peer's log, at most 255 bytes.
        host: String,
        /// Number of this node. Independent of the role: a wrong number is found and reported.
        node: Node,
        /// Which end connects.
        role: Role,
    },
    /// The link of the field's demonstration daemon.
    Demo(DemoConfig),
}

/// What becomes of the open proxy door while no link stands.
///
/// While the handle is open without a link, every upcall is answered with an errno, which the
/// kernel takes for sent: a command that came down the standby path then hangs until its time-out
/// of 75 s, and what the peer's kernel ends meanwhile (ports, sessions) stays here. With the
/// handle closed the kernel clears all that the peer registered, and commands on the standby path
/// fail at once as not ready, so that initiators take another path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlePolicy {
    /// Keep it. It is closed nevertheless before a peer that has booted since is served.
    Keep,
    /// Close it when no link has stood for so long (zero: at once), and open it again when the
    /// peer is back. A peer that has greeted but is not ready itself counts for none as well, once
    /// it has had at least [`LinkTimes::greeting_timeout`] to become so.
    CloseAfter(Duration),
}

/// Settings of a relay. [`Config::new`] gives defaults for all but the link.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which link, and who we are on it.
    pub link: LinkConfig,
    /// Lowest and highest version of the default link that is offered. Default: all that are spoken
    /// here. A relay that offers others is of use to those who test how versions agree; all of them
    /// look alike on the link.
    pub link_versions: (u16, u16),
    /// Tells what a message is about. Default [`by_object`].
    pub classifier: Classifier,
    /// Seed of the relay's own random numbers (session numbers, jitter). Must differ between
    /// processes and starts: the driver draws it.
    pub seed: u64,
    /// The times of the link.
    pub times: LinkTimes,
    /// Longest message in bytes, either way. Default 64 MiB; 1 to [`MESSAGE_BOUND`].
    pub max_message: usize,
    /// Most bytes that wait to be sent; when an upcall would pass it, the link is given up.
    /// Default 128 MiB; at least `max_message` and 4 KiB for frame headers.
    pub send_queue_bytes: usize,
    /// Most bytes of messages that wait for posting or are being posted; when a message from the
    /// peer would pass it, the link is given up. Default 128 MiB; at least `max_message`.
    pub post_queue_bytes: usize,
    /// Most messages that wait for posting or are being posted. Default 16,384, at least 1.
    pub post_queue_messages: usize,
    /// Most posts in progress at once, each a thread that the kernel may hold for as long as it
    /// likes. Default 32, at least 1.
    pub posts_in_flight: usize,
    /// Most of these that are registrations and the like ([`Lane::slow`](super::Lane::slow)).
    /// Default 8, at least 1. With this below `posts_in_flight`, registrations cannot keep
    /// commands waiting for a thread.
    pub slow_posts_in_flight: usize,
    /// What becomes of the handle while no link stands. Default: closed after 5 s.
    pub handle_without_link: HandlePolicy,
    /// Delay before a failed opening of the proxy door is tried again (but the first, which
    /// ends the relay). Default 1 s, at least 1 ms.
    pub reopen_delay: Duration,
    /// A post that takes longer is reported. Default 30 s, at least 1 ms. Nothing else is done
    /// about it: the kernel gives no way to end it.
    pub post_patience: Duration,
}

/// Bytes of frame headers that must fit into the send queue beside the longest message.
pub const SEND_QUEUE_SLACK: usize = 4096;

impl Config {
    /// Defaults for a link.
    pub fn new(link: LinkConfig, seed: u64) -> Config {
        Config {
            link,
            link_versions: (VERSION_LOW, VERSION_HIGH),
            classifier: by_object,
            seed,
            times: LinkTimes::default(),
            max_message: 64 << 20,
            send_queue_bytes: 128 << 20,
            post_queue_bytes: 128 << 20,
            post_queue_messages: 16_384,
            posts_in_flight: 32,
            slow_posts_in_flight: 8,
            handle_without_link: HandlePolicy::CloseAfter(Duration::from_secs(5)),
            reopen_delay: Duration::from_secs(1),
            post_patience: Duration::from_secs(30),
        }
    }

    /// Number of this node: as configured, or on the demo link what follows from the host names.
    pub fn node(&self) -> Node {
        match &self.link {
            LinkConfig::Default { node, .. } => *node,
            LinkConfig::Demo(demo) => demo.node(),
        }
    }

    /// Which end of the transport this relay is.
    pub fn role(&self) -> Role {
        match &self.link {
            LinkConfig::Default { role, .. } => *role,
            LinkConfig::Demo(demo) => demo.role(),
        }
    }

    /// Whether every setting is within its bounds.
    pub fn check(&self) -> Result<(), ConfigError> {
        let at_least = |setting, value: usize, least| {
            if value < least {
                Err(ConfigError::TooSmall {
                    setting,
                    value,
                    least,
                })
            } else {
                Ok(())
            }
        };
        at_least("max_message", self.max_message, 1)?;
        if self.max_message > MESSAGE_BOUND {
            let (value, most) = (self.max_message, MESSAGE_BOUND);
            return Err(ConfigError::TooLarge {
                setting: "max_message",
                value,
                most,
            });
        }
        let least = self.max_message.saturating_add(SEND_QUEUE_SLACK);
        at_least("send_queue_bytes", self.send_queue_bytes, least)?;
        at_least("post_queue_bytes", self.post_queue_bytes, self.max_message)?;
        at_least("post_queue_messages", self.post_queue_messages, 1)?;
        at_least("posts_in_flight", self.posts_in_flight, 1)?;
        at_least("slow_posts_in_flight", self.slow_posts_in_flight, 1)?;
        self.check_times()?;
        match &self.link {
            LinkConfig::Default { pair, host, .. } => {
                check_name("pair", pair, 1)?;
                check_name("host", host, 0)
            }
            LinkConfig::Demo(demo) => {
                check_name("host", &demo.host, 1)?;
                check_name("listening_host", &demo.listening_host, 1)
            }
        }
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        const SHORTEST: Duration = Duration::from_millis(1);
        let times = &self.times;
        let at_least = |setting, value: Duration, least| {
            if value < least {
                Err(ConfigError::TooShort {
                    setting,
                    value,
                    least,
                })
            } else {
                Ok(())
            }
        };
        at_least("connect_timeout", times.connect_timeout, SHORTEST)?;
        at_least("greeting_timeout", times.greeting_timeout, SHORTEST)?;
        at_least("keepalive_interval", times.keepalive_interval, SHORTEST)?;
        let most = KEEPALIVE_LONGEST;
        if times.keepalive_interval > most {
            let value = times.keepalive_interval;
            return Err(ConfigError::TooLong {
                setting: "keepalive_interval",
                value,
                most,
            });
        }
        let twice = times.keepalive_interval * 2;
        at_least("dead_peer_time", times.dead_peer_time, twice)?;
        at_least("backoff_first", times.backoff_first, SHORTEST)?;
        at_least("backoff_max", times.backoff_max, times.backoff_first)?;
        at_least("reopen_delay", self.reopen_delay, SHORTEST)?;
        at_least("post_patience", self.post_patience, SHORTEST)
    }
}

fn check_name(setting: &'static str, name: &str, least: usize) -> Result<(), ConfigError> {
    let length = name.len();
    if length < least || length > NAME_MAX {
        Err(ConfigError::NameLength {
            setting,
            length,
            least,
            most: NAME_MAX,
        })
    } else if name.contains('\0') {
        Err(ConfigError::NulInName { setting })
    } else {
        Ok(())
    }
}

/// A setting out of its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A number is too small.
    #[error("{setting} is {value}, it must be at least {least}")]
    TooSmall {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: usize,
        /// The bound.
        least: usize,
    },
    /// A number is too large.
    #[error("{setting} is {value}, it must be at most {most}")]
    TooLarge {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: usize,
        /// The bound.
        most: usize,
    },
    /// A time is too short.
    #[error("{setting} is {value:?}, it must be at least {least:?}")]
    TooShort {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: Duration,
        /// The bound.
        least: Duration,
    },
    /// A time is too long.
    #[error("{setting} is {value:?}, it must be at most {most:?}")]
    TooLong {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: Duration,
        /// The bound.
        most: Duration,
    },
    /// A name is too short or too long for the greeting.
    #[error("{setting} is {length} bytes long, it must have {least} to {most}")]
    NameLength {
        /// Name of the setting.
        setting: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
    /// A name holds a NUL, which the greeting cannot carry.
    #[error("{setting} holds a NUL byte")]
    NulInName {
        /// Name of the setting.
        setting: &'static str,
    },
}

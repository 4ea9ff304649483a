// SPDX-License-Identifier: MPL-2.0
//! Steps of recordings of the active side.

use serde::Deserialize;
use serde_json::Value;
use stmf_proxy::message::{EncodeError, Message, hex};
use stmf_proxy::status::Errno;
use thiserror::Error;

/// Why a line is not a step.
#[derive(Debug, Error)]
pub enum InputError {
    /// Not JSON, or not the object that a step is.
    #[error("not a step: {0}")]
    Json(#[from] serde_json::Error),
    /// A message that no kernel sends.
    #[error("\"msg\" cannot be encoded: {0}")]
    Message(#[from] EncodeError),
    /// The bytes of a message are not hexadecimal.
    #[error("\"wire\" is not hexadecimal: {0}")]
    Wire(#[from] hex::HexError),
    /// A value of a step of a whole node that cannot be used.
    #[error(transparent)]
    Node(#[from] super::StepError),
    /// Not an error number.
    #[error("\"errno\" is {name:?}; expected a name such as EAGAIN")]
    Errno {
        /// What stands there.
        name: String,
    },
    /// Both or neither of two fields that exclude each other.
    #[error("{op:?} takes either {one:?} or {other:?}")]
    Either {
        /// The step.
        op: &'static str,
        /// One of the fields.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
}

fn version_1() -> u32 {
    1
}

fn yes() -> bool {
    true
}

fn once() -> u64 {
    1
}

/// What the kernel checks of every ioctl.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct IoctlFields {
    /// The version of the argument structure.
    #[serde(default = "version_1")]
    pub version: u32,
    /// Whether the caller is privileged.
    #[serde(default = "yes", rename = "priv")]
    pub privileged: bool,
}

/// A step. Fields that are not known are passed over.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Input {
    /// Opens the device.
    Open,
    /// Closes it.
    Close,
    /// Installs the door.
    #[serde(alias = "install_again")]
    Install {
        /// A descriptor that is not a door, to be installed instead.
        fd: Option<i32>,
        /// What is checked.
        #[serde(flatten)]
        ioctl: IoctlFields,
    },
    /// Some other ioctl.
    Ioctl {
        /// Its number, or some name for it.
        cmd: Option<Value>,
        /// What is checked.
        #[serde(flatten)]
        ioctl: IoctlFields,
    },
    /// Posts a message.
    Post {
        /// The message.
        msg: Option<Message>,
        /// Or its bytes.
        wire: Option<String>,
        /// What is checked.
        #[serde(flatten)]
        ioctl: IoctlFields,
    },
    /// Whether commands wait in the LU.
    LuHold {
        /// From now on they do.
        on: bool,
    },
    /// How the door answers.
    Door {
        /// With this result from now on.
        result: Option<u32>,
        /// Or the next calls fail like this,
        errno: Option<String>,
        /// so many of them.
        #[serde(default = "once")]
        times: u64,
    },
}

/// How the door answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DoorAnswer {
    /// With this result from now on.
    Result(u32),
    /// So many times not at all, but with an error.
    Errno(Errno, u64),
}

impl Input {
    /// The step that a line says.
    ///
    /// # Errors
    ///
    /// If it says none.
    pub fn parse(line: &str) -> Result<Input, InputError> {
        Ok(serde_json::from_str(line)?)
    }
}

/// The bytes of a posted message, from one of two fields.
pub(super) fn posted_bytes(
    msg: Option<Message>,
    wire: Option<String>,
    dialect: stmf_proxy::message::Dialect,
) -> Result<Vec<u8>, InputError> {
    match (msg, wire) {
        (Some(message), None) => Ok(message.encode(dialect)?),
        (None, Some(wire)) => Ok(hex::decode(wire.as_bytes())?),
        _ => Err(InputError::Either {
            op: "post",
            one: "msg",
            other: "wire",
        }),
    }
}

/// What a door step asks for.
pub(super) fn door_answer(
    result: Option<u32>,
    errno: Option<String>,
    times: u64,
) -> Result<DoorAnswer, InputError> {
    match (result, errno) {
        (Some(result), None) => Ok(DoorAnswer::Result(result)),
        (None, Some(name)) => match name.parse() {
            Ok(errno) => Ok(DoorAnswer::Errno(errno, times)),
            Err(_) => Err(InputError::Errno { name }),
        },
        _ => Err(InputError::Either {
            op: "door",
            one: "result",
            other: "errno",
        }),
    }
}

// SPDX-License-Identifier: MPL-2.0
//! One event, section or notice as a JSON object on one line. The fields are told in
//! `docs/trace-tools.md`; there may be more of them one day, but these keep their names.

use super::describe::{self, Undecoded};
use super::follow::Context;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use stmf_proxy::message::{Body, Message, hex};
use stmf_proxy::status::Errno;
use stmf_proxy::trace::{ConnectionEnd, Entry, Event, LuAccess, LuOperation, Origin, Section};

/// An object whose fields keep their order.
#[derive(Debug, Default)]
pub(crate) struct Object(Vec<(&'static str, Value)>);

impl Object {
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push((name, value.into()));
    }

    /// Sets a field that is there only if it means something.
    pub(crate) fn set_some(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// The object as one line.
    pub(crate) fn line(&self) -> String {
        // Values of these types can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Where an event stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Sections are counted from 1.
    pub(crate) section: u64,
    /// Nanoseconds since the first event.
    pub(crate) time: i128,
    /// Nanoseconds since 1970, where that is known.
    pub(crate) unix: Option<u64>,
    /// Nanoseconds since what it ends began.
    pub(crate) took: Option<u64>,
}

/// A section.
pub(crate) fn section(number: u64, path: &str, section: &Section) -> Object {
    let mut object = Object::default();
    object.set("section", number);
    object.set("file", path);
    object.set("recorder", &*section.recorder);
    let nodes = section.nodes.iter().map(|(node, dialect)| {
        (
            node.to_string(),
            json!(dialect.map_or("unknown", |dialect| dialect.name())),
        )
    });
    object.set("nodes", Value::Object(nodes.collect()));
    match section.origin {
        Origin::World => object.set("clock", "world"),
        Origin::Unix(nanoseconds) => {
            object.set("clock", "unix");
            object.set("origin_ns", nanoseconds);
        }
    }
    object.set_some("seed", section.seed);
    object.set_some("scenario", section.scenario.as_deref());
    if let Some(keep) = section.snap.keep {
        object.set("data_kept", keep);
        object.set("digests", section.snap.digest);
    }
    if section.part > 0 {
        object.set("part", section.part);
    }
    if section.lost > 0 {
        object.set("lost", section.lost);
    }
    let notes = section.notes.iter();
    let notes = notes.map(|(name, value)| (name.clone(), json!(value)));
    object.set("notes", Value::Object(notes.collect()));
    object
}

/// Something about the file.
pub(crate) fn notice(path: &str, text: &str) -> Object {
    let mut object = Object::default();
    object.set("notice", text);
    object.set("file", path);
    object
}

/// An event.
pub(crate) fn event(
    entry: &Entry<'_>,
    message: Option<Result<Message, Undecoded>>,
    context: &Context,
    place: Place,
    trouble: bool,
    with_data: bool,
) -> Object {
    let record = &entry.record;
    let mut object = Object::default();
    let out = &mut object;
    out.set("event", describe::kind_name(&record.event));
    out.set("section", place.section);
    out.set("sequence", record.sequence);
    // A time that does not fit is not one that a file can have.
    out.set("time_ns", i64::try_from(place.time).unwrap_or(i64::MAX));
    out.set_some("unix_ns", place.unix);
    out.set("node", record.node);
    own(out, record.event, with_data);
    if !record.event.bulk().is_empty() || record.cut.is_some() {
        out.set("length", record.original_length());
    }
    match message {
        None => {}
        Some(Ok(decoded)) => out.set("message", self::message(decoded, with_data)),
        Some(Err(error)) => out.set("damage", error.to_string()),
    }
    if with_data {
        let bulk = record.event.bulk();
        let text = matches!(
            record.event,
            Event::KernelLog(_)
                | Event::RelayLog(_)
                | Event::Fault(_)
                | Event::Step(_)
                | Event::Panic { .. }
        );
        if !bulk.is_empty() && !text {
            out.set("bytes", hex::encode(bulk));
        }
    }
    if let Some(cut) = record.cut {
        out.set("left_out", cut.length);
        out.set("left_out_at", cut.offset);
        out.set_some(
            "left_out_sha256",
            cut.digest.map(|digest| hex::encode(&digest)),
        );
    }
    if let Some(about) = about(context) {
        out.set("about", about);
    }
    out.set_some("took_ns", place.took);
    out.set("trouble", trouble);
    out.set_some("comment", entry.comment);
    out.set_some("hash", record.hash.map(|hash| format!("{hash:016x}")));
    object
}

/// What the events before tell of an event.
fn about(context: &Context) -> Option<Value> {
    let mut about = serde_json::Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            about.insert(name.to_owned(), value);
        }
    };
    set(
        "message",
        context.message_type.map(|kind| json!(kind.name())),
    );
    set("session", context.session.map(Value::from));
    set("task", context.task.map(Value::from));
    set("lun", context.lun.map(|lun| json!(hex::encode(&lun))));
    set("lu", context.lu.map(|lu| json!(hex::encode(&lu))));
    set(
        "cdb",
        context.cdb.map(|cdb| json!(hex::encode(cdb.bytes()))),
    );
    set("initiator", context.command.map(|key| key.initiator.into()));
    set("tag", context.command.map(|key| key.tag.into()));
    (!about.is_empty()).then_some(Value::Object(about))
}

/// A message in its JSON form, data by its length unless it is wanted.
fn message(mut message: Message, with_data: bool) -> Value {
    let mut length = None;
    if !with_data {
        let (name, data) = match &mut message.body {
            Body::ScsiCommand(body) => ("immed_data", &mut body.immed_data),
            Body::ScsiData(body) => ("data", &mut body.data),
            Body::EchoRequest(body) => ("data", &mut body.data),
            Body::EchoReply(body) => ("data", &mut body.data),
            _ => return serde_json::to_value(&message).unwrap_or_default(),
        };
        length = Some((name, data.len()));
        data.clear();
    }
    let mut value = serde_json::to_value(&message).unwrap_or_default();
    if let (Some((name, length)), Some(object)) = (length, value.as_object_mut()) {
        object.remove(name);
        object.insert(format!("{name}_length"), length.into());
    }
    value
}

fn outcome(out: &mut Object, outcome: Result<u32, i32>) {
    match outcome {
        Ok(result) => out.set("result", result),
        Err(number) => {
            out.set("errno", number);
            out.set_some("errno_name", Errno::from_number(number).name());
        }
    }
}

/// The fields of an event apart from its bulk. Names of ports are given as text where they are
/// text, with escapes where they are not.
fn own(out: &mut Object, event: Event<'_>, with_data: bool) {
    let name = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match event {
        Event::Upcall {
            call,
            attempt,
            lock_held,
            ..
        } => {
            out.set("call", call);
            out.set("attempt", attempt);
            out.set("lock_held", lock_held);
        }
        Event::UpcallDone {
            call,
            outcome: answered,
        } => {
            out.set("call", call);
            outcome(out, answered);
        }
        Event::Post { post, .. } => out.set("post", post),
        Event::PostDone {
            post,
            outcome: answered,
        } => {
            out.set("post", post);
            outcome(out, answered.map(|()| 0));
        }
        Event::KernelLog(text) | Event::RelayLog(text) | Event::Fault(text) | Event::Step(text) => {
            out.set("text", text);
        }
        Event::Panic { trap, reason } => {
            out.set("trap", trap);
            out.set("text", reason);
        }
        Event::Boot { boot } => out.set("boot", boot),
        Event::AluaState {
            enabled,
            number,
            outcome: answered,
        } => {
            out.set("enabled", enabled);
            out.set("number", number);
            outcome(out, answered.map(|()| 0));
        }
        Event::LuAccess { lu, access } => {
            out.set("lu", hex::encode(&lu));
            out.set(
                "access",
                match access {
                    LuAccess::Standby => "standby",
                    LuAccess::Active => "active",
                    LuAccess::Gone => "gone",
                },
            );
        }
        Event::Connect { connection }
        | Event::Connected { connection }
        | Event::Sent { connection, .. }
        | Event::Received { connection, .. } => out.set("connection", connection),
        Event::Disconnected { connection, end } => {
            out.set("connection", connection);
            out.set(
                "end",
                match end {
                    ConnectionEnd::Closed => "closed",
                    ConnectionEnd::Reset => "reset",
                    ConnectionEnd::Refused => "refused",
                    ConnectionEnd::NoAnswer => "no-answer",
                },
            );
        }
        Event::SessionOpened {
            initiator,
            session,
            port,
            name: initiator_port,
        } => {
            out.set("initiator", initiator);
            out.set("session", session);
            out.set("port", name(port));
            out.set("initiator_port", name(initiator_port));
        }
        Event::SessionClosed { initiator, session } => {
            out.set("initiator", initiator);
            out.set("session", session);
        }
        Event::Command {
            initiator,
            tag,
            session,
            lun,
            flags,
            expected,
            cdb,
            ..
        } => {
            out.set("initiator", initiator);
            out.set("tag", tag);
            out.set("session", session);
            out.set("lun", hex::encode(&lun));
            out.set("flags", flags);
            out.set("expected", expected);
            out.set("cdb", hex::encode(cdb));
            out.set("command", super::opcode_name(cdb));
        }
        Event::CommandDone {
            initiator,
            tag,
            status,
            residual_flags,
            residual,
            sense,
            ..
        } => {
            out.set("initiator", initiator);
            out.set("tag", tag);
            out.set("status", status);
            out.set("residual_flags", residual_flags);
            out.set("residual", residual);
            out.set("sense", hex::encode(sense));
        }
        Event::Management {
            initiator,
            tag,
            session,
            lun,
            function,
        } => {
            out.set("initiator", initiator);
            out.set("tag", tag);
            out.set("session", session);
            out.set("lun", hex::encode(&lun));
            out.set("function", function);
        }
        Event::ManagementDone {
            initiator,
            tag,
            status,
        } => {
            out.set("initiator", initiator);
            out.set("tag", tag);
            out.set("status", status);
        }
        Event::Aborted { initiator, tag } | Event::TimedOut { initiator, tag } => {
            out.set("initiator", initiator);
            out.set("tag", tag);
        }
        Event::Call { call, step } => {
            out.set("call", call);
            out.set("step", describe::step_name(step));
        }
        Event::CallDone {
            call,
            step,
            outcome: answered,
        } => {
            out.set("call", call);
            out.set("step", describe::step_name(step));
            outcome(out, answered.map(|()| 0));
        }
        Event::Lost { events } => out.set("events", events),
        Event::PortAdded {
            port,
            alua,
            buffer_size,
        } => {
            out.set("port", name(port));
            out.set("alua", alua);
            out.set("buffer_size", buffer_size);
        }
        Event::PortRemoved { port } => out.set("port", name(port)),
        Event::LuOperation {
            lu,
            operation,
            outcome: answered,
        } => {
            out.set("lu", hex::encode(&lu));
            out.set(
                "operation",
                match operation {
                    LuOperation::Create => "create",
                    LuOperation::ImportStandby => "import-standby",
                    LuOperation::Import => "import",
                    LuOperation::MakeStandby => "make-standby",
                    LuOperation::Delete => "delete",
                },
            );
            outcome(out, answered.map(|()| 0));
        }
        Event::Other { number, fields, .. } => {
            out.set("number", number);
            if with_data {
                out.set("fields", hex::encode(fields));
            }
        }
        Event::Operation {
            operation,
            steps,
            ended,
            text,
            ..
        } => {
            out.set("number", operation);
            out.set("steps", steps);
            out.set("ended", ended);
            // The simulator's own form is JSON; what is none is given as text.
            match serde_json::from_str::<Value>(text) {
                Ok(done) => out.set("operation", done),
                Err(_) => out.set("operation", text),
            }
        }
        Event::RelayStarted
        | Event::RelayEnded
        | Event::PowerOff
        | Event::Unreferenced
        | Event::Choices(_) => {}
    }
}

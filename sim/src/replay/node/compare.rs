// SPDX-License-Identifier: MPL-2.0
//! Comparing what came with what was recorded.

use super::divergence::Field;
use super::happening::Ended;
use super::input::Strictness;
use super::run::Compared;
use serde_json::Value;
use stmf_proxy::message::{Body, Message};
use stmf_proxy::trace::{Event, MAX_BULK, Record};

/// How much is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    pub(super) strictness: Strictness,
    /// Facts about the LU may differ: it is not the recorded one, or its state came from a peer.
    pub(super) facts_may_differ: bool,
    /// Data was cut from the record.
    pub(super) cut: bool,
}

impl Measure {
    fn lenient(&self) -> bool {
        self.strictness.facts && (self.facts_may_differ || self.strictness.after_cut)
    }
}

/// Takes data out of both sides that is not to be compared, or need not be the same.
fn data(
    recorded: &mut Vec<u8>,
    simulated: &mut Vec<u8>,
    measure: &Measure,
    compared: &mut Compared,
) {
    let bytes = recorded.len() as u64;
    let same_length = recorded.len() == simulated.len();
    if measure.cut && (same_length || measure.lenient()) || measure.strictness.cut {
        compared.data_not_compared += bytes;
    } else if measure.lenient() {
        compared.data += bytes;
        if recorded != simulated {
            compared.differ_in_data_only += 1;
        }
    } else {
        compared.data += bytes;
        return;
    }
    recorded.clear();
    simulated.clear();
}

/// Compares a message with the recorded one; both as the recording numbers things. None: they
/// agree, as far as they have to.
pub(super) fn messages(
    recorded: &Message,
    simulated: &Message,
    measure: &Measure,
    compared: &mut Compared,
) -> Option<Vec<Field>> {
    if recorded == simulated && !measure.cut {
        if let Body::ScsiData(sent) = &recorded.body {
            compared.data += sent.data.len() as u64;
        }
        return None;
    }
    let (mut left, mut right) = (recorded.clone(), simulated.clone());
    match (&mut left.body, &mut right.body) {
        (Body::ScsiData(one), Body::ScsiData(other)) => {
            data(&mut one.data, &mut other.data, measure, compared);
        }
        (Body::ScsiCommand(one), Body::ScsiCommand(other)) => {
            data(
                &mut one.immed_data,
                &mut other.immed_data,
                measure,
                compared,
            );
        }
        (Body::EchoReply(one), Body::EchoReply(other)) => {
            data(&mut one.data, &mut other.data, measure, compared);
        }
        (Body::ScsiStatus(one), Body::ScsiStatus(other)) => {
            if measure.lenient() || measure.strictness.cut {
                (other.flags, other.resid) = (one.flags, one.resid);
            }
            if measure.strictness.cut {
                compared.outcomes_not_compared += 1;
                other.status = one.status;
                other.sense.clone_from(&one.sense);
            }
        }
        _ => {}
    }
    if left == right {
        return None;
    }
    // The report shows everything, and marks what had to agree.
    let marked = differing(&value(&left), &value(&right));
    let mut fields = fields(&value(recorded), &value(simulated));
    for field in &mut fields {
        field.differs = marked.contains(&field.name);
    }
    Some(fields)
}

/// Compares the end of a command with the recorded one.
pub(super) fn ends(
    recorded: &Ended,
    simulated: &Ended,
    measure: &Measure,
    compared: &mut Compared,
) -> Option<Vec<Field>> {
    if measure.strictness.cut {
        compared.outcomes_not_compared += 1;
        return None;
    }
    let (mut left, mut right) = (recorded.clone(), simulated.clone());
    data(&mut left.data, &mut right.data, measure, compared);
    if measure.lenient() {
        (right.residual_flags, right.residual) = (left.residual_flags, left.residual);
    }
    if left == right {
        return None;
    }
    let marked = differing(&ended_value(&left), &ended_value(&right));
    let mut fields = fields(&ended_value(recorded), &ended_value(simulated));
    for field in &mut fields {
        field.differs = marked.contains(&field.name);
    }
    Some(fields)
}

/// The end of a command, of the record that tells of it; zeros stand for what was cut.
pub(super) fn ended(record: &Record<'_>) -> Option<Ended> {
    match record.event {
        Event::CommandDone {
            status,
            residual_flags,
            residual,
            sense,
            data,
            ..
        } => Some(Ended {
            status,
            residual_flags,
            residual,
            sense: sense.to_vec(),
            data: match record.cut {
                Some(cut) => cut.fill(data, MAX_BULK).unwrap_or_else(|| data.to_vec()),
                None => data.to_vec(),
            },
        }),
        Event::ManagementDone { status, .. } => Some(Ended {
            status,
            ..Ended::default()
        }),
        _ => None,
    }
}

/// The fields of a message that was recorded, or came, alone.
pub(super) fn message_fields(
    recorded: Option<&Message>,
    simulated: Option<&Message>,
) -> Vec<Field> {
    let side = |message: Option<&Message>| message.map_or(Value::Null, value);
    let mut fields = fields(&side(recorded), &side(simulated));
    fields.iter_mut().for_each(|field| field.differs = false);
    fields
}

fn value(message: &Message) -> Value {
    serde_json::to_value(message).unwrap_or(Value::Null)
}

fn ended_value(ended: &Ended) -> Value {
    use stmf_proxy::message::hex;
    serde_json::json!({
        "status": ended.status,
        "residual_flags": ended.residual_flags,
        "residual": ended.residual,
        "sense": hex::encode(&ended.sense),
        "data": hex::encode(&ended.data),
    })
}

fn differing(recorded: &Value, simulated: &Value) -> Vec<String> {
    fields(recorded, simulated)
        .into_iter()
        .filter(|field| field.differs)
        .map(|field| field.name)
        .collect()
}

/// The fields of two objects side by side, embedded ones taken apart.
fn fields(recorded: &Value, simulated: &Value) -> Vec<Field> {
    let mut left = Vec::new();
    let mut right = Vec::new();
    flatten("", recorded, &mut left);
    flatten("", simulated, &mut right);
    let mut names: Vec<&String> = left.iter().map(|(name, _)| name).collect();
    let known = names.len();
    for (name, _) in &right {
        if !names[..known].contains(&name) {
            names.push(name);
        }
    }
    let find = |side: &[(String, String)], name: &String| {
        let found = side.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.clone())
    };
    let field = |name: &String| {
        let (recorded, simulated) = (find(&left, name), find(&right, name));
        let differs = recorded != simulated;
        let (recorded, simulated) = shortened(recorded, simulated);
        Field {
            name: name.clone(),
            recorded,
            simulated,
            differs,
        }
    };
    names.into_iter().map(field).collect()
}

fn flatten(prefix: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(object) => {
            for (name, value) in object {
                let name = match prefix {
                    "" => name.clone(),
                    prefix => format!("{prefix}.{name}"),
                };
                flatten(&name, value, out);
            }
        }
        Value::String(text) => out.push((prefix.to_owned(), text.clone())),
        other => out.push((prefix.to_owned(), other.to_string())),
    }
}

/// Long values are shown by their length and the place where they differ.
fn shortened(one: Option<String>, other: Option<String>) -> (Option<String>, Option<String>) {
    const LONG: usize = 64;
    let longest = one.as_ref().map_or(0, String::len);
    if longest.max(other.as_ref().map_or(0, String::len)) <= LONG {
        return (one, other);
    }
    let place = match (&one, &other) {
        (Some(one), Some(other)) => one
            .bytes()
            .zip(other.bytes())
            .position(|(one, other)| one != other)
            .unwrap_or(one.len().min(other.len())),
        _ => 0,
    };
    // Two hexadecimal digits are a byte.
    let byte = place / 2;
    let short = |value: Option<String>| {
        value.map(|value| {
            let part: String = value.chars().skip(byte * 2).take(16).collect();
            format!("{} bytes, {part} at {byte}", value.len() / 2)
        })
    };
    (short(one), short(other))
}

// SPDX-License-Identifier: MPL-2.0
//! The JSON form of messages, for people, tools and recorded tests.
//!
//! Writing keeps the order of the fields; reading takes them in any order and is strict: a field
//! that is unknown, missing, given twice or of the wrong type is refused, by name.

use super::{
    Body, DeregisterProxyPort, DeviceId, EchoReply, EchoRequest, LunMessage, Message, MessageType,
    ReadyToTransfer, RegisterProxyPort, ScsiCommand, ScsiData, ScsiDataTransferDone, ScsiStatus,
    SessionMessage, Status, hex,
};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use std::fmt;

/// Bytes as a hexadecimal string.
struct Hex<'a>(&'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

/// Bytes as a string of the characters U+0000 to U+00FF.
struct Latin1<'a>(&'a [u8]);

impl Serialize for Latin1<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self.0.iter().copied().map(char::from).collect();
        serializer.serialize_str(&text)
    }
}

impl Serialize for DeviceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("protocol_id", &self.protocol_id)?;
        map.serialize_entry("code_set", &self.code_set)?;
        map.serialize_entry("piv", &self.piv)?;
        map.serialize_entry("association", &self.association)?;
        map.serialize_entry("ident_type", &self.ident_type)?;
        map.serialize_entry("ident", &Hex(&self.ident))?;
        map.end()
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.message_type().name())?;
        map.serialize_entry("msgid", &self.msgid)?;
        match &self.body {
            Body::RegisterProxyPort(port) => {
                map.serialize_entry("port_id", &port.port_id)?;
                map.serialize_entry("relative_port_id", &port.relative_port_id)?;
                map.serialize_entry("cb_arg", &Hex(&port.cb_arg))?;
            }
            Body::DeregisterProxyPort(port) => {
                map.serialize_entry("port_id", &port.port_id)?;
                map.serialize_entry("cb_arg", &Hex(&port.cb_arg))?;
            }
            Body::RegisterLun(lun) | Body::DeregisterLun(lun) | Body::LunActive(lun) => {
                map.serialize_entry("lun_id", &Hex(&lun.lun_id))?;
                map.serialize_entry("lu_provider_name", &Latin1(&lun.lu_provider_name))?;
                map.serialize_entry("cb_arg", &Hex(&lun.cb_arg))?;
            }
            Body::ScsiCommand(command) => {
                map.serialize_entry("task_msgid", &command.task_msgid)?;
                map.serialize_entry("ini_devid", &command.ini_devid)?;
                map.serialize_entry("tgt_devid", &command.tgt_devid)?;
                if let Some(rport) = &command.rport {
                    map.serialize_entry("rport", &Hex(rport))?;
                }
                map.serialize_entry("lun_id", &Hex(&command.lun_id))?;
                map.serialize_entry("session_id", &command.session_id)?;
                map.serialize_entry("task_lun_no", &Hex(&command.task_lun_no))?;
                map.serialize_entry(
                    "task_expected_xfer_length",
                    &command.task_expected_xfer_length,
                )?;
                map.serialize_entry("task_cdb", &Hex(&command.task_cdb))?;
                map.serialize_entry("task_flags", &command.task_flags)?;
                map.serialize_entry("task_priority", &command.task_priority)?;
                map.serialize_entry("task_mgmt_function", &command.task_mgmt_function)?;
                map.serialize_entry("immed_data", &Hex(&command.immed_data))?;
            }
            Body::ScsiData(data) => {
                map.serialize_entry("task_msgid", &data.task_msgid)?;
                map.serialize_entry("session_id", &data.session_id)?;
                map.serialize_entry("lun_id", &Hex(&data.lun_id))?;
                map.serialize_entry("data", &Hex(&data.data))?;
            }
            Body::ScsiDataTransferDone(done) => {
                map.serialize_entry("task_msgid", &done.task_msgid)?;
                map.serialize_entry("session_id", &done.session_id)?;
                map.serialize_entry("status", &done.status)?;
            }
            Body::ScsiStatus(status) => {
                map.serialize_entry("task_msgid", &status.task_msgid)?;
                map.serialize_entry("session_id", &status.session_id)?;
                map.serialize_entry("lun_id", &Hex(&status.lun_id))?;
                map.serialize_entry("response", &status.response)?;
                map.serialize_entry("status", &status.status)?;
                map.serialize_entry("flags", &status.flags)?;
                map.serialize_entry("resid", &status.resid)?;
                map.serialize_entry("sense", &Hex(&status.sense))?;
            }
            Body::ReadyToTransfer(ready) => {
                map.serialize_entry("task_msgid", &ready.task_msgid)?;
                map.serialize_entry("session_id", &ready.session_id)?;
                map.serialize_entry("offset", &ready.offset)?;
                map.serialize_entry("length", &ready.length)?;
            }
            Body::Status(status) => {
                map.serialize_entry("status_msg_type", &status.status_msg_type)?;
                map.serialize_entry("status_msgid", &status.status_msgid)?;
                map.serialize_entry("status", &status.status)?;
            }
            Body::SessionCreate(session) | Body::SessionDestroy(session) => {
                map.serialize_entry("ini_devid", &session.ini_devid)?;
                map.serialize_entry("tgt_devid", &session.tgt_devid)?;
                if let Some(rport) = &session.rport {
                    map.serialize_entry("rport", &Hex(rport))?;
                }
                map.serialize_entry("session_id", &session.session_id)?;
            }
            Body::EchoRequest(EchoRequest { data }) | Body::EchoReply(EchoReply { data }) => {
                map.serialize_entry("data", &Hex(data))?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DeviceId, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        let id = device_id(&mut fields).map_err(de::Error::custom)?;
        fields.finish().map_err(de::Error::custom)?;
        Ok(id)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Message, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        let message = message(&mut fields).map_err(de::Error::custom)?;
        fields.finish().map_err(de::Error::custom)?;
        Ok(message)
    }
}

/// What is wrong with the fields of an object. It only lives to become the text of a
/// deserializer's error.
type Wrong = String;

fn message(fields: &mut Fields) -> Result<Message, Wrong> {
    let name = fields.text("type")?;
    let Some(message_type) = MessageType::from_name(&name) else {
        let known = MessageType::ALL.map(MessageType::name).join(", ");
        return Err(format!(
            "field `type`: unknown message type {name:?}; expected one of {known}"
        ));
    };
    let msgid = fields.integer("msgid")?;
    let body = match message_type {
        MessageType::RegisterProxyPort => Body::RegisterProxyPort(RegisterProxyPort {
            port_id: fields.device_id("port_id")?,
            relative_port_id: fields.integer("relative_port_id")?,
            cb_arg: fields.bytes("cb_arg")?,
        }),
        MessageType::DeregisterProxyPort => Body::DeregisterProxyPort(DeregisterProxyPort {
            port_id: fields.device_id("port_id")?,
            cb_arg: fields.bytes("cb_arg")?,
        }),
        MessageType::RegisterLun => Body::RegisterLun(lun(fields)?),
        MessageType::DeregisterLun => Body::DeregisterLun(lun(fields)?),
        MessageType::LunActive => Body::LunActive(lun(fields)?),
        MessageType::ScsiCommand => Body::ScsiCommand(ScsiCommand {
            task_msgid: fields.integer("task_msgid")?,
            ini_devid: fields.device_id("ini_devid")?,
            tgt_devid: fields.device_id("tgt_devid")?,
            rport: fields.bytes_if_given("rport")?,
            lun_id: fields.array("lun_id")?,
            session_id: fields.integer("session_id")?,
            task_lun_no: fields.array("task_lun_no")?,
            task_expected_xfer_length: fields.integer("task_expected_xfer_length")?,
            task_cdb: fields.bytes("task_cdb")?,
            task_flags: fields.integer("task_flags")?,
            task_priority: fields.integer("task_priority")?,
            task_mgmt_function: fields.integer("task_mgmt_function")?,
            immed_data: fields.bytes("immed_data")?,
        }),
        MessageType::ScsiData => Body::ScsiData(ScsiData {
            task_msgid: fields.integer("task_msgid")?,
            session_id: fields.integer("session_id")?,
            lun_id: fields.array("lun_id")?,
            data: fields.bytes("data")?,
        }),
        MessageType::ScsiDataTransferDone => Body::ScsiDataTransferDone(ScsiDataTransferDone {
            task_msgid: fields.integer("task_msgid")?,
            session_id: fields.integer("session_id")?,
            status: fields.integer("status")?,
        }),
        MessageType::ScsiStatus => Body::ScsiStatus(ScsiStatus {
            task_msgid: fields.integer("task_msgid")?,
            session_id: fields.integer("session_id")?,
            lun_id: fields.array("lun_id")?,
            response: fields.integer("response")?,
            status: fields.integer("status")?,
            flags: fields.integer("flags")?,
            resid: fields.integer("resid")?,
            sense: fields.bytes("sense")?,
        }),
        MessageType::ReadyToTransfer => Body::ReadyToTransfer(ReadyToTransfer {
            task_msgid: fields.integer("task_msgid")?,
            session_id: fields.integer("session_id")?,
            offset: fields.integer("offset")?,
            length: fields.integer("length")?,
        }),
        MessageType::Status => Body::Status(Status {
            status_msg_type: fields.integer("status_msg_type")?,
            status_msgid: fields.integer("status_msgid")?,
            status: fields.integer("status")?,
        }),
        MessageType::SessionCreate => Body::SessionCreate(session(fields)?),
        MessageType::SessionDestroy => Body::SessionDestroy(session(fields)?),
        MessageType::EchoRequest => Body::EchoRequest(EchoRequest {
            data: fields.bytes("data")?,
        }),
        MessageType::EchoReply => Body::EchoReply(EchoReply {
            data: fields.bytes("data")?,
        }),
    };
    Ok(Message { msgid, body })
}

fn lun(fields: &mut Fields) -> Result<LunMessage, Wrong> {
    Ok(LunMessage {
        lun_id: fields.array("lun_id")?,
        lu_provider_name: fields.latin1("lu_provider_name")?,
        cb_arg: fields.bytes("cb_arg")?,
    })
}

fn session(fields: &mut Fields) -> Result<SessionMessage, Wrong> {
    Ok(SessionMessage {
        ini_devid: fields.device_id("ini_devid")?,
        tgt_devid: fields.device_id("tgt_devid")?,
        rport: fields.bytes_if_given("rport")?,
        session_id: fields.integer("session_id")?,
    })
}

fn device_id(fields: &mut Fields) -> Result<DeviceId, Wrong> {
    Ok(DeviceId {
        protocol_id: fields.integer("protocol_id")?,
        code_set: fields.integer("code_set")?,
        piv: fields.integer("piv")?,
        association: fields.integer("association")?,
        ident_type: fields.integer("ident_type")?,
        ident: fields.bytes("ident")?,
    })
}

/// The fields of an object that were not taken yet. There are few, so they are searched one
/// after the other.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields(Vec::with_capacity(16));
                while let Some(name) = map.next_key::<String>()? {
                    if fields.0.iter().any(|(other, _)| *other == name) {
                        return Err(de::Error::custom(format!("field `{name}`: given twice")));
                    }
                    // No message has as many, and the search above takes the square of it.
                    if fields.0.len() == MOST_FIELDS {
                        let wrong = format!("more than {MOST_FIELDS} fields in one object");
                        return Err(de::Error::custom(wrong));
                    }
                    fields.0.push((name, map.next_value()?));
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The most fields that an object is read with; the largest message has 15.
const MOST_FIELDS: usize = 32;

impl Fields {
    fn take_if_given(&mut self, name: &str) -> Option<Value> {
        let index = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(index).1)
    }

    fn take(&mut self, name: &str) -> Result<Value, Wrong> {
        self.take_if_given(name)
            .ok_or_else(|| format!("field `{name}`: missing"))
    }

    /// Everything that is left was not expected.
    fn finish(self) -> Result<(), Wrong> {
        match self.0.first() {
            Some((name, _)) => Err(format!("field `{name}`: unknown here")),
            None => Ok(()),
        }
    }

    fn integer<T: TryFrom<u64>>(&mut self, name: &str) -> Result<T, Wrong> {
        let value = self.take(name)?;
        let number = value.as_u64().and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| {
            let bits = 8 * size_of::<T>();
            let found = describe(&value);
            format!("field `{name}`: {found}; expected an integer of {bits} bits, not negative")
        })
    }

    fn text(&mut self, name: &str) -> Result<String, Wrong> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            value => Err(format!(
                "field `{name}`: {}; expected a string",
                describe(&value)
            )),
        }
    }

    fn bytes_if_given(&mut self, name: &str) -> Result<Option<Vec<u8>>, Wrong> {
        match self.take_if_given(name) {
            None => Ok(None),
            Some(Value::String(text)) => hex::decode(text.as_bytes())
                .map(Some)
                .map_err(|wrong| format!("field `{name}`: {wrong}")),
            Some(value) => {
                let found = describe(&value);
                Err(format!(
                    "field `{name}`: {found}; expected a hexadecimal string"
                ))
            }
        }
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, Wrong> {
        self.bytes_if_given(name)?
            .ok_or_else(|| format!("field `{name}`: missing"))
    }

    fn array<const N: usize>(&mut self, name: &str) -> Result<[u8; N], Wrong> {
        self.bytes(name)?.try_into().map_err(|bytes: Vec<u8>| {
            let found = bytes.len();
            format!("field `{name}`: {found} bytes; expected {N}")
        })
    }

    fn latin1(&mut self, name: &str) -> Result<Vec<u8>, Wrong> {
        let text = self.text(name)?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        bytes
            .map_err(|_| format!("field `{name}`: a character over U+00FF; each stands for a byte"))
    }

    fn device_id(&mut self, name: &str) -> Result<DeviceId, Wrong> {
        let value = self.take(name)?;
        DeviceId::deserialize(value).map_err(|wrong| format!("field `{name}`: {wrong}"))
    }
}

/// What was found instead of what was expected, shortly.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

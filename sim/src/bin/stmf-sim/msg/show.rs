// SPDX-License-Identifier: MPL-2.0
//! A message as a table for a person to read.

use std::fmt::Write;
use stmf_proxy::message::status::{self, residual_flags, task_flags, task_management};
use stmf_proxy::message::{Body, DeviceId, Dialect, Message, MessageType, SessionMessage, hex};

/// Byte strings up to this length stand on the line of their name.
const SHORT: usize = 16;

/// The message, a line for each field: name, value, and what the value means.
pub fn message(message: &Message, size: usize, dialect: Dialect) -> String {
    let message_type = message.message_type();
    let mut table = Table::default();
    match &message.body {
        Body::RegisterProxyPort(port) => {
            table.device_id("port_id", &port.port_id);
            table.number("relative_port_id", port.relative_port_id);
            table.bytes("cb_arg", &port.cb_arg);
        }
        Body::DeregisterProxyPort(port) => {
            table.device_id("port_id", &port.port_id);
            table.bytes("cb_arg", &port.cb_arg);
        }
        Body::RegisterLun(lun) | Body::DeregisterLun(lun) | Body::LunActive(lun) => {
            table.bytes("lun_id", &lun.lun_id);
            table.row("lu_provider_name", quoted(&lun.lu_provider_name), "");
            table.bytes("cb_arg", &lun.cb_arg);
        }
        Body::ScsiCommand(command) => {
            table.number("task_msgid", command.task_msgid);
            table.device_id("ini_devid", &command.ini_devid);
            table.device_id("tgt_devid", &command.tgt_devid);
            if let Some(rport) = &command.rport {
                table.bytes("rport", rport);
            }
            table.bytes("lun_id", &command.lun_id);
            table.number("session_id", command.session_id);
            table.bytes("task_lun_no", &command.task_lun_no);
            table.number(
                "task_expected_xfer_length",
                command.task_expected_xfer_length,
            );
            table.bytes("task_cdb", &command.task_cdb);
            let flags = command.task_flags;
            table.row(
                "task_flags",
                format!("{flags:#04x}"),
                &task_flags_text(flags),
            );
            table.number("task_priority", command.task_priority);
            let function = command.task_mgmt_function;
            let name = task_management::name(function).unwrap_or("unknown");
            table.row("task_mgmt_function", function.to_string(), name);
            table.bytes("immed_data", &command.immed_data);
        }
        Body::ScsiData(data) => {
            table.number("task_msgid", data.task_msgid);
            table.number("session_id", data.session_id);
            table.bytes("lun_id", &data.lun_id);
            table.bytes("data", &data.data);
        }
        Body::ScsiDataTransferDone(done) => {
            table.number("task_msgid", done.task_msgid);
            table.number("session_id", done.session_id);
            table.status("status", done.status);
        }
        Body::ScsiStatus(status) => {
            table.number("task_msgid", status.task_msgid);
            table.number("session_id", status.session_id);
            table.bytes("lun_id", &status.lun_id);
            table.number("response", status.response);
            let name = scsi_status_text(status.status);
            table.row("status", format!("{:#04x}", status.status), name);
            let name = residual_text(status.flags);
            table.row("flags", format!("{:#04x}", status.flags), name);
            table.number("resid", status.resid);
            table.bytes("sense", &status.sense);
        }
        Body::ReadyToTransfer(ready) => {
            table.number("task_msgid", ready.task_msgid);
            table.number("session_id", ready.session_id);
            table.number("offset", ready.offset);
            table.number("length", ready.length);
        }
        Body::Status(status) => {
            let number = status.status_msg_type;
            let name = MessageType::from_number(number).map_or("unknown", MessageType::name);
            table.row("status_msg_type", number.to_string(), name);
            table.number("status_msgid", status.status_msgid);
            let note = "only 8 bits travel: 0 may be a failure";
            table.row("status", format!("{:#04x}", status.status), note);
        }
        Body::SessionCreate(session) | Body::SessionDestroy(session) => {
            table.session(session);
        }
        Body::EchoRequest(echo) => table.bytes("data", &echo.data),
        Body::EchoReply(echo) => table.bytes("data", &echo.data),
    }
    let number = message_type.number();
    let msgid = message.msgid;
    let head =
        format!("{message_type} (type {number}), msgid {msgid}, {size} bytes, dialect {dialect}\n");
    head + &table.text()
}

/// The bytes around the place of an error, after an empty line; nothing when there are none.
pub fn around(wire: &[u8], offset: Option<usize>) -> String {
    let Some(offset) = offset.filter(|offset| *offset < wire.len()) else {
        return String::new();
    };
    let start = (offset & !15).saturating_sub(16);
    let end = wire.len().min(start + 48);
    let mut text = "\n\n".to_owned();
    for line in dump(&wire[start..end], start) {
        text += "  ";
        text += &line;
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    value: String,
    note: String,
    /// Lines that follow, indented.
    below: Vec<String>,
}

impl Table {
    fn row(&mut self, name: &str, value: String, note: &str) {
        self.rows.push(Row {
            name: name.to_owned(),
            value,
            note: note.to_owned(),
            below: Vec::new(),
        });
    }

    fn number(&mut self, name: &str, value: impl Into<u64>) {
        self.row(name, value.into().to_string(), "");
    }

    fn status(&mut self, name: &str, value: u64) {
        self.row(
            name,
            format!("{value:#018x}"),
            status::name(value).unwrap_or("unknown"),
        );
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        match bytes {
            [] => self.row(name, "none".to_owned(), ""),
            short if short.len() <= SHORT => {
                let printable = short.iter().all(|byte| matches!(byte, b' '..=b'~'));
                let note = if printable {
                    quoted(short)
                } else {
                    String::new()
                };
                self.row(name, hex::encode(short), &note);
            }
            long => {
                self.row(name, format!("{} bytes", long.len()), "");
                if let Some(row) = self.rows.last_mut() {
                    row.below = dump(long, 0).collect();
                }
            }
        }
    }

    fn device_id(&mut self, name: &str, id: &DeviceId) {
        self.row(name, quoted(&id.ident), "");
        let protocol = match id.protocol_id {
            0 => "Fibre Channel",
            4 => "SRP",
            5 => "iSCSI",
            6 => "SAS",
            _ => "",
        };
        self.row("  protocol_id", id.protocol_id.to_string(), protocol);
        let code_set = match id.code_set {
            1 => "binary",
            2 => "ASCII",
            3 => "UTF-8",
            _ => "",
        };
        self.row("  code_set", id.code_set.to_string(), code_set);
        self.row("  piv", id.piv.to_string(), "");
        let association = match id.association {
            0 => "logical unit",
            1 => "target port",
            2 => "target device",
            _ => "",
        };
        self.row("  association", id.association.to_string(), association);
        let kind = match id.ident_type {
            2 => "EUI-64",
            3 => "NAA",
            8 => "SCSI name string",
            _ => "",
        };
        self.row("  ident_type", id.ident_type.to_string(), kind);
        self.bytes("  ident", &id.ident);
    }

    fn session(&mut self, session: &SessionMessage) {
        self.device_id("ini_devid", &session.ini_devid);
        self.device_id("tgt_devid", &session.tgt_devid);
        if let Some(rport) = &session.rport {
            self.bytes("rport", rport);
        }
        self.number("session_id", session.session_id);
    }

    fn text(&self) -> String {
        let name_width = self
            .rows
            .iter()
            .map(|row| row.name.len())
            .max()
            .unwrap_or(0);
        let noted = self.rows.iter().filter(|row| !row.note.is_empty());
        let value_width = noted.map(|row| row.value.len()).max().unwrap_or(0);
        let mut text = String::new();
        for row in &self.rows {
            let mut line = format!(
                "  {:name_width$}  {:value_width$}  {}",
                row.name, row.value, row.note
            );
            line.truncate(line.trim_end().len());
            text += &line;
            text.push('\n');
            for line in &row.below {
                text += "    ";
                text += line;
                text.push('\n');
            }
        }
        text
    }
}

/// Bytes as text in quotes; what is not printable is escaped.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// Sixteen bytes a line: offset, digits, characters.
fn dump(bytes: &[u8], start: usize) -> impl Iterator<Item = String> {
    bytes.chunks(16).enumerate().map(move |(number, chunk)| {
        let mut digits = String::new();
        for (index, byte) in chunk.iter().enumerate() {
            let gap = if index == 8 { "  " } else { " " };
            // Writing to a string does not fail.
            let _ = write!(digits, "{gap}{byte:02x}");
        }
        let characters: String = chunk
            .iter()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            })
            .collect();
        format!("{:06x} {digits:<49}  |{characters}|", start + 16 * number)
    })
}

fn task_flags_text(flags: u8) -> String {
    let mut names = Vec::new();
    if flags & task_flags::INITIAL_BURST != 0 {
        names.push("initial burst");
    }
    if flags & task_flags::READ_DATA != 0 {
        names.push("read data");
    }
    if flags & task_flags::WRITE_DATA != 0 {
        names.push("write data");
    }
    names.push(match flags & task_flags::ATTRIBUTE_MASK {
        task_flags::UNTAGGED => "untagged",
        task_flags::SIMPLE => "simple",
        task_flags::ORDERED => "ordered",
        task_flags::HEAD_OF_QUEUE => "head of queue",
        task_flags::ACA => "ACA",
        _ => "unknown attribute",
    });
    names.join(", ")
}

fn scsi_status_text(status: u8) -> &'static str {
    match status {
        0x00 => "good",
        0x02 => "check condition",
        0x04 => "condition met",
        0x08 => "busy",
        0x18 => "reservation conflict",
        0x28 => "task set full",
        0x30 => "ACA active",
        0x40 => "task aborted",
        _ => "unknown",
    }
}

fn residual_text(flags: u8) -> &'static str {
    match flags {
        0 => "resid does not count",
        residual_flags::OVERFLOW => "overflow by resid",
        residual_flags::UNDERFLOW => "underflow by resid",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stmf_proxy::message::{ScsiCommand, ScsiDataTransferDone, ScsiStatus};

    fn port(name: &[u8]) -> DeviceId {
        DeviceId {
            protocol_id: 5,
            code_set: 2,
            piv: 1,
            association: 1,
            ident_type: 8,
            ident: name.to_vec(),
        }
    }

    fn shown(body: Body) -> String {
        message(&Message { msgid: 21, body }, 1234, Dialect::Current)
    }

    #[test]
    fn a_command_is_explained() {
        insta::assert_snapshot!(shown(Body::ScsiCommand(ScsiCommand {
            task_msgid: 77,
            ini_devid: port(b"iqn.1986-03.com.sun:01:initiator"),
            tgt_devid: port(b"iqn.1986-03.com.sun:02:\xFFtarget"),
            rport: Some(b"\x05\0\0\x20iqn.1986-03.com.sun:01:initiator".to_vec()),
            lun_id: *b"\x60\x01\x44\xF0\0\0\0\0\0\0\0\0\0\0\0\x01",
            session_id: u64::MAX,
            task_lun_no: [0; 8],
            task_expected_xfer_length: 512,
            task_cdb: vec![0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0],
            task_flags: 0xC1,
            task_priority: 0,
            task_mgmt_function: 0,
            immed_data: Vec::new(),
        })));
    }

    #[test]
    fn outcomes_are_named() {
        let status = ScsiStatus {
            task_msgid: 77,
            session_id: 1,
            lun_id: [0x60; 16],
            response: 0,
            status: 2,
            flags: 2,
            resid: 512,
            sense: b"\x70\0\x05\0\0\0\0\x0A\0\0\0\0\x20\0\0\0\0\0".to_vec(),
        };
        let done = ScsiDataTransferDone {
            task_msgid: 77,
            session_id: 1,
            status: status::ABORTED,
        };
        let texts = [
            shown(Body::ScsiStatus(status)),
            shown(Body::ScsiDataTransferDone(done)),
        ];
        insta::assert_snapshot!(texts.concat());
    }

    #[test]
    fn the_bytes_around_an_error_stay_inside_the_message() {
        assert_eq!(around(b"abc", None), "");
        assert_eq!(around(b"abc", Some(3)), "");
        assert!(around(b"abc", Some(2)).ends_with("|abc|"));
        assert_eq!(around(&[0; 1000], Some(500)).lines().count(), 2 + 3);
    }
}

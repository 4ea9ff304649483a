// SPDX-License-Identifier: MPL-2.0
//! From a message to its bytes. One description of each message ([`describe`]) serves twice: to
//! work out the size, and then to write.

use super::fields::*;
use super::{
    Body, DeviceId, Dialect, EncodeError, LunMessage, Message, ScsiCommand, SessionMessage,
};
use crate::nvlist::{
    HEADER_LEN, PACKED_LIMIT, align4,
    template::{Template, put},
    words,
};

impl Message {
    /// The bytes of this message, as a kernel on x86 sends it.
    ///
    /// In [`Dialect::Y2009`] an `rport` is left out. The low 8 bits of a [`Status`] are sent, as
    /// kernels do.
    ///
    /// # Errors
    ///
    /// A field that its place on the wire cannot hold.
    ///
    /// [`Status`]: super::Status
    pub fn encode(&self, dialect: Dialect) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        self.encode_into(dialect, &mut out)?;
        Ok(out)
    }

    /// As [`Message::encode`], at the end of `out`, which grows at most once.
    ///
    /// # Errors
    ///
    /// As [`Message::encode`]; then nothing was appended.
    pub fn encode_into(&self, dialect: Dialect, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let size = self.encoded_len(dialect)?;
        out.reserve(size);
        self.write(dialect, out);
        Ok(())
    }

    /// Writes without a check. What does not fit makes a message that receivers refuse.
    #[inline]
    pub(super) fn write(&self, dialect: Dialect, out: &mut Vec<u8>) {
        let mut writer = Writer { out, deferred: 0 };
        describe(self, dialect, &mut writer);
        let deferred = writer.deferred;
        // The count words that empty arrays lack.
        out.resize(out.len() + deferred, 0);
    }

    /// How many bytes [`Message::encode`] gives.
    ///
    /// # Errors
    ///
    /// As [`Message::encode`].
    pub fn encoded_len(&self, dialect: Dialect) -> Result<usize, EncodeError> {
        check(&self.body, dialect)?;
        let mut sizer = Sizer { size: 0 };
        describe(self, dialect, &mut sizer);
        if sizer.size > PACKED_LIMIT {
            return Err(EncodeError::TooLarge {
                size: sizer.size as u64,
                limit: PACKED_LIMIT,
            });
        }
        Ok(sizer.size)
    }
}

/// Whether each field fits in its place.
fn check(body: &Body, dialect: Dialect) -> Result<(), EncodeError> {
    match body {
        Body::RegisterProxyPort(port) => {
            check_device_id(&port.port_id)?;
            check_length(&ICRP_CB_ARG, &port.cb_arg, u16::MAX as usize)
        }
        Body::DeregisterProxyPort(port) => {
            check_device_id(&port.port_id)?;
            check_length(&ICDP_CB_ARG, &port.cb_arg, u16::MAX as usize)
        }
        Body::RegisterLun(lun) | Body::DeregisterLun(lun) | Body::LunActive(lun) => {
            let name = &lun.lu_provider_name;
            if let Some(offset) = name.iter().position(|byte| *byte == 0) {
                let field = ICRL_LU_PROVIDER_NAME.name;
                return Err(EncodeError::StringWithNul { field, offset });
            }
            check_length(&ICRL_LU_PROVIDER_NAME, name, LONGEST)?;
            check_length(&ICRL_CB_ARG, &lun.cb_arg, u16::MAX as usize)
        }
        Body::ScsiCommand(command) => {
            check_device_id(&command.ini_devid)?;
            check_device_id(&command.tgt_devid)?;
            check_transport_id(&ICSC_RPORT, command.rport.as_deref(), dialect)?;
            check_length(&ICSC_TASK_CDB, &command.task_cdb, u16::MAX as usize)?;
            check_length(&ICSC_IMMED_DATA, &command.immed_data, LONGEST)
        }
        Body::ScsiData(data) => check_length(&ICSD_DATA, &data.data, LONGEST),
        Body::ScsiStatus(status) => check_length(&ICSS_SENSE, &status.sense, u8::MAX as usize),
        Body::SessionCreate(session) | Body::SessionDestroy(session) => {
            check_device_id(&session.ini_devid)?;
            check_device_id(&session.tgt_devid)?;
            check_transport_id(&ICSCD_RPORT, session.rport.as_deref(), dialect)
        }
        Body::EchoRequest(echo) => check_length(&ICERR_DATA, &echo.data, LONGEST),
        Body::EchoReply(echo) => check_length(&ICERR_DATA, &echo.data, LONGEST),
        Body::ScsiDataTransferDone(_) | Body::ReadyToTransfer(_) | Body::Status(_) => Ok(()),
    }
}

/// No byte string can be longer, whatever else is in the message: four bytes each on the wire.
const LONGEST: usize = PACKED_LIMIT / 4;

fn check_length<const N: usize>(
    template: &Template<N>,
    bytes: &[u8],
    limit: usize,
) -> Result<(), EncodeError> {
    let length = bytes.len();
    if length > limit {
        let field = template.name;
        return Err(EncodeError::TooLong {
            field,
            length,
            limit,
        });
    }
    Ok(())
}

fn check_device_id(id: &DeviceId) -> Result<(), EncodeError> {
    let widths = [
        (PROTOCOL_ID.name, id.protocol_id, 4),
        (CODE_SET.name, id.code_set, 4),
        (PIV.name, id.piv, 1),
        (ASSOCIATION.name, id.association, 2),
        (IDENT_TYPE.name, id.ident_type, 4),
    ];
    for (field, value, bits) in widths {
        if value >> bits != 0 {
            return Err(EncodeError::TooWide { field, value, bits });
        }
    }
    check_length(&IDENT, &id.ident, u8::MAX as usize)
}

fn check_transport_id<const N: usize>(
    template: &Template<N>,
    rport: Option<&[u8]>,
    dialect: Dialect,
) -> Result<(), EncodeError> {
    let field = template.name;
    match (dialect, rport) {
        (Dialect::Y2009, _) => Ok(()),
        (Dialect::Current, None) => Err(EncodeError::MissingTransportId { field }),
        (Dialect::Current, Some(id)) if id.len() < 2 => Err(EncodeError::ShortTransportId {
            field,
            length: id.len(),
        }),
        (Dialect::Current, Some(id)) => check_length(template, id, u16::MAX as usize),
    }
}

/// What a description is given to.
trait Sink {
    /// Bytes as they are.
    fn bytes(&mut self, bytes: &[u8]);
    /// A pair as its template has it, completed in its place.
    fn pair<const N: usize>(&mut self, template: &Template<N>, complete: impl FnOnce(&mut [u8; N]));
    /// Bytes that travel a word each.
    fn expanded(&mut self, bytes: &[u8]);
    /// The count word of an empty array, which was just put, comes after the end of everything.
    fn defer_count(&mut self);
}

struct Sizer {
    size: usize,
}

impl Sink for Sizer {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.size += bytes.len();
    }
    #[inline]
    fn pair<const N: usize>(&mut self, _: &Template<N>, _: impl FnOnce(&mut [u8; N])) {
        self.size += N;
    }
    #[inline]
    fn expanded(&mut self, bytes: &[u8]) {
        self.size += 4 * bytes.len();
    }
    #[inline]
    fn defer_count(&mut self) {}
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    deferred: usize,
}

impl Sink for Writer<'_> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
    #[inline]
    fn pair<const N: usize>(
        &mut self,
        template: &Template<N>,
        complete: impl FnOnce(&mut [u8; N]),
    ) {
        self.out.extend_from_slice(&template.bytes);
        if let Some(pair) = self.out.last_chunk_mut() {
            complete(pair);
        }
    }
    #[inline]
    fn expanded(&mut self, bytes: &[u8]) {
        words::expand(bytes, self.out);
    }
    #[inline]
    fn defer_count(&mut self) {
        self.out.truncate(self.out.len() - 4);
        self.deferred += 4;
    }
}

/// Header as a kernel on x86 sends it, version 0, flags for unique names.
pub(super) const PREAMBLE: [u8; HEADER_LEN + 8] = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// What ends a list.
pub(super) const END: [u8; 8] = [0; 8];

#[inline]
fn uint8<const N: usize>(sink: &mut impl Sink, template: &Template<N>, value: u8) {
    uint32(sink, template, words::extend(value));
}

#[inline]
fn uint16<const N: usize>(sink: &mut impl Sink, template: &Template<N>, value: usize) {
    // Lengths were checked to fit; a port number is 16 bits wide.
    uint32(sink, template, u32::from(value as u16));
}

#[inline]
fn uint32<const N: usize>(sink: &mut impl Sink, template: &Template<N>, value: u32) {
    sink.pair(template, |pair| put(pair, N - 4, value));
}

#[inline]
fn uint64<const N: usize>(sink: &mut impl Sink, template: &Template<N>, value: u64) {
    sink.pair(template, |pair| {
        put(pair, N - 8, (value >> 32) as u32);
        put(pair, N - 4, value as u32);
    });
}

#[inline]
fn array<const N: usize>(sink: &mut impl Sink, template: &Template<N>, bytes: &[u8]) {
    sink.pair(template, |pair| template.put_array(pair, bytes.len()));
    if bytes.is_empty() {
        sink.defer_count();
    } else {
        sink.expanded(bytes);
    }
}

/// An array that is left out when it is empty.
#[inline]
fn array_if_any<const N: usize>(sink: &mut impl Sink, template: &Template<N>, bytes: &[u8]) {
    if !bytes.is_empty() {
        array(sink, template, bytes);
    }
}

fn string<const N: usize>(sink: &mut impl Sink, template: &Template<N>, bytes: &[u8]) {
    sink.pair(template, |pair| template.put_string(pair, bytes.len()));
    sink.bytes(bytes);
    sink.bytes(&[0; 3][..align4(bytes.len()) - bytes.len()]);
}

#[inline]
fn device_id<const N: usize>(sink: &mut impl Sink, template: &Template<N>, id: &DeviceId) {
    // What is sized with an array includes the count word that an empty one lacks.
    let rest = PROTOCOL_ID.bytes.len()
        + CODE_SET.bytes.len()
        + PIV.bytes.len()
        + ASSOCIATION.bytes.len()
        + IDENT_TYPE.bytes.len()
        + IDENT_LENGTH.bytes.len()
        + IDENT.bytes.len()
        + 4 * id.ident.len()
        + END.len();
    sink.pair(template, |pair| template.put_list(pair, rest));
    uint8(sink, &PROTOCOL_ID, id.protocol_id);
    uint8(sink, &CODE_SET, id.code_set);
    uint8(sink, &PIV, id.piv);
    uint8(sink, &ASSOCIATION, id.association);
    uint8(sink, &IDENT_TYPE, id.ident_type);
    uint8(sink, &IDENT_LENGTH, id.ident.len() as u8);
    array(sink, &IDENT, &id.ident);
    sink.bytes(&END);
}

#[inline]
fn transport_id<const N: usize>(
    sink: &mut impl Sink,
    template: &Template<N>,
    rport: Option<&[u8]>,
    dialect: Dialect,
) {
    let (Dialect::Current, Some(id)) = (dialect, rport) else {
        return;
    };
    let rest = RPORT_TPTID_SZ.bytes.len() + RPORT_TPTID.bytes.len() + 4 * id.len() + END.len();
    sink.pair(template, |pair| template.put_list(pair, rest));
    uint16(sink, &RPORT_TPTID_SZ, id.len());
    array(sink, &RPORT_TPTID, id);
    sink.bytes(&END);
}

/// The fields of a message in the order of the wire.
#[inline]
fn describe(message: &Message, dialect: Dialect, sink: &mut impl Sink) {
    sink.bytes(&PREAMBLE);
    uint8(sink, &MSG_TYPE, message.message_type().number());
    uint64(sink, &MSGID, message.msgid);
    match &message.body {
        Body::RegisterProxyPort(port) => {
            device_id(sink, &ICRP_PORT_ID, &port.port_id);
            uint16(sink, &ICRP_RELATIVE_PORT_ID, port.relative_port_id.into());
            uint16(sink, &ICRP_CB_ARG_LEN, port.cb_arg.len());
            array_if_any(sink, &ICRP_CB_ARG, &port.cb_arg);
        }
        Body::DeregisterProxyPort(port) => {
            device_id(sink, &ICDP_PORT_ID, &port.port_id);
            uint16(sink, &ICDP_CB_ARG_LEN, port.cb_arg.len());
            array_if_any(sink, &ICDP_CB_ARG, &port.cb_arg);
        }
        Body::RegisterLun(lun) | Body::DeregisterLun(lun) | Body::LunActive(lun) => {
            describe_lun(lun, sink);
        }
        Body::ScsiCommand(command) => describe_command(command, dialect, sink),
        Body::ScsiData(data) => {
            uint64(sink, &ICSD_TASK_MSGID, data.task_msgid);
            uint64(sink, &ICSD_SESSION_ID, data.session_id);
            array(sink, &ICSD_LUN_ID, &data.lun_id);
            uint64(sink, &ICSD_DATA_LEN, data.data.len() as u64);
            array(sink, &ICSD_DATA, &data.data);
        }
        Body::ScsiDataTransferDone(done) => {
            uint64(sink, &ICSX_TASK_MSGID, done.task_msgid);
            uint64(sink, &ICSX_SESSION_ID, done.session_id);
            uint64(sink, &ICSX_STATUS, done.status);
        }
        Body::ScsiStatus(status) => {
            uint64(sink, &ICSS_TASK_MSGID, status.task_msgid);
            uint64(sink, &ICSS_SESSION_ID, status.session_id);
            array(sink, &ICSS_LUN_ID, &status.lun_id);
            uint8(sink, &ICSS_RESPONSE, status.response);
            uint8(sink, &ICSS_STATUS, status.status);
            uint8(sink, &ICSS_FLAGS, status.flags);
            uint32(sink, &ICSS_RESID, status.resid);
            uint8(sink, &ICSS_SENSE_LEN, status.sense.len() as u8);
            array_if_any(sink, &ICSS_SENSE, &status.sense);
        }
        Body::ReadyToTransfer(ready) => {
            uint64(sink, &ICRT_TASK_MSGID, ready.task_msgid);
            uint64(sink, &ICRT_SESSION_ID, ready.session_id);
            uint32(sink, &ICRT_OFFSET, ready.offset);
            uint32(sink, &ICRT_LENGTH, ready.length);
        }
        Body::Status(status) => {
            uint8(sink, &ICS_MSG_TYPE, status.status_msg_type);
            uint64(sink, &ICS_MSGID, status.status_msgid);
            // The field is 8 bits wide, the value 64: kernels send the low ones.
            uint8(sink, &ICS_STATUS, status.status as u8);
        }
        Body::SessionCreate(session) | Body::SessionDestroy(session) => {
            describe_session(session, dialect, sink);
        }
        Body::EchoRequest(echo) => describe_echo(&echo.data, sink),
        Body::EchoReply(echo) => describe_echo(&echo.data, sink),
    }
    sink.bytes(&END);
}

fn describe_lun(lun: &LunMessage, sink: &mut impl Sink) {
    array(sink, &ICRL_LUN_ID, &lun.lun_id);
    string(sink, &ICRL_LU_PROVIDER_NAME, &lun.lu_provider_name);
    uint16(sink, &ICRL_CB_ARG_LEN, lun.cb_arg.len());
    array_if_any(sink, &ICRL_CB_ARG, &lun.cb_arg);
}

fn describe_command(command: &ScsiCommand, dialect: Dialect, sink: &mut impl Sink) {
    uint64(sink, &ICSC_TASK_MSGID, command.task_msgid);
    device_id(sink, &ICSC_INI_DEVID, &command.ini_devid);
    device_id(sink, &ICSC_TGT_DEVID, &command.tgt_devid);
    transport_id(sink, &ICSC_RPORT, command.rport.as_deref(), dialect);
    array(sink, &ICSC_LUN_ID, &command.lun_id);
    uint64(sink, &ICSC_SESSION_ID, command.session_id);
    array(sink, &ICSC_TASK_LUN_NO, &command.task_lun_no);
    let expected = command.task_expected_xfer_length;
    uint32(sink, &ICSC_TASK_EXPECTED_XFER_LENGTH, expected);
    uint16(sink, &ICSC_TASK_CDB_LENGTH, command.task_cdb.len());
    array(sink, &ICSC_TASK_CDB, &command.task_cdb);
    uint8(sink, &ICSC_TASK_FLAGS, command.task_flags);
    uint8(sink, &ICSC_TASK_PRIORITY, command.task_priority);
    uint8(sink, &ICSC_TASK_MGMT_FUNCTION, command.task_mgmt_function);
    uint32(sink, &ICSC_IMMED_DATA_LEN, command.immed_data.len() as u32);
    array_if_any(sink, &ICSC_IMMED_DATA, &command.immed_data);
}

fn describe_session(session: &SessionMessage, dialect: Dialect, sink: &mut impl Sink) {
    device_id(sink, &ICSCD_INI_DEVID, &session.ini_devid);
    device_id(sink, &ICSCD_TGT_DEVID, &session.tgt_devid);
    transport_id(sink, &ICSCD_RPORT, session.rport.as_deref(), dialect);
    uint64(sink, &ICSCD_SESSION_ID, session.session_id);
}

fn describe_echo(data: &[u8], sink: &mut impl Sink) {
    uint32(sink, &ICERR_DATALEN, data.len() as u32);
    array_if_any(sink, &ICERR_DATA, data);
}

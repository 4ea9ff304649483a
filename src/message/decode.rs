// SPDX-License-Identifier: MPL-2.0
//! From bytes to a message: unpack, then look each field up by name and type, in the order in
//! which kernels do. Messages as kernels send them take the shorter way of [`canonical`].

use super::canonical;
use super::fields::*;
use super::{
    Body, DecodeError, DeregisterProxyPort, DeviceId, Dialect, EchoReply, EchoRequest, FieldError,
    FieldProblem, LunMessage, Message, MessageType, ReadyToTransfer, RegisterProxyPort,
    ScsiCommand, ScsiData, ScsiDataTransferDone, ScsiStatus, SessionMessage, Status,
};
use crate::nvlist::{Bytes, Limits, List, LookupError, Pair, Value, template::Template};

impl Message {
    /// The message that these bytes are, to a kernel of that dialect, within
    /// [`Limits::DEFAULT`].
    ///
    /// Two fields do not come back as they were encoded: `task_priority` of a SCSI command is 0,
    /// and `status` of a [`Status`] has 8 bits.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and whether that was while unpacking or in a field.
    pub fn decode(bytes: &[u8], dialect: Dialect) -> Result<Message, DecodeError> {
        Message::decode_within(bytes, dialect, &Limits::DEFAULT)
    }

    /// As [`Message::decode`], within other limits. Messages nest 2 deep.
    ///
    /// # Errors
    ///
    /// As [`Message::decode`].
    pub fn decode_within(
        bytes: &[u8],
        dialect: Dialect,
        limits: &Limits,
    ) -> Result<Message, DecodeError> {
        match canonical::decode(bytes, dialect, limits) {
            Some(message) => Ok(message),
            None => general(bytes, dialect, limits),
        }
    }
}

/// Decodes whatever order the fields are in.
pub(super) fn general(
    bytes: &[u8],
    dialect: Dialect,
    limits: &Limits,
) -> Result<Message, DecodeError> {
    let list = List::unpack(bytes, limits)?;
    from_list(list, dialect).map_err(DecodeError::Field)
}

fn from_list(list: List<'_>, dialect: Dialect) -> Result<Message, FieldError> {
    let fields = Fields {
        list,
        message_type: None,
        outer: None,
    };
    let number = fields.uint8(&MSG_TYPE)?;
    let Some(message_type) = MessageType::from_number(number) else {
        let problem = FieldProblem::UnknownMessageType { found: number };
        return Err(fields.refused(&MSG_TYPE, problem));
    };
    let fields = Fields {
        message_type: Some(message_type),
        ..fields
    };
    let msgid = fields.uint64(&MSGID)?;
    let body = match message_type {
        MessageType::RegisterProxyPort => Body::RegisterProxyPort(RegisterProxyPort {
            port_id: fields.device_id(&ICRP_PORT_ID)?,
            relative_port_id: fields.uint16(&ICRP_RELATIVE_PORT_ID)?,
            cb_arg: fields.array_if(&ICRP_CB_ARG, fields.uint16(&ICRP_CB_ARG_LEN)?.into())?,
        }),
        MessageType::DeregisterProxyPort => Body::DeregisterProxyPort(DeregisterProxyPort {
            port_id: fields.device_id(&ICDP_PORT_ID)?,
            cb_arg: fields.array_if(&ICDP_CB_ARG, fields.uint16(&ICDP_CB_ARG_LEN)?.into())?,
        }),
        MessageType::RegisterLun => Body::RegisterLun(lun(&fields)?),
        MessageType::DeregisterLun => Body::DeregisterLun(lun(&fields)?),
        MessageType::LunActive => Body::LunActive(lun(&fields)?),
        MessageType::ScsiCommand => Body::ScsiCommand(scsi_command(&fields, dialect)?),
        MessageType::ScsiData => Body::ScsiData(ScsiData {
            task_msgid: fields.uint64(&ICSD_TASK_MSGID)?,
            session_id: fields.uint64(&ICSD_SESSION_ID)?,
            lun_id: fields.fixed_array(&ICSD_LUN_ID)?,
            data: match fields.uint64(&ICSD_DATA_LEN)? {
                0 => return Err(fields.refused(&ICSD_DATA_LEN, FieldProblem::NoData)),
                length => fields.array(&ICSD_DATA, length)?.to_vec(),
            },
        }),
        MessageType::ScsiDataTransferDone => Body::ScsiDataTransferDone(ScsiDataTransferDone {
            task_msgid: fields.uint64(&ICSX_TASK_MSGID)?,
            session_id: fields.uint64(&ICSX_SESSION_ID)?,
            status: fields.uint64(&ICSX_STATUS)?,
        }),
        MessageType::ScsiStatus => Body::ScsiStatus(ScsiStatus {
            task_msgid: fields.uint64(&ICSS_TASK_MSGID)?,
            session_id: fields.uint64(&ICSS_SESSION_ID)?,
            lun_id: fields.fixed_array(&ICSS_LUN_ID)?,
            response: fields.uint8(&ICSS_RESPONSE)?,
            status: fields.uint8(&ICSS_STATUS)?,
            flags: fields.uint8(&ICSS_FLAGS)?,
            resid: fields.uint32(&ICSS_RESID)?,
            sense: fields.array_if(&ICSS_SENSE, fields.uint8(&ICSS_SENSE_LEN)?.into())?,
        }),
        MessageType::ReadyToTransfer => Body::ReadyToTransfer(ReadyToTransfer {
            task_msgid: fields.uint64(&ICRT_TASK_MSGID)?,
            session_id: fields.uint64(&ICRT_SESSION_ID)?,
            offset: fields.uint32(&ICRT_OFFSET)?,
            length: fields.uint32(&ICRT_LENGTH)?,
        }),
        MessageType::Status => Body::Status(Status {
            status_msg_type: fields.uint8(&ICS_MSG_TYPE)?,
            status_msgid: fields.uint64(&ICS_MSGID)?,
            status: fields.uint8(&ICS_STATUS)?.into(),
        }),
        MessageType::SessionCreate => Body::SessionCreate(session(&fields, dialect)?),
        MessageType::SessionDestroy => Body::SessionDestroy(session(&fields, dialect)?),
        MessageType::EchoRequest => Body::EchoRequest(EchoRequest {
            data: fields.array_if(&ICERR_DATA, fields.uint32(&ICERR_DATALEN)?.into())?,
        }),
        MessageType::EchoReply => Body::EchoReply(EchoReply {
            data: fields.array_if(&ICERR_DATA, fields.uint32(&ICERR_DATALEN)?.into())?,
        }),
    };
    Ok(Message { msgid, body })
}

fn lun(fields: &Fields<'_>) -> Result<LunMessage, FieldError> {
    Ok(LunMessage {
        lun_id: fields.fixed_array(&ICRL_LUN_ID)?,
        lu_provider_name: fields.string(&ICRL_LU_PROVIDER_NAME)?.to_vec(),
        cb_arg: fields.array_if(&ICRL_CB_ARG, fields.uint16(&ICRL_CB_ARG_LEN)?.into())?,
    })
}

/// The order here is not that of the wire: a kernel that has come past the transport id merely
/// drops a damaged command, before that it does not.
fn scsi_command(fields: &Fields<'_>, dialect: Dialect) -> Result<ScsiCommand, FieldError> {
    let task_msgid = fields.uint64(&ICSC_TASK_MSGID)?;
    let session_id = fields.uint64(&ICSC_SESSION_ID)?;
    let task_expected_xfer_length = fields.uint32(&ICSC_TASK_EXPECTED_XFER_LENGTH)?;
    let cdb_length = fields.uint16(&ICSC_TASK_CDB_LENGTH)?;
    let task_flags = fields.uint8(&ICSC_TASK_FLAGS)?;
    let task_mgmt_function = fields.uint8(&ICSC_TASK_MGMT_FUNCTION)?;
    let immed_data_length = fields.uint32(&ICSC_IMMED_DATA_LEN)?;
    let ini_devid = fields.device_id(&ICSC_INI_DEVID)?;
    let tgt_devid = fields.device_id(&ICSC_TGT_DEVID)?;
    let rport = fields.transport_id(&ICSC_RPORT, dialect)?;
    let lun_id = fields.fixed_array(&ICSC_LUN_ID)?;
    let task_lun_no = fields.fixed_array(&ICSC_TASK_LUN_NO)?;
    if dialect == Dialect::Y2009 && cdb_length == 0 {
        return Err(fields.refused(&ICSC_TASK_CDB_LENGTH, FieldProblem::EmptyCommand));
    }
    let task_cdb = fields.array(&ICSC_TASK_CDB, cdb_length.into())?.to_vec();
    let immed_data = fields.array_if(&ICSC_IMMED_DATA, immed_data_length.into())?;
    Ok(ScsiCommand {
        task_msgid,
        ini_devid,
        tgt_devid,
        rport,
        lun_id,
        session_id,
        task_lun_no,
        task_expected_xfer_length,
        task_cdb,
        task_flags,
        // Kernels do not read it.
        task_priority: 0,
        task_mgmt_function,
        immed_data,
    })
}

fn session(fields: &Fields<'_>, dialect: Dialect) -> Result<SessionMessage, FieldError> {
    let session_id = fields.uint64(&ICSCD_SESSION_ID)?;
    Ok(SessionMessage {
        ini_devid: fields.device_id(&ICSCD_INI_DEVID)?,
        tgt_devid: fields.device_id(&ICSCD_TGT_DEVID)?,
        rport: fields.transport_id(&ICSCD_RPORT, dialect)?,
        session_id,
    })
}

/// A list, and what to call its fields in an error.
#[derive(Clone, Copy)]
struct Fields<'a> {
    list: List<'a>,
    message_type: Option<MessageType>,
    /// The field that this list is embedded under.
    outer: Option<&'static str>,
}

impl<'a> Fields<'a> {
    fn error(
        &self,
        name: &'static str,
        problem: FieldProblem,
        offset: Option<usize>,
    ) -> FieldError {
        let (field, inner) = match self.outer {
            Some(outer) => (outer, Some(name)),
            None => (name, None),
        };
        FieldError {
            message_type: self.message_type,
            field,
            inner,
            problem,
            offset,
        }
    }

    /// A value that was found, but cannot be.
    fn refused<const N: usize>(&self, template: &Template<N>, problem: FieldProblem) -> FieldError {
        let offset = self.find(template).ok().map(|pair| pair.value_offset);
        self.error(template.name, problem, offset)
    }

    fn find<const N: usize>(&self, template: &Template<N>) -> Result<Pair<'a>, FieldError> {
        let found = self
            .list
            .lookup(template.name.as_bytes(), template.data_type);
        found.map_err(|error| match error {
            LookupError::Missing => self.error(template.name, FieldProblem::Missing, None),
            LookupError::WrongType {
                expected,
                found,
                offset,
            } => {
                let problem = FieldProblem::WrongType { expected, found };
                self.error(template.name, problem, Some(offset))
            }
            LookupError::Flags { flags } => {
                // The flags stand right before the first pair.
                let offset = self.list.offset().checked_sub(4);
                self.error(template.name, FieldProblem::ListFlags { flags }, offset)
            }
        })
    }

    /// What `pick` takes from the value; the lookup was by type, so it takes it.
    fn pick<const N: usize, T>(
        &self,
        template: &Template<N>,
        pick: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<T, FieldError> {
        let pair = self.find(template)?;
        pick(pair.value).ok_or_else(|| {
            let expected = template.data_type;
            let found = pair.value.data_type();
            let problem = FieldProblem::WrongType { expected, found };
            self.error(template.name, problem, Some(pair.offset))
        })
    }

    fn uint8<const N: usize>(&self, template: &Template<N>) -> Result<u8, FieldError> {
        self.pick(template, |value| match value {
            Value::Uint8(value) => Some(value),
            _ => None,
        })
    }

    fn uint16<const N: usize>(&self, template: &Template<N>) -> Result<u16, FieldError> {
        self.pick(template, |value| match value {
            Value::Uint16(value) => Some(value),
            _ => None,
        })
    }

    fn uint32<const N: usize>(&self, template: &Template<N>) -> Result<u32, FieldError> {
        self.pick(template, |value| match value {
            Value::Uint32(value) => Some(value),
            _ => None,
        })
    }

    fn uint64<const N: usize>(&self, template: &Template<N>) -> Result<u64, FieldError> {
        self.pick(template, |value| match value {
            Value::Uint64(value) => Some(value),
            _ => None,
        })
    }

    fn string<const N: usize>(&self, template: &Template<N>) -> Result<&'a [u8], FieldError> {
        self.pick(template, |value| match value {
            Value::String(value) => Some(value),
            _ => None,
        })
    }

    /// An array of exactly this length.
    fn array<const N: usize>(
        &self,
        template: &Template<N>,
        expected: u64,
    ) -> Result<Bytes<'a>, FieldError> {
        let bytes = self.pick(template, |value| match value {
            Value::Uint8Array(bytes) => Some(bytes),
            _ => None,
        })?;
        let found = bytes.len() as u64;
        if found == expected {
            Ok(bytes)
        } else {
            Err(self.refused(template, FieldProblem::WrongLength { expected, found }))
        }
    }

    /// An array of exactly this length, which is not looked at when that is 0.
    fn array_if<const N: usize>(
        &self,
        template: &Template<N>,
        length: u64,
    ) -> Result<Vec<u8>, FieldError> {
        match length {
            0 => Ok(Vec::new()),
            length => Ok(self.array(template, length)?.to_vec()),
        }
    }

    /// An array of a length that never differs.
    fn fixed_array<const N: usize, const LEN: usize>(
        &self,
        template: &Template<N>,
    ) -> Result<[u8; LEN], FieldError> {
        let expected = LEN as u64;
        let bytes = self.array(template, expected)?;
        bytes.to_array().ok_or_else(|| {
            let found = bytes.len() as u64;
            self.refused(template, FieldProblem::WrongLength { expected, found })
        })
    }

    /// The fields of an embedded list.
    fn embedded<const N: usize>(&self, template: &Template<N>) -> Result<Fields<'a>, FieldError> {
        let list = self.pick(template, |value| match value {
            Value::Nvlist(list) => Some(list),
            _ => None,
        })?;
        Ok(Fields {
            list,
            message_type: self.message_type,
            outer: Some(template.name),
        })
    }

    /// A kernel keeps these numbers in bit fields: of wider ones the low bits remain.
    fn device_id<const N: usize>(&self, template: &Template<N>) -> Result<DeviceId, FieldError> {
        let fields = self.embedded(template)?;
        let length = fields.uint8(&IDENT_LENGTH)?;
        Ok(DeviceId {
            protocol_id: fields.uint8(&PROTOCOL_ID)? & 0xF,
            code_set: fields.uint8(&CODE_SET)? & 0xF,
            piv: fields.uint8(&PIV)? & 1,
            association: fields.uint8(&ASSOCIATION)? & 3,
            ident_type: fields.uint8(&IDENT_TYPE)? & 0xF,
            ident: fields.array(&IDENT, length.into())?.to_vec(),
        })
    }

    /// The dialect of 2009 does not know of transport ids and ignores one that is there.
    fn transport_id<const N: usize>(
        &self,
        template: &Template<N>,
        dialect: Dialect,
    ) -> Result<Option<Vec<u8>>, FieldError> {
        if dialect == Dialect::Y2009 {
            return Ok(None);
        }
        let fields = self.embedded(template)?;
        let size = fields.uint16(&RPORT_TPTID_SZ)?;
        if size < 2 {
            let problem = FieldProblem::ShortTransportId { found: size };
            return Err(fields.refused(&RPORT_TPTID_SZ, problem));
        }
        Ok(Some(fields.array(&RPORT_TPTID, size.into())?.to_vec()))
    }
}

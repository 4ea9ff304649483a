// SPDX-License-Identifier: MPL-2.0
//! The short way through the messages that make up nearly all traffic, when every byte that is
//! not a value stands where a kernel puts it: compare with what is known beforehand, and take the
//! values in one pass.
//!
//! Whatever differs in the least, even where that would be allowed, is none of this module's
//! business: it gives `None`, and the general way decides. What it does give is what the general
//! way would give; a property test compares the two on damaged messages.

use super::encode::{END, PREAMBLE};
use super::fields::*;
use super::{
    Body, DeviceId, Dialect, Message, MessageType, Route, ScsiCommand, ScsiData,
    ScsiDataTransferDone, ScsiStatus, Status, Subject,
};
use crate::nvlist::{Bytes, Limits, PACKED_LIMIT, template::Template, words};

/// How deep the lists of messages nest.
const DEPTH: u32 = 2;

/// The message, if it is one of those and in the usual form.
pub(super) fn decode(bytes: &[u8], dialect: Dialect, limits: &Limits) -> Option<Message> {
    if bytes.len() > limits.max_size.min(PACKED_LIMIT) || limits.max_depth < DEPTH {
        return None;
    }
    let (mut rest, message_type, msgid) = Rest::open(bytes)?;
    let body = match message_type {
        MessageType::ScsiCommand => Body::ScsiCommand(rest.scsi_command(dialect)?),
        MessageType::ScsiData => Body::ScsiData(ScsiData {
            task_msgid: rest.double_word(&ICSD_TASK_MSGID)?,
            session_id: rest.double_word(&ICSD_SESSION_ID)?,
            lun_id: rest.fixed_array(&ICSD_LUN_ID)?,
            data: match rest.double_word(&ICSD_DATA_LEN)? {
                0 => return None,
                length => rest.array(&ICSD_DATA, usize::try_from(length).ok()?)?,
            },
        }),
        MessageType::ScsiDataTransferDone => Body::ScsiDataTransferDone(ScsiDataTransferDone {
            task_msgid: rest.double_word(&ICSX_TASK_MSGID)?,
            session_id: rest.double_word(&ICSX_SESSION_ID)?,
            status: rest.double_word(&ICSX_STATUS)?,
        }),
        MessageType::ScsiStatus => Body::ScsiStatus(ScsiStatus {
            task_msgid: rest.double_word(&ICSS_TASK_MSGID)?,
            session_id: rest.double_word(&ICSS_SESSION_ID)?,
            lun_id: rest.fixed_array(&ICSS_LUN_ID)?,
            response: rest.word(&ICSS_RESPONSE)? as u8,
            status: rest.word(&ICSS_STATUS)? as u8,
            flags: rest.word(&ICSS_FLAGS)? as u8,
            resid: rest.word(&ICSS_RESID)?,
            sense: {
                let length = rest.word(&ICSS_SENSE_LEN)? as u8;
                rest.array_if_any(&ICSS_SENSE, length.into())?
            },
        }),
        MessageType::Status => Body::Status(Status {
            status_msg_type: rest.word(&ICS_MSG_TYPE)? as u8,
            status_msgid: rest.double_word(&ICS_MSGID)?,
            status: u64::from(rest.word(&ICS_STATUS)? as u8),
        }),
        _ => return None,
    };
    rest.end()?;
    Some(Message { msgid, body })
}

/// What a look tells (see [`peek`](super::peek)), if the message is one of those and its
/// beginning is in the usual form.
pub(super) fn peek(bytes: &[u8]) -> Option<(MessageType, u64, Subject<'_>)> {
    let (mut rest, message_type, msgid) = Rest::open(bytes)?;
    let subject = match message_type {
        MessageType::ScsiCommand => {
            let task_msgid = rest.double_word(&ICSC_TASK_MSGID)?;
            rest.device_id(&ICSC_INI_DEVID)?;
            let target = Bytes::new(rest.device_id(&ICSC_TGT_DEVID)?.ident);
            let initiator = Bytes::new(rest.transport_id(&ICSC_RPORT)?);
            let lun_id = Some(rest.fixed_array(&ICSC_LUN_ID)?);
            let session_id = rest.double_word(&ICSC_SESSION_ID)?;
            let lun = rest.fixed_array(&ICSC_TASK_LUN_NO)?;
            Subject::Task {
                session_id,
                task_msgid,
                route: Some(Route {
                    target,
                    initiator,
                    lun,
                }),
                lun_id,
            }
        }
        MessageType::ScsiData => rest.answer(&ICSD_TASK_MSGID, &ICSD_SESSION_ID, &ICSD_LUN_ID)?,
        MessageType::ScsiDataTransferDone => {
            let task_msgid = rest.double_word(&ICSX_TASK_MSGID)?;
            let session_id = rest.double_word(&ICSX_SESSION_ID)?;
            Subject::Task {
                session_id,
                task_msgid,
                route: None,
                lun_id: None,
            }
        }
        MessageType::ScsiStatus => rest.answer(&ICSS_TASK_MSGID, &ICSS_SESSION_ID, &ICSS_LUN_ID)?,
        MessageType::Status => Subject::Answer {
            message_type: rest.word(&ICS_MSG_TYPE)? as u8,
            msgid: rest.double_word(&ICS_MSGID)?,
        },
        _ => return None,
    };
    Some((message_type, msgid, subject))
}

/// What has not been read yet. Every method takes one pair in its usual form.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Past the two fields that every message begins with.
    #[inline]
    fn open(bytes: &'a [u8]) -> Option<(Rest<'a>, MessageType, u64)> {
        let mut rest = Rest(bytes.strip_prefix(&PREAMBLE)?);
        let message_type = MessageType::from_number(rest.word(&MSG_TYPE)? as u8)?;
        let msgid = rest.double_word(&MSGID)?;
        Some((rest, message_type, msgid))
    }

    #[inline]
    fn end(&self) -> Option<()> {
        // What comes after the end of the list is ignored.
        self.0.starts_with(&END).then_some(())
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    fn word<const N: usize>(&mut self, template: &Template<N>) -> Option<u32> {
        let pair = self.take::<N>()?;
        let (head, value) = pair.split_last_chunk()?;
        (head == &template.bytes[..N - 4]).then_some(u32::from_be_bytes(*value))
    }

    #[inline]
    fn double_word<const N: usize>(&mut self, template: &Template<N>) -> Option<u64> {
        let pair = self.take::<N>()?;
        let (head, value) = pair.split_last_chunk()?;
        (head == &template.bytes[..N - 8]).then_some(u64::from_be_bytes(*value))
    }

    /// The words of an array of that many bytes.
    #[inline]
    fn elements<const N: usize>(
        &mut self,
        template: &Template<N>,
        count: usize,
    ) -> Option<&'a [u8]> {
        let (pair, after) = match count {
            // An empty one has no count word; what stands in its place belongs to what follows.
            0 => (self.0.first_chunk::<N>()?, self.0.get(N - 4..)?),
            _ => {
                let (pair, after) = self.0.split_first_chunk::<N>()?;
                if pair.last_chunk() != Some(&(count as u32).to_be_bytes()) {
                    return None;
                }
                (pair, after)
            }
        };
        // More elements than there can be would not fit in the sizes that are compared.
        let (elements, after) = after.split_at_checked(count.checked_mul(4)?)?;
        if !template.precedes_array(pair, count) {
            return None;
        }
        self.0 = after;
        Some(elements)
    }

    #[inline]
    fn array<const N: usize>(&mut self, template: &Template<N>, count: usize) -> Option<Vec<u8>> {
        let elements = self.elements(template, count)?;
        Some(owned(elements))
    }

    #[inline]
    fn array_if_any<const N: usize>(
        &mut self,
        template: &Template<N>,
        count: usize,
    ) -> Option<Vec<u8>> {
        match count {
            0 => Some(Vec::new()),
            count => self.array(template, count),
        }
    }

    #[inline]
    fn fixed_array<const N: usize, const LEN: usize>(
        &mut self,
        template: &Template<N>,
    ) -> Option<[u8; LEN]> {
        words::compress_exact(self.elements(template, LEN)?)
    }

    /// Into an embedded list.
    #[inline]
    fn list<const N: usize>(&mut self, template: &Template<N>) -> Option<()> {
        let start = self.take::<N>()?;
        // The size on the wire, which comes first, depends on what is inside; nobody checks it.
        (start[4..] == template.bytes[4..]).then_some(())
    }

    /// Out of an embedded list.
    #[inline]
    fn list_end(&mut self) -> Option<()> {
        (self.take()? == &END).then_some(())
    }

    #[inline]
    fn device_id<const N: usize>(&mut self, template: &Template<N>) -> Option<Device<'a>> {
        self.list(template)?;
        let device = Device {
            protocol_id: self.word(&PROTOCOL_ID)? as u8 & 0xF,
            code_set: self.word(&CODE_SET)? as u8 & 0xF,
            piv: self.word(&PIV)? as u8 & 1,
            association: self.word(&ASSOCIATION)? as u8 & 3,
            ident_type: self.word(&IDENT_TYPE)? as u8 & 0xF,
            ident: {
                let length = self.word(&IDENT_LENGTH)? as u8;
                self.elements(&IDENT, length.into())?
            },
        };
        self.list_end()?;
        Some(device)
    }

    /// The words of a transport id.
    #[inline]
    fn transport_id<const N: usize>(&mut self, template: &Template<N>) -> Option<&'a [u8]> {
        self.list(template)?;
        let size = self.word(&RPORT_TPTID_SZ)? as u16;
        if size < 2 {
            return None;
        }
        let id = self.elements(&RPORT_TPTID, size.into())?;
        self.list_end()?;
        Some(id)
    }

    /// The beginning of what is sent back for a task.
    #[inline]
    fn answer<const N: usize, const M: usize, const L: usize>(
        &mut self,
        task: &Template<N>,
        session: &Template<M>,
        lun_id: &Template<L>,
    ) -> Option<Subject<'a>> {
        let task_msgid = self.double_word(task)?;
        let session_id = self.double_word(session)?;
        let lun_id = Some(self.fixed_array(lun_id)?);
        Some(Subject::Task {
            session_id,
            task_msgid,
            route: None,
            lun_id,
        })
    }

    fn scsi_command(&mut self, dialect: Dialect) -> Option<ScsiCommand> {
        let task_msgid = self.double_word(&ICSC_TASK_MSGID)?;
        let ini_devid = self.device_id(&ICSC_INI_DEVID)?;
        let tgt_devid = self.device_id(&ICSC_TGT_DEVID)?;
        let rport = match dialect {
            Dialect::Current => Some(self.transport_id(&ICSC_RPORT)?),
            Dialect::Y2009 => None,
        };
        let lun_id = self.fixed_array(&ICSC_LUN_ID)?;
        let session_id = self.double_word(&ICSC_SESSION_ID)?;
        let task_lun_no = self.fixed_array(&ICSC_TASK_LUN_NO)?;
        let task_expected_xfer_length = self.word(&ICSC_TASK_EXPECTED_XFER_LENGTH)?;
        let cdb_length = self.word(&ICSC_TASK_CDB_LENGTH)? as u16;
        if dialect == Dialect::Y2009 && cdb_length == 0 {
            return None;
        }
        let task_cdb = self.elements(&ICSC_TASK_CDB, cdb_length.into())?;
        let task_flags = self.word(&ICSC_TASK_FLAGS)? as u8;
        self.word(&ICSC_TASK_PRIORITY)?;
        let task_mgmt_function = self.word(&ICSC_TASK_MGMT_FUNCTION)? as u8;
        let immed_data_length = self.word(&ICSC_IMMED_DATA_LEN)?;
        let immed_data = match immed_data_length {
            0 => &[],
            length => self.elements(&ICSC_IMMED_DATA, length as usize)?,
        };
        Some(ScsiCommand {
            task_msgid,
            ini_devid: ini_devid.owned(),
            tgt_devid: tgt_devid.owned(),
            rport: rport.map(owned),
            lun_id,
            session_id,
            task_lun_no,
            task_expected_xfer_length,
            task_cdb: owned(task_cdb),
            task_flags,
            task_priority: 0,
            task_mgmt_function,
            immed_data: owned(immed_data),
        })
    }
}

/// A device id whose name is still a word a byte.
struct Device<'a> {
    protocol_id: u8,
    code_set: u8,
    piv: u8,
    association: u8,
    ident_type: u8,
    ident: &'a [u8],
}

impl Device<'_> {
    fn owned(&self) -> DeviceId {
        DeviceId {
            protocol_id: self.protocol_id,
            code_set: self.code_set,
            piv: self.piv,
            association: self.association,
            ident_type: self.ident_type,
            ident: owned(self.ident),
        }
    }
}

fn owned(words: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    words::compress(words, &mut bytes);
    bytes
}

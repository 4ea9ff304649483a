// SPDX-License-Identifier: MPL-2.0
//! The three blocks of pcapng that a trace consists of, as they are written: little-endian,
//! nanoseconds. They are those of the pcapng specification (draft-ietf-opsawg-pcapng); this
//! module knows nothing of records.

/// The type of a section header; reads the same in either byte order.
pub(super) const SECTION_HEADER: u32 = 0x0A0D_0D0A;
/// The type of an interface description.
pub(super) const INTERFACE: u32 = 1;
/// The type of an enhanced packet.
pub(super) const PACKET: u32 = 6;
/// What a section header begins with, in the byte order of its section.
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
/// The smallest block: type, length, length.
pub(super) const LEAST_BLOCK: u32 = 12;

/// LINKTYPE_USER7: one of the sixteen numbers that are left to private use.
pub const LINK_TYPE: u16 = 154;

/// Numbers of options.
pub(super) mod option {
    pub(in crate::trace) const END: u16 = 0;
    pub(in crate::trace) const COMMENT: u16 = 1;
    pub(in crate::trace) const INTERFACE_NAME: u16 = 2;
    pub(in crate::trace) const USER_APPLICATION: u16 = 4;
    pub(in crate::trace) const TIME_RESOLUTION: u16 = 9;
    pub(in crate::trace) const TIME_OFFSET: u16 = 14;
}

/// The most bytes of an option: its length has 16 bits.
pub(super) const MAX_OPTION: usize = 65_535;

/// Appends a section header.
pub(super) fn section_header(application: &str, comment: &str, out: &mut Vec<u8>) {
    block(SECTION_HEADER, out, |out| {
        out.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0, of a length that is not known.
        out.extend([1, 0, 0, 0]);
        out.extend(u64::MAX.to_le_bytes());
        option(option::USER_APPLICATION, application.as_bytes(), out);
        option(option::COMMENT, comment.as_bytes(), out);
        option(option::END, &[], out);
    });
}

/// Appends the description of an interface, whose packets are stamped in nanoseconds.
pub(super) fn interface(name: &str, out: &mut Vec<u8>) {
    block(INTERFACE, out, |out| {
        out.extend(u32::from(LINK_TYPE).to_le_bytes());
        // No limit on the length of packets.
        out.extend([0; 4]);
        option(option::INTERFACE_NAME, name.as_bytes(), out);
        option(option::TIME_RESOLUTION, &[9], out);
        option(option::END, &[], out);
    });
}

/// Appends a packet with the data that `data` appends, of which `missing` bytes more are not
/// there.
pub(super) fn packet(
    interface: u32,
    nanoseconds: u64,
    missing: u32,
    comment: Option<&str>,
    out: &mut Vec<u8>,
    data: impl FnOnce(&mut Vec<u8>),
) {
    block(PACKET, out, |out| {
        out.extend(interface.to_le_bytes());
        out.extend(((nanoseconds >> 32) as u32).to_le_bytes());
        out.extend((nanoseconds as u32).to_le_bytes());
        let lengths = out.len();
        out.extend([0; 8]);
        data(out);
        let captured = (out.len() - lengths - 8) as u32;
        put(out, lengths, captured);
        put(out, lengths + 4, captured.saturating_add(missing));
        pad(out, captured as usize);
        if let Some(comment) = comment {
            option(option::COMMENT, comment.as_bytes(), out);
            option(option::END, &[], out);
        }
    });
}

fn block(block_type: u32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(block_type.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let length = (out.len() + 4 - start) as u32;
    put(out, start + 4, length);
    out.extend(length.to_le_bytes());
}

fn put(out: &mut [u8], at: usize, value: u32) {
    if let Some(bytes) = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *bytes = value.to_le_bytes();
    }
}

fn option(code: u16, value: &[u8], out: &mut Vec<u8>) {
    let value = &value[..value.len().min(MAX_OPTION)];
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

fn pad(out: &mut Vec<u8>, length: usize) {
    out.resize(out.len() + length.next_multiple_of(4) - length, 0);
}

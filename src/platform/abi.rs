// SPDX-License-Identifier: MPL-2.0
//! The ioctls of the door API as the kernel of illumos defines them: numbers and structures.
//!
//! All fields are in native byte order and naturally aligned, and pointers are 64 bits wide
//! whatever the process, so one layout serves 32-bit and 64-bit callers. The layouts are
//! checked when this file is compiled, on any host; nothing here makes a system call.

use std::mem::{offset_of, size_of};

/// The version that every structure for an ioctl carries. Another one gets EINVAL.
pub const IOCTL_VERSION: u32 = 1;

/// Tells the proxy service which door to call ([`PpptIoctlData::door_fd`]).
pub const PPPT_INSTALL_DOOR: u32 = u32::from_be_bytes([b'P', b'P', b'P', 1]);
/// Hands a message to the proxy service ([`PpptIoctlData::buf`]).
pub const PPPT_MESSAGE: u32 = u32::from_be_bytes([b'P', b'P', b'P', 2]);
/// Sets the ALUA state ([`AluaStateDescriptor`] in [`StmfIoctlData::ibuf`]).
pub const STMF_IOCTL_SET_ALUA_STATE: u32 = u32::from_be_bytes([b'S', 0, 0, 36]);
/// Reads the ALUA state ([`AluaStateDescriptor`] in [`StmfIoctlData::obuf`]).
pub const STMF_IOCTL_GET_ALUA_STATE: u32 = u32::from_be_bytes([b'S', 0, 0, 37]);
/// Makes a logical unit standby ([`SetLuStandby`] in [`StmfIoctlData::ibuf`]).
pub const SBD_IOCTL_SET_LU_STANDBY: u32 = 0x005B << 16 | 7;

/// `struct pppt_iocdata`: the argument of the proxy service's ioctls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PpptIoctlData {
    /// [`IOCTL_VERSION`].
    pub version: u32,
    /// Out: unused by the ioctls here.
    pub error: u32,
    /// Descriptor of the door to install.
    pub door_fd: u32,
    /// Length of the message in bytes.
    pub buf_size: u32,
    /// Address of the message.
    pub buf: u64,
}

/// `struct stmf_iocdata`: the argument of the ioctls of STMF and of its disk provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct StmfIoctlData {
    /// [`IOCTL_VERSION`].
    pub version: u32,
    /// Out: a reason beside the error number, where the ioctl has one.
    pub error: u32,
    /// Bytes at `ibuf`.
    pub ibuf_size: u32,
    /// Bytes at `obuf`.
    pub obuf_size: u32,
    /// Out, for ioctls that give lists: entries written.
    pub obuf_nentries: u32,
    /// Out, for ioctls that give lists: entries there are.
    pub obuf_max_nentries: u32,
    /// Address of the input.
    pub ibuf: u64,
    /// Address of the output.
    pub obuf: u64,
}

/// `struct stmf_alua_state_desc`: whether ALUA is on, and which node this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AluaStateDescriptor {
    /// 0 off, 1 on.
    pub alua_state: u8,
    /// The node's number, 0 or 1.
    pub alua_node: u16,
}

/// `struct sbd_set_lu_standby`: which logical unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SetLuStandby {
    /// The unit's 16-byte identifier.
    pub guid: [u8; 16],
}

const _: () = {
    assert!(size_of::<PpptIoctlData>() == 24);
    assert!(offset_of!(PpptIoctlData, version) == 0);
    assert!(offset_of!(PpptIoctlData, error) == 4);
    assert!(offset_of!(PpptIoctlData, door_fd) == 8);
    assert!(offset_of!(PpptIoctlData, buf_size) == 12);
    assert!(offset_of!(PpptIoctlData, buf) == 16);

    assert!(size_of::<StmfIoctlData>() == 40);
    assert!(offset_of!(StmfIoctlData, version) == 0);
    assert!(offset_of!(StmfIoctlData, error) == 4);
    assert!(offset_of!(StmfIoctlData, ibuf_size) == 8);
    assert!(offset_of!(StmfIoctlData, obuf_size) == 12);
    assert!(offset_of!(StmfIoctlData, obuf_nentries) == 16);
    assert!(offset_of!(StmfIoctlData, obuf_max_nentries) == 20);
    assert!(offset_of!(StmfIoctlData, ibuf) == 24);
    assert!(offset_of!(StmfIoctlData, obuf) == 32);

    assert!(size_of::<AluaStateDescriptor>() == 4);
    assert!(offset_of!(AluaStateDescriptor, alua_state) == 0);
    assert!(offset_of!(AluaStateDescriptor, alua_node) == 2);

    assert!(size_of::<SetLuStandby>() == 16);

    assert!(PPPT_INSTALL_DOOR == 0x5050_5001);
    assert!(PPPT_MESSAGE == 0x5050_5002);
    assert!(STMF_IOCTL_SET_ALUA_STATE == 0x5300_0024);
    assert!(STMF_IOCTL_GET_ALUA_STATE == 0x5300_0025);
    assert!(SBD_IOCTL_SET_LU_STANDBY == 0x005B_0007);
};

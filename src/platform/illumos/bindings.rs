// SPDX-License-Identifier: MPL-2.0
//! The doors interface of the C library, from its public manual pages: door_create(3C),
//! door_call(3C), door_return(3C), door_revoke(3C), door_info(3C), door_server_create(3C).
//!
//! Layouts are checked when this is compiled. Only what this crate calls is here.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::mem::{offset_of, size_of};

/// The server is told when the last reference of others is gone.
pub const DOOR_UNREF: c_uint = 0x01;
/// Callers that pass descriptors get ENOTSUP.
pub const DOOR_REFUSE_DESC: c_uint = 0x40;
/// A call that its caller gives up does not cancel the server thread.
pub const DOOR_NO_CANCEL: c_uint = 0x80;

/// What `argp` is in the invocation that tells of the last reference.
pub const DOOR_UNREF_DATA: usize = 1;

/// `door_desc_t`: a descriptor that travels with a call or its result. None do here.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub struct DoorDesc {
    /// What kind of descriptor.
    pub attributes: c_uint,
    /// The descriptor, or space for what else could be here.
    pub data: DoorDescData,
}

/// The union inside [`DoorDesc`].
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub union DoorDescData {
    /// A file descriptor.
    pub descriptor: DoorFileDescriptor,
    /// Reserved.
    pub reserved: [c_int; 5],
}

/// A file descriptor inside [`DoorDesc`].
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub struct DoorFileDescriptor {
    /// Its number.
    pub number: c_int,
    /// The door's unique id, if it is a door.
    pub id: u64,
}

/// `door_arg_t`: the argument of a call, and its results afterwards.
#[repr(C)]
pub struct DoorArg {
    /// Address of the message; afterwards of the result.
    pub data_ptr: *mut c_char,
    /// Length of the message; afterwards of the result.
    pub data_size: usize,
    /// Descriptors that travel with it.
    pub desc_ptr: *mut DoorDesc,
    /// How many.
    pub desc_num: c_uint,
    /// Where the result goes. Afterwards another place if it did not fit.
    pub rbuf: *mut c_char,
    /// Its size.
    pub rsize: usize,
}

/// `door_info_t`: what can be known of a door.
#[derive(Clone, Copy, Default)]
#[repr(C, packed(4))]
pub struct DoorInfo {
    /// Process id of the server.
    pub target: c_int,
    /// Server procedure.
    pub procedure: u64,
    /// Its cookie.
    pub cookie: u64,
    /// The attributes, and what else is known of the door.
    pub attributes: c_uint,
    /// A number that no other door has.
    pub uniquifier: u64,
    /// Reserved.
    pub reserved: [c_int; 4],
}

/// What a door calls.
pub type ServerProcedure = unsafe extern "C" fn(
    cookie: *mut c_void,
    argp: *mut c_char,
    arg_size: usize,
    dp: *mut DoorDesc,
    n_desc: c_uint,
);

/// What the library calls when it wants another server thread: with NULL for the threads that
/// all doors of the process share, else for the private threads of the door described.
pub type CreateProcedure = unsafe extern "C" fn(info: *mut DoorInfo);

unsafe extern "C" {
    /// Makes a door; -1 and an error number on failure.
    pub fn door_create(
        procedure: ServerProcedure,
        cookie: *mut c_void,
        attributes: c_uint,
    ) -> c_int;
    /// Calls a door; -1 and an error number on failure.
    pub fn door_call(door: c_int, params: *mut DoorArg) -> c_int;
    /// Delivers a result, if this thread is answering a call, and waits for the next call, which
    /// starts on a fresh stack. Returns only on failure: -1 and an error number.
    pub fn door_return(
        data: *mut c_char,
        size: usize,
        descriptors: *mut DoorDesc,
        count: c_uint,
    ) -> c_int;
    /// Makes later calls of the door fail and closes the descriptor; -1 and an error number on
    /// failure.
    pub fn door_revoke(door: c_int) -> c_int;
    /// Describes a door; -1 and an error number on failure.
    pub fn door_info(door: c_int, info: *mut DoorInfo) -> c_int;
    /// Replaces the procedure that makes server threads; gives the one before.
    pub fn door_server_create(procedure: Option<CreateProcedure>) -> Option<CreateProcedure>;
}

const _: () = {
    assert!(
        size_of::<*mut c_char>() == 8,
        "the bindings are for 64-bit processes"
    );

    assert!(size_of::<DoorArg>() == 48);
    assert!(offset_of!(DoorArg, data_ptr) == 0);
    assert!(offset_of!(DoorArg, data_size) == 8);
    assert!(offset_of!(DoorArg, desc_ptr) == 16);
    assert!(offset_of!(DoorArg, desc_num) == 24);
    assert!(offset_of!(DoorArg, rbuf) == 32);
    assert!(offset_of!(DoorArg, rsize) == 40);

    assert!(size_of::<DoorDesc>() == 24);
    assert!(align_of::<DoorDesc>() == 4);
    assert!(offset_of!(DoorDesc, attributes) == 0);
    assert!(offset_of!(DoorDesc, data) == 4);
    assert!(size_of::<DoorDescData>() == 20);
    assert!(size_of::<DoorFileDescriptor>() == 12);
    assert!(offset_of!(DoorFileDescriptor, number) == 0);
    assert!(offset_of!(DoorFileDescriptor, id) == 4);

    assert!(size_of::<DoorInfo>() == 48);
    assert!(align_of::<DoorInfo>() == 4);
    assert!(offset_of!(DoorInfo, target) == 0);
    assert!(offset_of!(DoorInfo, procedure) == 4);
    assert!(offset_of!(DoorInfo, cookie) == 12);
    assert!(offset_of!(DoorInfo, attributes) == 20);
    assert!(offset_of!(DoorInfo, uniquifier) == 24);
    assert!(offset_of!(DoorInfo, reserved) == 32);
};

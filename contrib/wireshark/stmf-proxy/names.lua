-- SPDX-License-Identifier: MPL-2.0
-- Names of numbers: kinds of events (docs/trace-format.md), what messages carry
-- (docs/wire-format.md), SCSI (SPC-4, SBC-3, SAM-5) and error numbers of illumos (Intro(2)).

local names = {}

names.kinds = {
    [0] = "upcall", "upcall-done", "post", "post-done", "kernel-log", "panic", "relay-log",
    "relay-started", "relay-ended", "boot", "power-off", "alua-state", "lu-access", "connect",
    "connected", "disconnected", "sent", "received", "session-opened", "session-closed",
    "command", "command-done", "management", "management-done", "aborted", "timed-out", "fault",
    "step", "call", "call-done", "unreferenced", "lost", "port-added", "port-removed",
    "lu-operation", "choices", "operation",
}

names.messages = {
    [0] = "register_proxy_port", "deregister_proxy_port", "register_lun", "deregister_lun",
    "scsi_cmd", "scsi_data", "scsi_data_xfer_done", "scsi_status", "r2t", "status",
    "session_create", "session_destroy", "echo_request", "echo_reply", "lun_active",
}

names.steps = {
    [0] = "door_create", "open of the proxy service", "installation of the door", "post",
    "close of the proxy service", "door_revoke", "open of stmf's device", "set ALUA state",
    "get ALUA state", "open of sbd's device", "set LU standby",
}

names.lu_access = { [0] = "standby", "active", "gone" }
names.ends = { [0] = "closed", "reset", "refused", "no answer" }
names.lu_operations = { [0] = "create", "import standby", "import", "make standby", "delete" }

names.task_management = {
    [0] = "none", "abort task", "abort task set", "clear ACA", "clear task set", "LUN reset",
    "target warm reset", "target cold reset", [9] = "target reset",
}

names.attributes = { [0] = "untagged", "SIMPLE", "ORDERED", "HEAD OF QUEUE", "ACA" }

names.scsi_status = {
    [0x00] = "GOOD", [0x02] = "CHECK CONDITION", [0x04] = "CONDITION MET", [0x08] = "BUSY",
    [0x18] = "RESERVATION CONFLICT", [0x28] = "TASK SET FULL", [0x30] = "ACA ACTIVE",
    [0x40] = "TASK ABORTED",
}

names.sense_keys = {
    [0] = "NO SENSE", "RECOVERED ERROR", "NOT READY", "MEDIUM ERROR", "HARDWARE ERROR",
    "ILLEGAL REQUEST", "UNIT ATTENTION", "DATA PROTECT", "BLANK CHECK", "VENDOR SPECIFIC",
    "COPY ABORTED", "ABORTED COMMAND", [13] = "VOLUME OVERFLOW", [14] = "MISCOMPARE",
    [15] = "COMPLETED",
}

names.protocols = {
    [0] = "Fibre Channel", "parallel SCSI", "SSA", "IEEE 1394", "SRP", "iSCSI", "SAS", "ADT",
    "ATA", "UAS", "SOP", [15] = "none",
}
names.code_sets = { "binary", "ASCII", "UTF-8" }
names.associations = { [0] = "logical unit", "target port", "target device" }
names.ident_types = {
    [0] = "vendor specific", "T10 vendor id", "EUI-64", "NAA", "relative target port",
    "target port group", "logical unit group", "MD5 logical unit", "SCSI name string",
}

names.errors = {
    [1] = "EPERM", [2] = "ENOENT", [3] = "ESRCH", [4] = "EINTR", [5] = "EIO", [6] = "ENXIO",
    [7] = "E2BIG", [9] = "EBADF", [11] = "EAGAIN", [12] = "ENOMEM", [13] = "EACCES",
    [14] = "EFAULT", [16] = "EBUSY", [17] = "EEXIST", [19] = "ENODEV", [22] = "EINVAL",
    [23] = "ENFILE", [24] = "EMFILE", [25] = "ENOTTY", [27] = "EFBIG", [28] = "ENOSPC",
    [30] = "EROFS", [32] = "EPIPE", [34] = "ERANGE", [47] = "ECANCELED", [48] = "ENOTSUP",
    [71] = "EPROTO", [77] = "EBADMSG", [79] = "EOVERFLOW", [89] = "ENOSYS", [97] = "EMSGSIZE",
    [127] = "ENETDOWN", [128] = "ENETUNREACH", [130] = "ECONNABORTED", [131] = "ECONNRESET",
    [132] = "ENOBUFS", [134] = "ENOTCONN", [143] = "ESHUTDOWN", [145] = "ETIMEDOUT",
    [146] = "ECONNREFUSED", [148] = "EHOSTUNREACH", [149] = "EALREADY", [150] = "EINPROGRESS",
}

names.opcodes = {
    [0x00] = "TEST UNIT READY", [0x03] = "REQUEST SENSE", [0x04] = "FORMAT UNIT",
    [0x08] = "READ(6)", [0x0A] = "WRITE(6)", [0x12] = "INQUIRY", [0x15] = "MODE SELECT(6)",
    [0x16] = "RESERVE(6)", [0x17] = "RELEASE(6)", [0x1A] = "MODE SENSE(6)",
    [0x1B] = "START STOP UNIT", [0x1D] = "SEND DIAGNOSTIC",
    [0x1E] = "PREVENT ALLOW MEDIUM REMOVAL", [0x25] = "READ CAPACITY(10)",
    [0x28] = "READ(10)", [0x2A] = "WRITE(10)", [0x2E] = "WRITE AND VERIFY(10)",
    [0x2F] = "VERIFY(10)", [0x35] = "SYNCHRONIZE CACHE(10)", [0x41] = "WRITE SAME(10)",
    [0x42] = "UNMAP", [0x4D] = "LOG SENSE", [0x55] = "MODE SELECT(10)", [0x56] = "RESERVE(10)",
    [0x57] = "RELEASE(10)", [0x5A] = "MODE SENSE(10)", [0x5E] = "PERSISTENT RESERVE IN",
    [0x5F] = "PERSISTENT RESERVE OUT", [0x83] = "EXTENDED COPY", [0x88] = "READ(16)",
    [0x89] = "COMPARE AND WRITE", [0x8A] = "WRITE(16)", [0x8F] = "VERIFY(16)",
    [0x91] = "SYNCHRONIZE CACHE(16)", [0x93] = "WRITE SAME(16)",
    [0x9E] = "SERVICE ACTION IN(16)", [0xA0] = "REPORT LUNS", [0xA3] = "MAINTENANCE IN",
    [0xA4] = "MAINTENANCE OUT", [0xA8] = "READ(12)", [0xAA] = "WRITE(12)",
    [0xAF] = "VERIFY(12)",
}

-- Commands that only their service action names: operation code * 32 + service action.
local actions = {
    [0x5E * 32 + 0x00] = "PERSISTENT RESERVE IN, READ KEYS",
    [0x5E * 32 + 0x01] = "PERSISTENT RESERVE IN, READ RESERVATION",
    [0x5E * 32 + 0x02] = "PERSISTENT RESERVE IN, REPORT CAPABILITIES",
    [0x5E * 32 + 0x03] = "PERSISTENT RESERVE IN, READ FULL STATUS",
    [0x5F * 32 + 0x00] = "PERSISTENT RESERVE OUT, REGISTER",
    [0x5F * 32 + 0x01] = "PERSISTENT RESERVE OUT, RESERVE",
    [0x5F * 32 + 0x02] = "PERSISTENT RESERVE OUT, RELEASE",
    [0x5F * 32 + 0x03] = "PERSISTENT RESERVE OUT, CLEAR",
    [0x5F * 32 + 0x04] = "PERSISTENT RESERVE OUT, PREEMPT",
    [0x5F * 32 + 0x05] = "PERSISTENT RESERVE OUT, PREEMPT AND ABORT",
    [0x5F * 32 + 0x06] = "PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY",
    [0x5F * 32 + 0x07] = "PERSISTENT RESERVE OUT, REGISTER AND MOVE",
    [0x9E * 32 + 0x10] = "READ CAPACITY(16)",
    [0x9E * 32 + 0x12] = "GET LBA STATUS",
    [0xA3 * 32 + 0x05] = "REPORT IDENTIFYING INFORMATION",
    [0xA3 * 32 + 0x0A] = "REPORT TARGET PORT GROUPS",
    [0xA3 * 32 + 0x0C] = "REPORT SUPPORTED OPERATION CODES",
    [0xA4 * 32 + 0x0A] = "SET TARGET PORT GROUPS",
}

-- The name of the command in a CDB.
function names.command(cdb)
    local opcode, second = cdb:byte(1, 2)
    if not opcode then
        return "(no CDB)"
    end
    local named = actions[opcode * 32 + (second or 0) % 32] or names.opcodes[opcode]
    if named then
        return named
    end
    return opcode >= 0xC0 and "vendor-specific command" or "unknown command"
end

local codes = {
    [1] = "NOT_FOUND", [2] = "INVALID_ARG", [3] = "LUN_TAKEN", [5] = "ABORTED",
    [6] = "ABORT_SUCCESS", [7] = "ALLOC_FAILURE", [8] = "ALREADY", [9] = "TIMEOUT",
    [10] = "NOT_SUPPORTED", [11] = "BADSTATE",
}

-- The name of a 64-bit status of STMF, given as two words; nil for one without a name.
function names.stmf_status(high, low)
    if low ~= 0 then
        return nil
    elseif high == 0 then
        return "SUCCESS"
    elseif high == 0x10000000 then
        return "FAILURE"
    elseif high == 0x20000000 then
        return "TARGET_FAILURE"
    elseif high == 0x30000000 then
        return "LU_FAILURE"
    elseif high == 0x10800000 then
        return "BUSY"
    end
    return codes[high - 0x10000000]
end

-- Text that any column or tree shows: bytes are taken as Latin-1, and those without a shape are
-- written as \xNN.
function names.latin1(bytes)
    return (bytes:gsub(".", function(character)
        local byte = character:byte()
        if byte < 0x20 or (byte >= 0x7F and byte < 0xA0) then
            return string.format("\\x%02x", byte)
        elseif byte >= 0x80 then
            return string.char(0xC0 + math.floor(byte / 64), 0x80 + byte % 64)
        end
    end))
end

-- The same for UTF-8: only control characters are written as \xNN. Nil for what is not UTF-8.
function names.utf8(bytes)
    local at = 1
    while true do
        at = bytes:find("[\128-\255]", at)
        if not at then
            break
        end
        local first, second = bytes:byte(at, at + 1)
        local length = first >= 0xF0 and 4 or first >= 0xE0 and 3 or 2
        if first < 0xC2 or first > 0xF4 or not second then
            return nil
        end
        -- Overlong forms, surrogates and what is past U+10FFFF show in the second byte.
        if (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F)
            or (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F) then
            return nil
        end
        local rest = bytes:sub(at + 1, at + length - 1)
        if #rest ~= length - 1 or rest:find("[^\128-\191]") then
            return nil
        end
        at = at + length
    end
    return (bytes:gsub("[\0-\31\127]", function(character)
        return string.format("\\x%02x", character:byte())
    end))
end

return names

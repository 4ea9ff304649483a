-- SPDX-License-Identifier: MPL-2.0
-- The kinds of events and the fields that each has in its record (docs/trace-format.md).
--
-- A form says what the number in the header is, whether the outcome is a result or an error
-- number, which fields there are, what the bulk is, and between whom the event runs: K the
-- kernel, R the relay, P the peer, I the initiator, N the node as a whole.

local events = {}

-- A field: its name in filters and its type. "short" is a length and as many bytes, "text" the same in UTF-8.
events.forms = {
    [0] = { number = "call", from = "K", to = "R", bulk = "message",
        { "attempt", "u8" }, { "lock_held", "flag" } },
    { number = "call", from = "R", to = "K" },
    { number = "post", from = "R", to = "K", bulk = "message" },
    { number = "post", from = "K", to = "R" },
    { from = "K", bulk = "text" },
    { from = "K", bulk = "text", { "trap", "u8" } },
    { from = "R", bulk = "text" },
    { from = "R" },
    { from = "R" },
    { from = "N", number = "boot" },
    { from = "N" },
    { from = "N", { "alua_enabled", "flag" }, { "alua_node", "u32" } },
    { from = "N", { "lu", "bytes", 16 }, { "lu_access", "choice", 3 } },
    { number = "connection", from = "R", to = "P" },
    { number = "connection", from = "P", to = "R" },
    { number = "connection", from = "P", to = "R", { "end", "choice", 4 } },
    { number = "connection", from = "R", to = "P", bulk = "link_bytes" },
    { number = "connection", from = "P", to = "R", bulk = "link_bytes" },
    { number = "session", from = "I", to = "N",
        { "initiator", "u32" }, { "port", "short" }, { "initiator_port", "short" } },
    { number = "session", from = "I", to = "N", { "initiator", "u32" } },
    { number = "tag", from = "I", to = "N", bulk = "data",
        { "initiator", "u32" }, { "session", "u64" }, { "lun", "bytes", 8 },
        { "task_flags", "u8" }, { "expected", "u32" }, { "cdb", "short" } },
    { number = "tag", from = "N", to = "I", bulk = "data",
        { "initiator", "u32" }, { "scsi_status", "u8" }, { "residual_flags", "u8" },
        { "residual", "u32" }, { "sense", "short" } },
    { number = "tag", from = "I", to = "N",
        { "initiator", "u32" }, { "session", "u64" }, { "lun", "bytes", 8 },
        { "function", "u8" } },
    { number = "tag", from = "N", to = "I",
        { "initiator", "u32" }, { "management_status", "u8" } },
    { number = "tag", from = "N", to = "I", { "initiator", "u32" } },
    { number = "tag", from = "I", to = "N", { "initiator", "u32" } },
    { from = "N", bulk = "text" },
    { from = "N", bulk = "text" },
    { number = "call", from = "R", to = "K", { "step", "choice", 11 } },
    { number = "call", from = "K", to = "R", { "step", "choice", 11 } },
    { from = "K", to = "R" },
    { number = "lost", from = "N" },
    { from = "N", { "alua", "flag" }, { "buffer_size", "u32" }, { "port", "short" } },
    { from = "N", { "port", "short" } },
    { from = "N", { "lu", "bytes", 16 }, { "lu_operation", "choice", 5 } },
    { from = "N", bulk = "choices" },
    { number = "operation", from = "N", bulk = "data",
        { "steps", "u64" }, { "ended", "u64" }, { "operation_text", "text" } },
}

-- What is shown of an event of a kind that this version does not know.
events.unknown = { from = "N", bulk = "data" }

-- Bits of the flags in the header.
events.OUTCOME, events.ERRNO, events.LANE, events.GAP = 0x01, 0x02, 0x04, 0x08
events.GAP_WORDS, events.DIGEST, events.HASH, events.TROUBLE = 0x10, 0x20, 0x40, 0x80

-- Whether a bit is set in a number.
function events.has(number, bit)
    return math.floor(number / bit) % 2 == 1
end

local parties = { K = "kernel", R = "relay", P = "peer" }

-- One end of an event, for the columns.
local function party(letter, node, initiator)
    if letter == "I" then
        return initiator and string.format("initiator %d", initiator) or "initiator"
    end
    local name = node == 255 and "world" or string.format("node %d", node)
    if letter == "N" or letter == nil then
        return letter and name or ""
    elseif letter == "P" then
        return "peer of " .. name
    end
    return name .. " " .. parties[letter]
end

-- From whom to whom the event runs; the second is empty where there is none.
function events.ends(form, node, initiator)
    return party(form.from, node, initiator), party(form.to, node, initiator)
end

return events

-- SPDX-License-Identifier: MPL-2.0
-- Everything that can be filtered by. A field of a message is stmf.MESSAGE.FIELD, with the names
-- of the JSON form (docs/wire-format.md); what belongs to the event is stmf.FIELD.

local fields = {}

-- Makes the fields: a table from the name without "stmf." to the ProtoField.
function fields.make(names, messages)
    local made = {}
    local function add(kind, name, title, ...)
        made[name] = ProtoField[kind]("stmf." .. name, title, ...)
    end
    local function bit(name, title, mask)
        add("bool", name, title, 8, nil, mask)
    end

    -- The header of a record.
    add("uint8", "version", "Format version", base.DEC)
    add("uint8", "kind", "Kind", base.DEC, names.kinds)
    add("uint8", "node", "Node", base.DEC)
    add("uint8", "flags", "Flags", base.HEX)
    bit("flags.outcome", "Has an outcome", 0x01)
    bit("flags.errno", "Outcome is an error number", 0x02)
    bit("flags.lane", "Has a lane", 0x04)
    bit("flags.gap", "Data was cut", 0x08)
    bit("flags.gap_words", "Whole words of an array were cut", 0x10)
    bit("flags.digest", "Has a digest of what was cut", 0x20)
    bit("flags.hash", "Has a hash", 0x40)
    bit("flags.trouble", "Something went wrong", 0x80)
    add("uint16", "header_length", "Length of the header", base.DEC)
    add("uint8", "message_type", "Type of message", base.DEC, names.messages)
    add("uint32", "fields_length", "Length of the fields", base.DEC)
    add("uint32", "result", "Result", base.DEC)
    add("int32", "errno", "Error number", base.DEC, names.errors)
    add("uint64", "sequence", "Sequence number", base.DEC)
    add("uint64", "number", "Number", base.DEC)
    add("uint32", "bulk_length", "Length of the bulk", base.DEC)
    add("uint32", "lane", "Lane", base.HEX)
    add("uint64", "session", "Session", base.DEC)
    add("uint64", "task", "Task", base.DEC)
    add("uint64", "hash", "Hash of the run", base.HEX)
    add("uint32", "gap.offset", "Bytes of the bulk before the gap", base.DEC)
    add("uint32", "gap.length", "Bytes missing", base.DEC)
    add("bytes", "gap.digest", "Digest of what is missing")

    -- What the number in the header is.
    add("uint64", "call", "Call", base.DEC)
    add("uint64", "post", "Post", base.DEC)
    add("uint64", "boot", "Boot", base.DEC)
    add("uint64", "connection", "Connection", base.DEC)
    add("uint64", "tag", "Tag", base.DEC)
    add("uint64", "lost", "Events lost", base.DEC)

    -- Fields of events.
    add("uint8", "attempt", "Attempt", base.DEC)
    add("bool", "lock_held", "The stmf lock is held")
    add("uint8", "trap", "Trap", base.DEC)
    add("bool", "alua_enabled", "ALUA enabled")
    add("uint32", "alua_node", "ALUA node", base.DEC)
    add("bytes", "lu", "LU id")
    add("uint8", "lu_access", "Access state", base.DEC, names.lu_access)
    add("uint8", "end", "How it ended", base.DEC, names.ends)
    add("uint32", "initiator", "Initiator", base.DEC)
    add("string", "port", "Target port")
    add("string", "initiator_port", "Initiator port")
    add("bytes", "lun", "LUN")
    add("uint8", "task_flags", "Task flags", base.HEX)
    bit("task_flags.initial_burst", "Write data comes with the command", 0x80)
    bit("task_flags.read", "Reads", 0x40)
    bit("task_flags.write", "Writes", 0x20)
    add("uint8", "task_flags.attribute", "Attribute", base.DEC, names.attributes, 0x07)
    add("uint32", "expected", "Expected bytes", base.DEC)
    add("bytes", "cdb", "CDB")
    add("uint8", "opcode", "Operation code", base.HEX, names.opcodes)
    add("string", "command", "Command")
    add("uint8", "scsi_status", "SCSI status", base.HEX, names.scsi_status)
    add("uint8", "residual_flags", "Residual flags", base.HEX)
    bit("residual_flags.overflow", "Overflow", 0x01)
    bit("residual_flags.underflow", "Underflow", 0x02)
    add("uint32", "residual", "Residual bytes", base.DEC)
    add("bytes", "sense", "Sense data")
    add("uint8", "sense_key", "Sense key", base.HEX, names.sense_keys)
    add("uint8", "asc", "Additional sense code", base.HEX)
    add("uint8", "ascq", "Additional sense code qualifier", base.HEX)
    add("uint8", "function", "Task management function", base.DEC, names.task_management)
    add("uint8", "management_status", "Status", base.HEX)
    add("uint8", "step", "Step of the door API", base.DEC, names.steps)
    add("bool", "alua", "Takes part in ALUA")
    add("uint32", "buffer_size", "Longest transfer", base.DEC)
    add("uint8", "lu_operation", "Operation", base.DEC, names.lu_operations)
    add("string", "text", "Text")
    add("bytes", "link_bytes", "Bytes of the peer link")
    add("bytes", "data", "Data")
    add("bytes", "choices", "Choices of the simulator")
    add("uint64", "operation", "Operation on the world", base.DEC)
    add("uint64", "steps", "Steps before it", base.DEC)
    add("uint64", "ended", "Operations that had ended", base.DEC)
    add("string", "operation_text", "What was done")
    add("bytes", "other_fields", "Fields that are not known")

    -- Messages.
    add("none", "msg", "Message")
    add("uint8", "msg.type", "Type", base.DEC, names.messages)
    add("uint64", "msg.msgid", "Message id", base.DEC)
    add("uint32", "msg.length", "Length", base.DEC)
    add("string", "msg.dialects", "Taken by kernels of the dialect")
    add("string", "msg.other", "Field that is not looked at")
    add("uint32", "msg.trailing", "Bytes after the end of the list", base.DEC)
    add("string", "status_name", "Status")
    add("string", "ident_text", "Name")
    add("uint8", "rport.protocol_id", "Protocol", base.DEC, names.protocols)
    add("string", "rport.name", "Name")

    local kinds = {
        UINT8 = "uint8", UINT16 = "uint16", UINT32 = "uint32", UINT64 = "uint64",
        array = "bytes", STRING = "string", device = "none", transport = "none",
    }
    local function form(prefix, entries)
        for _, entry in ipairs(entries) do
            local name, kind = prefix .. "." .. entry[2], kinds[entry[3]]
            if kind == "bytes" or kind == "string" or kind == "none" then
                add(kind, name, entry[1])
            elseif entry.shows and entry.shows ~= "ident" then
                add(kind, name, entry[1], base.HEX)
            else
                add(kind, name, entry[1], base.DEC, entry.names and names[entry.names])
            end
            if entry[3] == "device" then
                form(name, messages.device_form)
            elseif entry[3] == "transport" then
                form(name, messages.transport_form)
            end
        end
    end
    for number = 0, 14 do
        form(names.messages[number], messages.forms[number])
    end
    return made
end

return fields

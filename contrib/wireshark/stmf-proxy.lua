-- SPDX-License-Identifier: MPL-2.0
-- Wireshark dissector for traces of stmf-proxy (docs/trace-format.md, docs/wire-format.md):
-- pcapng files of link type 154, LINKTYPE_USER7. See README.md beside this file.
--
-- The parts stand in the directory stmf-proxy/ beside this file, each a table without side
-- effects: Wireshark loads every Lua file in its plugin directories, those too.
-- Written for the Lua 5.2 of Wireshark 4.0 and 4.2, and the Lua 5.4 of 4.4.

-- Where this file is.
local function directory()
    local source = debug and debug.getinfo(1, "S").source or ""
    local path = source:match("^@(.*)$") or source
    local found = path:match("^(.*)[/\\][^/\\]*$")
    if found then
        return found
    end
    return __DIR__ and __DIR__ ~= "" and __DIR__ or "."
end

local parts = directory() .. "/stmf-proxy/"
local function part(name)
    return assert(dofile(parts .. name .. ".lua"), "cannot load " .. parts .. name .. ".lua")
end

local names = part("names")
local nvlist = part("nvlist")
local messages = part("messages")
local events = part("events")
local View = part("view")

local stmf = Proto("stmf", "STMF proxy trace")
local fields = part("fields").make(names, messages)
stmf.fields = fields

local experts = {
    malformed = ProtoExpert.new("stmf.malformed", "Malformed",
        expert.group.MALFORMED, expert.severity.ERROR),
    dialect = ProtoExpert.new("stmf.one_dialect_only", "Taken by one dialect only",
        expert.group.PROTOCOL, expert.severity.WARN),
    cut = ProtoExpert.new("stmf.cut", "Data was not recorded",
        expert.group.UNDECODED, expert.severity.NOTE),
    trouble = ProtoExpert.new("stmf.trouble", "Something went wrong",
        expert.group.RESPONSE_CODE, expert.severity.WARN),
}
stmf.experts = experts

stmf.prefs.dialect = Pref.enum("Dialect of the kernels", 0,
    "Messages that no kernel of this dialect takes are marked as malformed", {
        { 1, "either", 0 },
        { 2, "current", 1 },
        { 3, "2009", 2 },
    })
local DIALECTS = { [0] = "either", "current", "2009" }

local shown = part("show").with(fields, experts, names, messages, nvlist)

-- What is wrong with a record: a table, so that it cannot be taken for an error of the program.
local function malformed(text)
    error({ malformed = text }, 0)
end

-- Reads fields one after the other; they end at `ends`.
local Cursor = {}
Cursor.__index = Cursor

function Cursor:take(length, what)
    if length > self.ends - self.at then
        malformed(string.format("%s needs %.0f bytes, %d are left", what, length,
            self.ends - self.at))
    end
    local range = self.tvb:range(self.at, length)
    self.at = self.at + length
    return range
end

-- How the types of fields in events.lua are read: each gives the range, and the value.
local READ = {}
function READ.u8(cursor, name)
    local range = cursor:take(1, name)
    return range, range:uint()
end
function READ.u32(cursor, name)
    local range = cursor:take(4, name)
    return range, range:uint()
end
function READ.u64(cursor, name)
    local range = cursor:take(8, name)
    return range, range:uint64()
end
function READ.flag(cursor, name)
    local range, value = READ.u8(cursor, name)
    if value > 1 then
        malformed(string.format("%s cannot be %d", name, value))
    end
    return range, value
end
function READ.choice(cursor, name, choices)
    local range, value = READ.u8(cursor, name)
    if value >= choices then
        malformed(string.format("%s cannot be %d", name, value))
    end
    return range, value
end
function READ.bytes(cursor, name, length)
    local range = cursor:take(length, name)
    return range, range:bytes():raw()
end
function READ.short(cursor, name)
    local length = cursor:take(4, name):uint()
    local range = cursor:take(length, name)
    return range, length > 0 and range:bytes():raw() or ""
end
function READ.text(cursor, name)
    local range, bytes = READ.short(cursor, name)
    local text = names.utf8(bytes)
    if not text then
        malformed(string.format("%s is not UTF-8", name))
    end
    return range, text
end

-- What is put into the information column of an event without bulk that says it.
local function describe(form, values, header)
    local told = {}
    local function tell(format, ...)
        told[#told + 1] = string.format(format, ...)
    end
    local kind = header.kind
    if values.cdb then
        tell("%s", names.command(values.cdb))
        if values.expected > 0 then
            tell("%.0f bytes", values.expected)
        end
    elseif values.scsi_status then
        tell("%s", names.scsi_status[values.scsi_status]
            or string.format("status %02X", values.scsi_status))
    elseif values.management_status and values.management_status > 0 then
        tell("status %02X", values.management_status)
    elseif values["function"] then
        tell("%s", names.task_management[values["function"]]
            or string.format("function %d", values["function"]))
    elseif values.operation_text then
        tell("%s", values.operation_text)
    elseif values.step then
        tell("%s", names.steps[values.step])
    elseif values["end"] then
        tell("%s", names.ends[values["end"]])
    elseif values.lu_access then
        tell("%s", names.lu_access[values.lu_access])
    elseif values.lu_operation then
        tell("%s", names.lu_operations[values.lu_operation])
    elseif values.alua_enabled then
        tell("%s, node %.0f", values.alua_enabled == 1 and "on" or "off", values.alua_node)
    end
    if values.trap and values.trap > 0 then
        tell("trap %d", values.trap)
    end
    if values.initiator_port then
        tell("%s to %s", names.latin1(values.initiator_port), names.latin1(values.port))
    elseif values.port then
        tell("%s", names.latin1(values.port))
    end
    if values.attempt and values.attempt > 1 then
        tell("attempt %d", values.attempt)
    end
    if values.lock_held == 1 then
        tell("stmf lock held")
    end
    if header.errno then
        tell("%s", names.errors[header.errno] or string.format("errno %d", header.errno))
    elseif header.result and kind == 1 then
        tell("result %.0f", header.result)
    end
    return told
end

-- Puts one field of an event into the tree.
local function add_event_field(tree, name, kind, range, value)
    local field = fields[name]
    if kind == "short" and (name == "port" or name == "initiator_port") then
        tree:add(field, range, names.latin1(value))
        return
    end
    local item = tree:add(field, range)
    if name == "cdb" then
        shown.cdb(item, range, value)
    elseif name == "sense" then
        shown.sense(item, range, value)
    elseif name == "task_flags" then
        shown.task_flags(item, range)
    elseif name == "residual_flags" then
        shown.residual_flags(item, range)
    elseif name == "lun" then
        shown.lun(item, range, value)
    end
end

local FLAGS = { "outcome", "errno", "lane", "gap", "gap_words", "digest", "hash", "trouble" }

-- The header of a record: its values, with what comes behind it.
local function dissect_header(tvb, tree)
    local cursor = setmetatable({ tvb = tvb, at = 0, ends = tvb:len() }, Cursor)
    local what = "the header of a record"
    local header = {}
    -- A later version may have another header: nothing behind the number can be believed.
    local version = cursor:take(1, what)
    tree:add(fields["version"], version)
    if version:uint() ~= 1 then
        malformed(string.format("format version %d; this dissector knows version 1",
            version:uint()))
    end
    local item
    local function add(name, length)
        local range = cursor:take(length, what)
        item = tree:add(fields[name], range)
        return range
    end
    header.kind = add("kind", 1):uint()
    header.node = add("node", 1):uint()
    local flags = add("flags", 1)
    header.flags = flags:uint()
    for _, flag in ipairs(FLAGS) do
        item:add(fields["flags." .. flag], flags)
    end
    local length = add("header_length", 2):uint()
    local message_type = cursor:take(1, what)
    if message_type:uint() ~= 255 then
        tree:add(fields["message_type"], message_type)
    end
    cursor:take(1, what)
    header.fields_length = add("fields_length", 4):uint()
    local outcome = cursor:take(4, what)
    if events.has(header.flags, events.ERRNO) then
        tree:add(fields["errno"], outcome)
        header.errno = outcome:int()
    elseif events.has(header.flags, events.OUTCOME) then
        tree:add(fields["result"], outcome)
        header.result = outcome:uint()
    end
    add("sequence", 8)
    header.number_at = cursor.at
    header.number = add("number", 8):uint64()
    local form = events.forms[header.kind] or events.unknown
    if form.number then
        tree:add(fields[form.number], tvb:range(header.number_at, 8))
    end
    add("bulk_length", 4)
    local has_lane = events.has(header.flags, events.LANE)
    for _, hint in ipairs({ { "lane", 4 }, { "session", 8 }, { "task", 8 } }) do
        local range = cursor:take(hint[2], what)
        if has_lane and range:bytes():raw():find("[^\0]") then
            tree:add(fields[hint[1]], range)
        end
    end
    local hash = cursor:take(8, what)
    if events.has(header.flags, events.HASH) then
        tree:add(fields["hash"], hash)
    end
    if events.has(header.flags, events.GAP) then
        header.gap = { offset = add("gap.offset", 4):uint() }
        header.gap.length = add("gap.length", 4):uint()
        local digest = cursor:take(16, what)
        local text = string.format("%.0f bytes of the bulk were not recorded", header.gap.length)
        if events.has(header.flags, events.DIGEST) then
            tree:add(fields["gap.digest"], digest)
        end
        tree:add_proto_expert_info(experts.cut, text)
    end
    if length < cursor.at then
        malformed(string.format("the length of the header cannot be %d", length))
    end
    cursor:take(length - cursor.at, what)
    return header, form, cursor
end

-- How much of a text the information column shows, in bytes.
local MAX_TEXT = 300

local function dissect_bulk(tree, tvb, at, header, form, dialect)
    local kept = tvb:len() - at
    if form.bulk == "message" then
        local view = View.new(tvb, at, header.gap)
        if view then
            return shown.message(tree, view, dialect)
        end
        tree:add(tvb:range(at, kept), "[a message that is too long to be decoded]")
        return "message of more than 64 MiB"
    elseif form.bulk == "text" then
        local bytes = kept > 0 and tvb:range(at, kept):bytes():raw() or ""
        local text = names.utf8(bytes)
        if not text then
            malformed("text that is not UTF-8")
        end
        tree:add(fields["text"], tvb:range(at, kept), text)
        if #text > MAX_TEXT then
            -- Not in the middle of a character.
            text = text:sub(1, MAX_TEXT):gsub("[\192-\255][\128-\191]*$", "") .. "..."
        end
        return text
    elseif kept > 0 or (form.bulk and header.gap) then
        local item = tree:add(fields[form.bulk or "data"], tvb:range(at, kept))
        if header.gap then
            item:append_text(string.format(" [cut: %d bytes are here]", kept))
        end
        return form.bulk == "link_bytes"
            and string.format("%.0f bytes", kept + (header.gap and header.gap.length or 0)) or nil
    end
end

-- What the information column says.
local function line(columns)
    local told = table.concat(columns.info, ", ")
    return told == "" and columns.head or columns.head .. ": " .. told
end

-- `columns` collects what goes into the columns, as far as it was read.
local function dissect(tvb, tree, columns, dialect)
    local header, form, cursor = dissect_header(tvb, tree)
    local kind = names.kinds[header.kind] or string.format("kind %d", header.kind)
    columns.head = kind
    columns.source, columns.destination = events.ends(form, header.node)
    tree:append_text(", " .. kind)
    if form.number then
        columns.head = kind .. " " .. tostring(header.number)
    end
    if header.fields_length > tvb:len() - cursor.at then
        malformed(string.format("the fields of the event need %.0f bytes, %d are left",
            header.fields_length, tvb:len() - cursor.at))
    end
    local bulk_at = cursor.at + header.fields_length
    cursor.ends = bulk_at
    local values = {}
    for _, entry in ipairs(form) do
        local name, field_kind = entry[1], entry[2]
        local range, value = READ[field_kind](cursor, name, entry[3])
        values[name] = value
        add_event_field(tree, name, field_kind, range, value)
    end
    columns.source, columns.destination = events.ends(form, header.node, values.initiator)
    if not events.forms[header.kind] and cursor.at < bulk_at then
        tree:add(fields["other_fields"], tvb:range(cursor.at, bulk_at - cursor.at))
    end
    local gap = header.gap
    if gap and gap.offset > tvb:len() - bulk_at then
        malformed(string.format("the offset of the gap cannot be %.0f", gap.offset))
    end
    local told = describe(form, values, header)
    local text = dissect_bulk(tree, tvb, bulk_at, header, form, dialect)
    if form.bulk == "text" then
        told[#told + 1] = text
    elseif text then
        table.insert(told, 1, text)
    end
    for _, part_of_it in ipairs(told) do
        table.insert(columns.info, part_of_it)
    end
    if gap then
        table.insert(columns.info, string.format("[cut: %.0f bytes]", gap.length))
    end
    if events.has(header.flags, events.TROUBLE) then
        tree:add_proto_expert_info(experts.trouble, line(columns))
    end
end

function stmf.dissector(tvb, pinfo, root)
    local length = tvb:len()
    local tree = root:add(stmf, tvb:range(0, length))
    local columns = { head = "damaged record", info = {}, source = "", destination = "" }
    local dialect = DIALECTS[stmf.prefs.dialect] or "either"
    local sound, problem = pcall(dissect, tvb, tree, columns, dialect)
    if not sound then
        local text = type(problem) == "table" and problem.malformed
            or "not decoded, because of an error in the dissector: " .. tostring(problem)
        tree:add_proto_expert_info(experts.malformed, text)
        table.insert(columns.info, "[malformed: " .. text .. "]")
    end
    pinfo.cols.protocol = "STMF"
    pinfo.cols.src = columns.source
    pinfo.cols.dst = columns.destination
    pinfo.cols.info = line(columns)
    return length
end

DissectorTable.get("wtap_encap"):add(wtap.USER7, stmf)

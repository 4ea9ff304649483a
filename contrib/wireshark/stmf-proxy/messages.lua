-- SPDX-License-Identifier: MPL-2.0
-- The fifteen messages field by field, and which of them kernels take (docs/wire-format.md).
--
-- Knows neither Wireshark nor traces: it turns bytes into values and problems.

local messages = {}

-- A form is the list of a message's fields in the order of the wire: name on the wire, name in
-- the filter, type, and for arrays either their length or the name of the field that says it
-- ("if" that is not 0, where the array is absent when it is). The names in filters are those of
-- the JSON form.
local function lun_form()
    return {
        { "icrl_lun_id", "lun_id", "array", length = 16 },
        { "icrl_lu_provider_name", "lu_provider_name", "STRING" },
        { "icrl_cb_arg_len", "cb_arg_len", "UINT16" },
        { "icrl_cb_arg", "cb_arg", "array", says = "icrl_cb_arg_len", optional = true },
    }
end

local function session_form()
    return {
        { "icscd_ini_devid", "ini_devid", "device" },
        { "icscd_tgt_devid", "tgt_devid", "device" },
        { "icscd_rport", "rport", "transport" },
        { "icscd_session_id", "session_id", "UINT64" },
    }
end

local function echo_form()
    return {
        { "icerr_datalen", "datalen", "UINT32" },
        { "icerr_data", "data", "array", says = "icerr_datalen", optional = true },
    }
end

messages.forms = {
    [0] = {
        { "icrp_port_id", "port_id", "device" },
        { "icrp_relative_port_id", "relative_port_id", "UINT16" },
        { "icrp_cb_arg_len", "cb_arg_len", "UINT16" },
        { "icrp_cb_arg", "cb_arg", "array", says = "icrp_cb_arg_len", optional = true },
    },
    {
        { "icdp_port_id", "port_id", "device" },
        { "icdp_cb_arg_len", "cb_arg_len", "UINT16" },
        { "icdp_cb_arg", "cb_arg", "array", says = "icdp_cb_arg_len", optional = true },
    },
    lun_form(),
    lun_form(),
    {
        { "icsc_task_msgid", "task_msgid", "UINT64" },
        { "icsc_ini_devid", "ini_devid", "device" },
        { "icsc_tgt_devid", "tgt_devid", "device" },
        { "icsc_rport", "rport", "transport" },
        { "icsc_lun_id", "lun_id", "array", length = 16 },
        { "icsc_session_id", "session_id", "UINT64" },
        { "icsc_task_lun_no", "task_lun_no", "array", length = 8, shows = "lun" },
        { "icsc_task_expected_xfer_length", "task_expected_xfer_length", "UINT32" },
        { "icsc_task_cdb_length", "task_cdb_length", "UINT16", not_0_in_2009 = true },
        { "icsc_task_cdb", "task_cdb", "array", says = "icsc_task_cdb_length", shows = "cdb" },
        { "icsc_task_flags", "task_flags", "UINT8", shows = "task_flags" },
        -- Kernels do not look at the priority, so nothing about it can be wrong.
        { "icsc_task_priority", "task_priority", "UINT8", unread = true },
        { "icsc_task_mgmt_function", "task_mgmt_function", "UINT8", names = "task_management" },
        { "icsc_immed_data_len", "immed_data_len", "UINT32" },
        { "icsc_immed_data", "immed_data", "array", says = "icsc_immed_data_len", optional = true },
    },
    {
        { "icsd_task_msgid", "task_msgid", "UINT64" },
        { "icsd_session_id", "session_id", "UINT64" },
        { "icsd_lun_id", "lun_id", "array", length = 16 },
        { "icsd_data_len", "data_len", "UINT64", not_0 = true },
        { "icsd_data", "data", "array", says = "icsd_data_len" },
    },
    {
        { "icsx_task_msgid", "task_msgid", "UINT64" },
        { "icsx_session_id", "session_id", "UINT64" },
        { "icsx_status", "status", "UINT64", shows = "stmf_status" },
    },
    {
        { "icss_task_msgid", "task_msgid", "UINT64" },
        { "icss_session_id", "session_id", "UINT64" },
        { "icss_lun_id", "lun_id", "array", length = 16 },
        { "icss_response", "response", "UINT8" },
        { "icss_status", "status", "UINT8", names = "scsi_status" },
        { "icss_flags", "flags", "UINT8", shows = "residual_flags" },
        { "icss_resid", "resid", "UINT32" },
        { "icss_sense_len", "sense_len", "UINT8" },
        { "icss_sense", "sense", "array", says = "icss_sense_len", optional = true,
            shows = "sense" },
    },
    {
        { "icrt_task_msgid", "task_msgid", "UINT64" },
        { "icrt_session_id", "session_id", "UINT64" },
        { "icrt_offset", "offset", "UINT32" },
        { "icrt_length", "length", "UINT32" },
    },
    {
        { "ics_msg_type", "status_msg_type", "UINT8", names = "messages" },
        { "ics_msgid", "status_msgid", "UINT64" },
        { "ics_status", "status", "UINT8" },
    },
    session_form(),
    session_form(),
    echo_form(),
    echo_form(),
    lun_form(),
}

-- Of the numbers of a device id kernels keep the low bits: values below `keeps`.
messages.device_form = {
    { "protocol_id", "protocol_id", "UINT8", keeps = 16, names = "protocols" },
    { "code_set", "code_set", "UINT8", keeps = 16, names = "code_sets" },
    { "piv", "piv", "UINT8", keeps = 2 },
    { "association", "association", "UINT8", keeps = 4, names = "associations" },
    { "ident_type", "ident_type", "UINT8", keeps = 16, names = "ident_types" },
    { "ident_length", "ident_length", "UINT8" },
    { "ident", "ident", "array", says = "ident_length", shows = "ident" },
}

messages.transport_form = {
    { "rport_tptid_sz", "size", "UINT16", least = 2 },
    { "rport_tptid", "id", "array", says = "rport_tptid_sz", shows = "transport_id" },
}

-- What every message begins with.
messages.common_form = {
    { "icm_msg_type", "type", "UINT8" },
    { "icm_msgid", "msgid", "UINT64" },
}

local wanted = {}
local function want(form)
    for _, field in ipairs(form) do
        wanted[field[1]] = true
    end
end
for number = 0, 14 do
    want(messages.forms[number])
end
want(messages.device_form)
want(messages.transport_form)
want(messages.common_form)

local BITS = { UINT8 = 8, UINT16 = 16, UINT32 = 32, UINT64 = 64 }
local EMBEDDED = {
    device = messages.device_form,
    transport = messages.transport_form,
}

-- Gives a message's values. What is found of a field is a table:
--   form: its entry above; pair: where it lies (see nvlist.lua)
--   value: a number (for UINT64 its low 53 bits are right; `high` and `low` are its words), or
--     the bytes of an array or string
--   fields: those of an embedded list, found in the same way
-- `problems` gets { at, text, dialect }: what is wrong, where, and to which dialect alone
-- ("current", "2009"; nil for both).
local Reading = {}
Reading.__index = Reading

function Reading:problem(at, text, dialect)
    self.problems[#self.problems + 1] = { at = at, text = text, dialect = dialect }
end

function Reading:number(pair)
    local at = pair.value_at
    if BITS[pair.type_name] == 64 then
        local high, low = self.nvlist.word(self.bytes, at), self.nvlist.word(self.bytes, at + 4)
        return high * 0x100000000 + low, high, low
    end
    -- Of a narrow number the low bits count; the rest extends the sign, or should.
    return self.nvlist.word(self.bytes, at) % 2 ^ BITS[pair.type_name], 0, nil
end

-- The fields of a form in a list, as far as they are there. `inside` is the name of the field
-- that the list is embedded under, `dialect` the only one that looks at the list.
function Reading:fields(list, form, inside, dialect)
    local found, by_name = {}, {}
    for _, entry in ipairs(form) do
        local name, kind = entry[1], entry[3]
        local full = inside and inside .. "." .. name or name
        local looks = dialect
        if kind == "transport" then
            -- The dialect of 2009 ignores transport ids.
            looks = "current"
        end
        local type_name = kind == "array" and "UINT8_ARRAY" or EMBEDDED[kind] and "NVLIST" or kind
        -- An array that is absent when its length is 0 is not looked for then.
        local length = entry.length
        if entry.says then
            local says = by_name[entry.says]
            length = says and says.value
        end
        local unread = entry.unread or (entry.optional and length == 0)
        local pair, why = self.nvlist.find(list, name, type_name)
        if pair then
            local field = { form = entry, pair = pair }
            pair.used = true
            if EMBEDDED[kind] then
                field.fields = self:fields(pair.list, EMBEDDED[kind], full, looks)
            elseif kind == "array" then
                field.value = self.nvlist.octets(self.bytes, pair)
                if not unread and length and #field.value ~= length then
                    self:problem(pair.value_at, string.format(
                        "%s: %d bytes; expected %.0f", full, #field.value, length), looks)
                end
            elseif kind == "STRING" then
                field.value = self.bytes:sub(pair.value_at + 1, pair.value_at + pair.length)
            else
                field.value, field.high, field.low = self:number(pair)
                if entry.keeps then
                    field.value = field.value % entry.keeps
                end
                self:check_number(entry, full, field, looks)
            end
            found[#found + 1] = field
            by_name[name] = field
        elseif not unread then
            self:problem(nil, full .. ": " .. why, looks)
        end
    end
    return found
end

function Reading:check_number(entry, full, field, dialect)
    local at = field.pair.value_at
    if entry.not_0 and field.value == 0 then
        self:problem(at, full .. ": no data; expected at least 1 byte", dialect)
    elseif entry.not_0_in_2009 and field.value == 0 then
        self:problem(at, full .. ": empty; the dialect of 2009 expects at least 1 byte", "2009")
    elseif entry.least and field.value < entry.least then
        self:problem(at, string.format("%s: transport id of %d bytes; expected at least %d",
            full, field.value, entry.least), dialect)
    end
end

-- Reads the message that `bytes` are. Gives a table: `list` and `ends` (see nvlist.lua), the
-- fields `msg_type`, `msgid` and those in `fields`; `type`, a number of `messages.forms` or nil;
-- `problems`; and whether kernels of each dialect take it, `current` and `y2009`.
function messages.read(bytes, nvlist)
    local list, ends, damage = nvlist.read(bytes, wanted)
    local reading = setmetatable({ bytes = bytes, nvlist = nvlist, problems = {} }, Reading)
    local message = { list = list, ends = ends, problems = reading.problems, fields = {} }
    if damage then
        reading:problem(damage.at, "packed list: " .. damage.text)
    end
    for _, field in ipairs(reading:fields(list, messages.common_form)) do
        message[field.form[2] == "type" and "msg_type" or "msgid"] = field
    end
    local number = message.msg_type and message.msg_type.value
    if number and messages.forms[number] then
        message.type = number
        message.fields = reading:fields(list, messages.forms[number])
    elseif number then
        reading:problem(message.msg_type.pair.value_at,
            string.format("unknown message type %d; expected 0 to 14", number))
    end
    message.current, message.y2009 = true, true
    for _, problem in ipairs(reading.problems) do
        message.current = message.current and problem.dialect == "2009"
        message.y2009 = message.y2009 and problem.dialect == "current"
    end
    if damage then
        -- What was not found may stand behind the damage: only that is worth telling.
        message.problems = { reading.problems[1] }
    end
    return message
end

-- A field of the message by its name in filters.
function messages.get(message, name)
    for _, field in ipairs(message.fields) do
        if field.form[2] == name then
            return field
        end
    end
end

return messages

-- SPDX-License-Identifier: MPL-2.0
-- Puts what was read into Wireshark's tree: SCSI bytes, and messages field by field.

local show = {}

-- `fields` are those of fields.lua.
function show.with(fields, experts, names, messages, nvlist)
    local shown = {}

    -- The command in a CDB and its operation code, below the item that has the CDB. `range`
    -- is where the CDB lies: with four bytes a byte if `wide`.
    function shown.cdb(item, range, cdb)
        local command = names.command(cdb)
        if #cdb > 0 then
            item:append_text(" (" .. command .. ")")
            item:add(fields["opcode"], range, cdb:byte(1)):set_generated()
            item:add(fields["command"], range, command):set_generated()
        end
        return command
    end

    -- Key and codes of sense data, in fixed and in descriptor format.
    local function sense_codes(sense)
        local format = (sense:byte(1) or 0) % 128
        local key, asc, ascq
        if format == 0x70 or format == 0x71 then
            key = sense:byte(3)
            asc, ascq = sense:byte(13, 14)
        elseif format == 0x72 or format == 0x73 then
            key, asc, ascq = sense:byte(2, 4)
        end
        return key, asc, ascq
    end

    function shown.sense_text(sense)
        local key, asc, ascq = sense_codes(sense)
        if not key then
            return nil
        end
        local text = names.sense_keys[key % 16] or string.format("sense key %d", key % 16)
        return ascq and string.format("%s %02X/%02X", text, asc, ascq) or text
    end

    function shown.sense(item, range, sense)
        local key, asc, ascq = sense_codes(sense)
        if key then
            item:append_text(" (" .. shown.sense_text(sense) .. ")")
            item:add(fields["sense_key"], range, key % 16):set_generated()
        end
        if ascq then
            item:add(fields["asc"], range, asc):set_generated()
            item:add(fields["ascq"], range, ascq):set_generated()
        end
    end

    -- The bits of flags in the last byte of a range.
    function shown.task_flags(item, range)
        if range:len() > 0 then
            local byte = range:range(range:len() - 1, 1)
            item:add(fields["task_flags.initial_burst"], byte)
            item:add(fields["task_flags.read"], byte)
            item:add(fields["task_flags.write"], byte)
            item:add(fields["task_flags.attribute"], byte)
        end
    end
    function shown.residual_flags(item, range)
        if range:len() > 0 then
            local byte = range:range(range:len() - 1, 1)
            item:add(fields["residual_flags.overflow"], byte)
            item:add(fields["residual_flags.underflow"], byte)
        end
    end

    function shown.stmf_status(item, range, _, field)
        local name = names.stmf_status(field.high, field.low)
        if name then
            item:append_text(" (" .. name .. ")")
            item:add(fields["status_name"], range, name):set_generated()
        end
    end

    function shown.lun(item, _, lun)
        local first, second = lun:byte(1, 2)
        if first and first < 128 and not lun:find("[^\0]", 3) then
            item:append_text(string.format(" (LUN %d)", first % 64 * 256 + second))
        end
    end

    function shown.ident(item, range, ident)
        if #ident > 0 and not ident:find("[^\32-\126]") then
            item:append_text(" (" .. ident .. ")")
            item:add(fields["ident_text"], range, ident):set_generated()
        end
    end

    -- SPC-4, 7.6.4: the protocol, and for iSCSI a name.
    function shown.transport_id(item, range, id)
        local first = id:byte(1)
        if not first then
            return
        end
        item:add(fields["rport.protocol_id"], range, first % 16):set_generated()
        local name = first % 16 == 5 and id:sub(5):match("^[^\0]+")
        if name then
            item:append_text(" (" .. names.latin1(name) .. ")")
            item:add(fields["rport.name"], range, names.latin1(name)):set_generated()
        end
    end

    -- The bytes that the arrays of a message stand for, in a buffer of their own: Wireshark
    -- shows it beside the packet. Notes in each field where its bytes are in it.
    local function gather(found, view, parts, at)
        for _, field in ipairs(found) do
            if field.fields then
                at = gather(field.fields, view, parts, at)
            elseif field.form[3] == "array" then
                local start = field.pair.value_at
                field.kept = math.floor(view:kept(start, start + 4 * field.pair.count) / 4)
                field.at = at
                parts[#parts + 1] = field.value:sub(1, field.kept)
                at = at + field.kept
            end
        end
        return at
    end

    local function add_field(tree, prefix, field, view, arrays)
        local name = prefix .. "." .. field.form[2]
        local pair = field.pair
        local range = view:range(pair.value_at, pair.ends)
        if field.fields then
            local item = tree:add(fields[name], view:range(pair.at, pair.ends))
            for _, inner in ipairs(field.fields) do
                local text = add_field(item, name, inner, view, arrays)
                if text then
                    item:append_text(": " .. text)
                end
            end
            return nil
        end
        local item, text
        if field.form[3] == "array" then
            local bytes = field.kept > 0 and arrays:range(field.at, field.kept)
                or view:range(pair.value_at, pair.value_at)
            item = tree:add(fields[name], bytes)
            if field.kept < pair.count then
                item:append_text(string.format(" [cut: %d of %d bytes are here]",
                    field.kept, pair.count))
            elseif pair.count == 0 then
                item:set_text(field.form[1] .. ": (empty)")
            end
            range = bytes
            field.value = field.value:sub(1, field.kept)
            local show_text = field.form.shows == "ident" and not field.value:find("[^\32-\126]")
            text = show_text and field.value or nil
        elseif view:kept(pair.value_at, pair.ends) < pair.ends - pair.value_at then
            -- Only in damaged messages are numbers and strings cut.
            tree:add(range, string.format("%s: [cut]", field.form[1]))
            return nil
        elseif field.form[3] == "STRING" then
            item = tree:add(fields[name], range, names.latin1(field.value))
        elseif field.low then
            item = tree:add(fields[name], range, UInt64(field.low, field.high))
        else
            item = tree:add(fields[name], range, field.value)
        end
        if field.form.shows then
            shown[field.form.shows](item, range, field.value, field)
        end
        return text
    end

    -- What the information column says of a message.
    local function summary(message)
        local parts = {}
        local function told()
            return names.messages[message.type] .. " " .. table.concat(parts, ", ")
        end
        local function number(name, title)
            local field = messages.get(message, name)
            if field then
                parts[#parts + 1] = title .. " " .. tostring(UInt64(
                    field.low or field.value, field.high))
            end
        end
        if message.type == 9 then
            local type, status = messages.get(message, "status_msg_type"),
                messages.get(message, "status")
            if type then
                parts[#parts + 1] = "for " .. (names.messages[type.value] or "?")
            end
            number("status_msgid", "msgid")
            if status then
                parts[#parts + 1] = status.value == 0 and "SUCCESS"
                    or string.format("status %d", status.value)
            end
            return told()
        end
        number("task_msgid", "task")
        if #parts == 0 and message.msgid then
            parts[#parts + 1] = "msgid " .. tostring(UInt64(
                message.msgid.low, message.msgid.high))
        end
        local cdb, func = messages.get(message, "task_cdb"),
            messages.get(message, "task_mgmt_function")
        if func and func.value ~= 0 then
            parts[#parts + 1] = names.task_management[func.value]
                or string.format("task management %d", func.value)
        elseif cdb then
            parts[#parts + 1] = names.command(cdb.value)
        end
        local status = messages.get(message, "status")
        if message.type == 7 and status then
            parts[#parts + 1] = names.scsi_status[status.value]
                or string.format("status %02X", status.value)
            local sense = messages.get(message, "sense")
            parts[#parts + 1] = sense and shown.sense_text(sense.value)
        elseif message.type == 6 and status then
            parts[#parts + 1] = names.stmf_status(status.high, status.low)
        end
        local length = messages.get(message, "data_len") or messages.get(message, "datalen")
            or messages.get(message, "immed_data_len")
        if length and length.value > 0 then
            parts[#parts + 1] = string.format("%.0f bytes", length.value)
        end
        local name = messages.get(message, "lu_provider_name")
        if name then
            parts[#parts + 1] = names.latin1(name.value)
        end
        return told()
    end

    local DIALECTS = { [true] = { [true] = "both", [false] = "current" },
        [false] = { [true] = "2009", [false] = "none" } }

    -- Puts a message into the tree; `dialect` is "either", "current" or "2009". Gives a line
    -- for the information column, and whether it is damaged.
    function shown.message(tree, view, dialect)
        local bytes = view.bytes
        local message = messages.read(bytes, nvlist)
        local whole = view:range(0, #bytes)
        local item = tree:add(fields["msg"], whole)
        item:add(fields["msg.length"], whole, #bytes):set_generated()
        local dialects = DIALECTS[message.current][message.y2009]
        item:add(fields["msg.dialects"], whole, dialects):set_generated()
        local parts = {}
        local arrays
        if gather(message.fields, view, parts, 0) > 0 then
            local gathered = ByteArray.new(table.concat(parts), true)
            arrays = gathered:tvb("Bytes of the message's arrays")
        end
        if message.msg_type then
            local pair = message.msg_type.pair
            item:add(fields["msg.type"], view:range(pair.value_at, pair.ends),
                message.msg_type.value)
        end
        if message.msgid then
            local pair = message.msgid.pair
            item:add(fields["msg.msgid"], view:range(pair.value_at, pair.ends),
                UInt64(message.msgid.low, message.msgid.high))
        end
        local text = message.type and summary(message) or "message"
        item:append_text(": " .. text)
        for _, field in ipairs(message.fields) do
            add_field(item, names.messages[message.type], field, view, arrays)
        end
        for _, pair in ipairs(message.list.pairs) do
            if not pair.used then
                item:add(fields["msg.other"], view:range(pair.at, pair.ends), string.format(
                    "%s (%s)", names.latin1(pair.name), pair.type_name))
            end
        end
        if #bytes > message.ends and (message.current or message.y2009) then
            item:add(fields["msg.trailing"], view:range(message.ends, #bytes),
                #bytes - message.ends):set_generated()
        end

        local taken = message.current or message.y2009
        if dialect == "current" then
            taken = message.current
        elseif dialect == "2009" then
            taken = message.y2009
        end
        local told = 0
        for _, problem in ipairs(message.problems) do
            local counts = dialect == "either" or problem.dialect ~= (
                dialect == "current" and "2009" or "current")
            if counts and told < 20 then
                told = told + 1
                local where = problem.at and string.format(" (byte %d)", problem.at) or ""
                local line = names.latin1(problem.text) .. where
                if taken then
                    local those = problem.dialect == "2009" and "from before mid-2010"
                        or "since mid-2010"
                    item:add_proto_expert_info(experts.dialect,
                        "kernels " .. those .. " refuse this: " .. line)
                else
                    item:add_proto_expert_info(experts.malformed, line)
                    if told == 1 then
                        text = text .. " [malformed: " .. line .. "]"
                    end
                end
            end
        end
        return text
    end

    return shown
end

return show

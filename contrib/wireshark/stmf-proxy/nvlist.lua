-- SPDX-License-Identifier: MPL-2.0
-- Packed name-value lists (docs/wire-format.md), checked as a kernel checks them.
--
-- Works on strings and knows neither Wireshark nor messages. Accepts and refuses exactly what
-- the project's own reader does (src/nvlist/reader.rs). Whatever the bytes are, it ends in time
-- and memory that are in proportion to them, and raises no error but its own.

local nvlist = {}

-- The most bytes of a list, and the deepest nesting that is read.
nvlist.MAX_SIZE = 64 * 1024 * 1024
nvlist.MAX_DEPTH = 32
-- Pairs of a name that nobody asked for are kept up to this number in all; further ones are
-- checked, but not shown.
nvlist.MAX_OTHERS = 200

-- Types by number: name, size of an element in memory, and how the value lies on the wire.
local TYPES = {
    { "BOOLEAN", 0, "nothing" },
    { "BYTE", 1, "scalar", 1 },
    { "INT16", 2, "scalar", 1 },
    { "UINT16", 2, "scalar", 1 },
    { "INT32", 4, "scalar", 1 },
    { "UINT32", 4, "scalar", 1 },
    { "INT64", 8, "scalar", 2 },
    { "UINT64", 8, "scalar", 2 },
    { "STRING", 0, "string" },
    { "BYTE_ARRAY", 1, "octets" },
    { "INT16_ARRAY", 2, "counted", 1 },
    { "UINT16_ARRAY", 2, "counted", 1 },
    { "INT32_ARRAY", 4, "counted", 1 },
    { "UINT32_ARRAY", 4, "counted", 1 },
    { "INT64_ARRAY", 8, "counted", 2 },
    { "UINT64_ARRAY", 8, "counted", 2 },
    { "STRING_ARRAY", 8, "strings" },
    { "HRTIME", 8, "scalar", 2 },
    { "NVLIST", 24, "list" },
    { "NVLIST_ARRAY", 32, "lists" },
    { "BOOLEAN_VALUE", 4, "truth" },
    { "INT8", 1, "scalar", 1 },
    { "UINT8", 1, "scalar", 1 },
    { "BOOLEAN_ARRAY", 4, "counted", 1 },
    { "INT8_ARRAY", 1, "counted", 1 },
    { "UINT8_ARRAY", 1, "counted", 1 },
}

-- The word (unsigned) whose first byte is at `at`, counted from 0.
local function word(bytes, at)
    local a, b, c, d = bytes:byte(at + 1, at + 4)
    return ((a * 256 + b) * 256 + c) * 256 + d
end
nvlist.word = word

local function signed(number)
    if number >= 0x80000000 then
        return number - 0x100000000
    end
    return number
end

-- `size` rounded up to whole units.
local function aligned(size, unit)
    return math.floor((size + unit - 1) / unit) * unit
end

local Reader = {}
Reader.__index = Reader

-- What a list is refused with: a table, so that it cannot be taken for an error of the program.
local function refuse(at, text)
    error({ at = at, text = text }, 0)
end

-- Moves on over so many bytes and gives where they began.
function Reader:take(length, what)
    local at = self.at
    if length > #self.bytes - at then
        refuse(at, string.format("expected %s (%.0f bytes), but only %d bytes are left",
            what, length, #self.bytes - at))
    end
    self.at = at + length
    return at
end

function Reader:word(what)
    return word(self.bytes, self:take(4, what))
end

-- A length and as many bytes, padded: where the bytes begin, and how many they are.
function Reader:string(what)
    local length = self:word(what)
    return self:take(aligned(length, 4), what), length
end

function Reader:string_value()
    local at = self.at
    local start, length = self:string("a string")
    local nul = self.bytes:find("\0", start + 1, true)
    if nul and nul <= start + length then
        refuse(at, "string with a NUL byte in it")
    end
    return start, length
end

-- The value of a pair, noted in it; gives what the value takes in memory.
function Reader:value(pair, depth, keep)
    local kind = TYPES[pair.type]
    local shape, count = kind[3], pair.count
    local native = count * kind[2]
    pair.value_at = self.at
    if shape == "scalar" then
        self:take(4 * kind[4], "a value")
    elseif shape == "truth" then
        local found = self:word("a truth value")
        if found > 1 then
            refuse(pair.value_at, string.format("truth value %.0f; expected 0 or 1", found))
        end
    elseif shape == "string" then
        pair.value_at, pair.length = self:string_value()
        native = pair.length + 1
    elseif shape == "octets" then
        self:take(aligned(count, 4), "the bytes of an array")
    elseif shape == "counted" then
        if count > 0 then
            local found = self:word("the count word of an array")
            if found ~= count then
                refuse(pair.value_at, string.format(
                    "array with a count word of %.0f; expected %.0f", found, count))
            end
            pair.value_at = self:take(count * kind[4] * 4, "the elements of an array")
        end
    elseif shape == "strings" then
        for _ = 1, count do
            local _, length = self:string_value()
            native = native + length + 1
        end
    elseif shape == "list" then
        pair.list = self:list(depth + 1, keep and { pairs = {}, first = {} })
    elseif shape == "lists" then
        for _ = 1, count do
            self:list(depth + 1, nil)
        end
    end
    return native
end

local function count_fits(shape, count)
    if shape == "nothing" then
        return count == 0
    elseif shape == "scalar" or shape == "truth" or shape == "string" or shape == "list" then
        return count == 1
    end
    return count >= 0
end

-- Whether a pair is worth keeping: the first of its name and type if somebody asks for the
-- name, and a bounded number of all others.
function Reader:wants(list, key, name)
    if self.wanted[name] and not list.first[key] then
        return true
    end
    self.others = self.others + 1
    return self.others <= nvlist.MAX_OTHERS
end

-- The next pair; false at the end mark. It goes into `list`, if there is one.
function Reader:pair(depth, list)
    local pair = { at = self.at }
    local left = #self.bytes - self.at
    self:word("the encoded size of a pair")
    local size_at = self.at
    local size = signed(self:word("the decoded size of a pair"))
    if size == 0 then
        return false
    end
    local room = math.max(left - 20, 0)
    local most = 24 + 2 * room + aligned(math.floor(room / 4), 4)
    if size < 24 or size > most then
        refuse(size_at, string.format(
            "decoded size %.0f; expected 0 (end of list) or 24 to %.0f", size, most))
    end
    local name_at = self.at
    local start, length = self:string("a name")
    if length >= 32768 then
        refuse(name_at, string.format("name of %.0f bytes; expected fewer than 32768", length))
    end
    local name = self.bytes:sub(start + 1, start + length)
    if name:find("\0", 1, true) then
        refuse(name_at, "name with a NUL byte in it")
    end
    pair.name = name
    local type_at = self.at
    pair.type = signed(self:word("a type"))
    local kind = TYPES[pair.type]
    if not kind then
        refuse(type_at, string.format("unknown type %.0f; expected 1 to 26", pair.type))
    end
    pair.type_name = kind[1]
    local count_at = self.at
    pair.count = signed(self:word("an element count"))
    if not count_fits(kind[3], pair.count) then
        refuse(count_at, string.format("%.0f elements of type %s", pair.count, kind[1]))
    end
    local key = pair.type_name .. " " .. name
    local keep = list ~= nil and list ~= false and self:wants(list, key, name)
    local native = self:value(pair, depth, keep)
    local expected = aligned(16 + length + 1, 8) + aligned(native, 8)
    if size ~= expected then
        refuse(size_at, string.format(
            "decoded size %.0f; expected %.0f for this name and value", size, expected))
    end
    pair.ends = self.at
    if keep then
        list.pairs[#list.pairs + 1] = pair
        list.first[key] = list.first[key] or pair
    end
    return true
end

-- An embedded list, from its version to its end mark.
function Reader:list(depth, list)
    local at = self.at
    if depth > nvlist.MAX_DEPTH then
        refuse(at, string.format("lists nest deeper than %d", nvlist.MAX_DEPTH))
    end
    local version = signed(self:word("the version of an embedded list"))
    if version > 0 then
        refuse(at, string.format("embedded list of version %.0f; expected 0", version))
    end
    local flags = self:word("the flags of an embedded list")
    if list then
        list.at, list.flags = at, flags
    end
    while self:pair(depth, list) do end
    return list
end

-- Reads the list that `bytes` are. `wanted` is a set of the names that are looked up later.
--
-- Gives the outer list, which holds the pairs before the damage if there is any; where it ends;
-- and the damage: { at, text }, or nil. A list is { at, flags, pairs }; a pair is { at, ends,
-- name, type, type_name, count, value_at } with `length` for strings and `list` for lists. All
-- places are bytes from the start, from 0.
function nvlist.read(bytes, wanted)
    local list = { at = 0, flags = 0, pairs = {}, first = {} }
    local reader = setmetatable({ bytes = bytes, at = 0, wanted = wanted, others = 0 }, Reader)
    local sound, problem = pcall(function()
        if #bytes > nvlist.MAX_SIZE then
            refuse(0, string.format("%d bytes are more than %d", #bytes, nvlist.MAX_SIZE))
        end
        local encoding = bytes:byte(reader:take(4, "the header") + 1)
        if encoding == 0 then
            refuse(0, "native encoding (0); expected XDR (1)")
        elseif encoding ~= 1 then
            refuse(0, string.format("unknown encoding %d; expected XDR (1)", encoding))
        end
        list.at = reader.at
        reader:word("the version of the list")
        list.flags = reader:word("the flags of the list")
        while reader:pair(1, list) do end
    end)
    if sound then
        return list, reader.at, nil
    end
    if type(problem) ~= "table" then
        problem = { at = reader.at, text = tostring(problem) }
    end
    return list, reader.at, problem
end

-- The first pair of that name and type, as kernels look it up; else nil and why not.
function nvlist.find(list, name, type_name)
    -- One of the bits 0 and 1 has to be set in the flags.
    if list.flags % 4 == 0 then
        return nil, string.format("the flags of its list are %.0f; expected bit 0 or 1", list.flags)
    end
    local pair = list.first[type_name .. " " .. name]
    if pair then
        return pair
    end
    for _, other in ipairs(list.pairs) do
        if other.name == name then
            return nil, string.format("type %s; expected %s", other.type_name, type_name)
        end
    end
    return nil, "missing"
end

-- The bytes that an array of bytes stands for: the low byte of each word.
function nvlist.octets(bytes, pair)
    local words = bytes:sub(pair.value_at + 1, pair.value_at + 4 * pair.count)
    return (words:gsub("...(.)", "%1"))
end

return nvlist

-- SPDX-License-Identifier: MPL-2.0
-- The bulk of an event as it was, with zeros where bytes were cut from it, and where its bytes
-- lie in the packet.

local View = {}
View.__index = View

-- The most bytes that a bulk is filled up to.
View.MAX_SIZE = 64 * 1024 * 1024

-- `tvb` is the packet, the bulk in it begins at `base` and goes to the end; `gap` is nil or
-- { offset, length }, with the offset inside. Nil if it would be too long.
function View.new(tvb, base, gap)
    local length = tvb:len() - base
    local kept = length > 0 and tvb:range(base, length):bytes():raw() or ""
    local view = { tvb = tvb, base = base, gap_at = #kept, gap_length = 0, bytes = kept }
    if gap then
        if length + gap.length > View.MAX_SIZE then
            return nil
        end
        view.gap_at, view.gap_length = gap.offset, gap.length
        view.bytes = kept:sub(1, gap.offset) .. string.rep("\0", gap.length)
            .. kept:sub(gap.offset + 1)
    end
    return setmetatable(view, View)
end

-- Where a byte of the bulk lies in the packet; the byte after the gap if it was cut.
local function place(self, at)
    if at <= self.gap_at then
        return self.base + at
    end
    return self.base + math.max(self.gap_at, at - self.gap_length)
end

-- The range of the packet that has the bytes from `at` up to `ends`, as far as they were kept.
function View:range(at, ends)
    local first = math.min(place(self, math.min(at, #self.bytes)), self.tvb:len())
    local last = math.min(place(self, math.min(ends, #self.bytes)), self.tvb:len())
    return self.tvb:range(first, math.max(last - first, 0))
end

-- How many bytes from `at` on were kept before the first that was cut, up to `ends`.
function View:kept(at, ends)
    if self.gap_length == 0 or ends <= self.gap_at or at >= self.gap_at + self.gap_length then
        return ends - at
    end
    return math.max(self.gap_at - at, 0)
end

return View

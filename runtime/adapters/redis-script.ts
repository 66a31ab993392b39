// One charge of a quota, whole or not at all, however many proxies charge at once: a script that Redis runs by itself.

/**
 * KEYS[1] the quota of these dimensions. ARGV: amount, what there is in a window, window ms, parts of the window, whether less
 * will do. Returns what was granted, and the milliseconds until more is there.
 *
 * A hash counts by parts of the window. With one part that is a window from one multiple to the next. With more, the parts of
 * the last window count and the one that ends in it: no window of that length ever sees more than there is. The time is
 * Redis' own, so that clocks of proxies do not matter.
 */
export const CHARGE = `
local amount, max, window, parts = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local width = window / parts
local part = math.floor(now / width)
local first = parts == 1 and part or part - parts
local used, oldest = 0, part
local counts = redis.call('HGETALL', KEYS[1])
for i = 1, #counts, 2 do
  local at = tonumber(counts[i])
  if at < first then
    redis.call('HDEL', KEYS[1], counts[i])
  else
    used = used + tonumber(counts[i + 1])
    if at < oldest then oldest = at end
  end
end
local left = math.max(0, max - used)
local granted = 0
if amount <= left then granted = amount elseif ARGV[5] == '1' then granted = left end
if granted > 0 then
  redis.call('HINCRBY', KEYS[1], string.format('%.0f', part), granted)
  redis.call('PEXPIRE', KEYS[1], math.ceil(window + width))
end
local free = (oldest + (parts == 1 and 1 or parts + 1)) * width - now
return { granted, math.max(1, math.ceil(free)) }
`;

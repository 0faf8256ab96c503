-- Carries out one command: ARGV is its name, its fields, for how many seconds its outcome is remembered, its contents.

local remembered_s, known_as = tonumber(ARGV[3]), key('id', command.id)
local remembered = remembered_s > 0 and call('GET', known_as)
if remembered then
  -- WAIT counts from the last write of a connection: without one it would not wait for what another one wrote.
  call('SET', key('clock'), integer(us))
  return { 'ok', remembered }
end
if ARGV[1] ~= 'Begin' and not is_begun() then
  return redis.error_reply('LOST the catalog was emptied')
end
local is_owned = command.owner and (repository or ARGV[1] == 'AcquireLease')
if is_owned and not is_alive(command.owner) then
  return { 'lease ended', command.owner }
end
if command.names and tonumber(call('GET', key('names')) or 0) ~= command.names then
  return { 'names changed', '' }
end
local outcome = handler()
if outcome == nil then
  outcome = NULL
end
call('SET', key('clock'), integer(us))
if repository and scope.exists() then
  call('HSET', mine('r'), 'state', integer(us))
end
local packed = cmsgpack.pack(outcome)
if remembered_s > 0 then
  call('SET', known_as, packed, 'EX', remembered_s)
end
return { 'ok', packed }

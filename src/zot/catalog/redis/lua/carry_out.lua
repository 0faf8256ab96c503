-- Carries out one command: ARGV is its name, its fields, for how many seconds its outcome is remembered, its contents.

local remembered_s = tonumber(ARGV[3])
local remembered = remembered_s > 0 and begin[2]
if remembered then
  -- WAIT counts from the last write of a connection: without one it would not wait for what another one wrote.
  call('SET', key('clock'), integer(us))
  return { 'ok', remembered }
end
if ARGV[1] ~= 'Begin' and not begin[3] then
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
  call('SET', key('id', command.id), packed, 'EX', remembered_s)
end
return { 'ok', packed }

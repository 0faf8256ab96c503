-- Answers one read: ARGV is whether the state of its repository is asked for, and the arguments of the read. A read of
-- no repository has none. The state grows with each command on the repository; reads of one moment compare it.

local found = read(unpack(ARGV, 2)) or false
-- What is found proves that the catalog is there.
if (not found or #found == 0) and not is_begun() then
  return redis.error_reply('LOST the catalog was emptied')
end
if ARGV[1] == '' then
  return { found }
end
return { found, call('HGET', key('r', ARGV[2] or ''), 'state') }

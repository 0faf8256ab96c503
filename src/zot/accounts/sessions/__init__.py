"""Browser sessions: on this machine's disk, in Redis, or in memory."""

"""The sessions of browsers: on this machine's disk, in Redis, or in memory."""

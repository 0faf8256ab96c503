"""The catalog in Redis or Valkey: one script a command, reads on a shared connection."""

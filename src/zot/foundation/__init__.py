"""Building blocks that know nothing of registries: thread pools, bounded maps, paging, SQLite files."""

"""What every other package may stand on and that knows nothing of registries: threads, bounded maps, paging."""

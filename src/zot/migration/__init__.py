"""What a store of zot keeps outside its layouts, imported once: accounts, statistics, signatures."""

"""The servers that share a store: who is there, and what each of them does."""

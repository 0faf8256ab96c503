"""Who is asking, and may they: no HTTP and no storage of its own."""

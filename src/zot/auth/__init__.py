"""Who is asking, and may they: no HTTP server and no storage of its own."""

"""Authentication and authorization, without an HTTP server and without storage of its own."""

"""The web interface: pages made on the server, straight on the search index."""

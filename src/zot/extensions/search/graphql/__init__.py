"""GraphQL at `/v2/_zot/ext/search`: zot's schema, answered from the search index."""

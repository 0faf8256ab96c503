"""The OCI image layouts below the roots: imported into the catalog, merged with it, and exported from it."""

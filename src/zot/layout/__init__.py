"""The OCI image layouts below the roots, and the catalog: what others wrote is taken in, what is decided is shown."""

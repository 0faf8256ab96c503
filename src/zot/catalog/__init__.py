"""What exists: repositories, tags, manifests, the blobs they name, uploads. One interface, several drivers."""

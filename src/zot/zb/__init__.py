"""zb: measures how fast a registry takes pushes and serves pulls."""

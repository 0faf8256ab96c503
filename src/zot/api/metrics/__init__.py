"""Metrics of the server in Prometheus format."""

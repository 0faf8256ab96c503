"""`extensions.metrics`: the page of metrics for Prometheus."""

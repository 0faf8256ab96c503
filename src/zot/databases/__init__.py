"""Connections to database servers that replicas share."""

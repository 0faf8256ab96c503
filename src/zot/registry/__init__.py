"""The use cases of a registry, by noun. It knows neither HTTP nor a driver."""

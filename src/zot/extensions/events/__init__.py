"""Events about changes of the catalog: deliveries to sinks by HTTP and NATS, and a stream to watch."""

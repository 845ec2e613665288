"""Connections, the batcher, scripts, keys, leases: how Valkey is reached."""

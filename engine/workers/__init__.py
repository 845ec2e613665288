"""The background processes: the write-behind, expiry, and what watches them."""

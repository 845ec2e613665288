"""The only code that knows Redis: keys, scripts, the batcher, reads."""

"""``onsale demo``: a whole on-sale before your eyes, by way of the HTTP API alone."""

from devkit.demo.commands import demo

__all__ = ["demo"]

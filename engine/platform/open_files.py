"""How many files, sockets included, this process may have open at once."""

from __future__ import annotations

import resource

_ENOUGH = 1_048_576  # where there is no limit: the kernel's own (fs.nr_open) is no lower
_KEPT_MAX = 256  # for the store, the provider, files: what is not a client's connection


def raise_open_files() -> int:
    """Raise the limit to what the system allows, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft  # a container may forbid it
    return wanted


def connections_max() -> int:
    """Return the number of a file from which on it is too many for a client's connection.

    The kernel gives the lowest free number, so a connection with this one means
    that nearly as many files are open as may be.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = _ENOUGH
    return soft - min(_KEPT_MAX, soft // 4)

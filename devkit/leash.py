"""Start a program that dies with its parent: a script, run as ``python -I -S leash.py``.

    leash.py PARENT_PID SIGNAL USER COMMAND ARGUMENT...

``USER`` is ``uid:gid`` to become first, or ``-``. The kernel then sends SIGNAL
when the thread that started this process ends, however it ends; a handler in
the parent could not do that after ``kill -9``. It is a separate script because
a change of user, or of user namespace, clears the request, so it has to be the
last thing before ``exec``; and because running Python between fork and exec of
a threaded parent can deadlock. Linux only: elsewhere it only changes the user.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Become the command. Exits with 127 when it cannot."""
    parent, death_signal, user, *command = arguments
    if user != "-":
        uid, gid = (int(part) for part in user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        if os.getppid() != int(parent):  # it went before the request was made
            sys.exit(127)
    try:
        os.execv(command[0], command)  # noqa: S606 - that is what it is for
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]}: {error}\n")
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])

"""The API under cProfile, between two signals: SIGUSR1 begins, SIGUSR2 ends and writes FILE.

python -m loadtest.bench.profiled FILE
"""

from __future__ import annotations

import cProfile
import signal
import sys

from engine.app.cli import main


def profiled(file: str) -> None:
    """Run ``onsale api`` until it is told to stop."""
    profiler = cProfile.Profile()

    def begin(*_: object) -> None:
        profiler.enable()

    def end(*_: object) -> None:
        profiler.disable()
        profiler.dump_stats(file)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    main(["api"], prog_name="onsale")


if __name__ == "__main__":
    profiled(sys.argv[1])

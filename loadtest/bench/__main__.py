"""``make bench``: measure, show, write bench-results.json; exit code 1 when a "must" is missed."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click
import orjson
import uvloop
from rich.console import Console

from devkit.processes import LaunchError
from loadtest.bench import (
    copying,
    holds,
    places,
    profiling,
    queue,
    sale,
    servers,
    sockets,
    valkey_cpu,
    wrk,
)
from loadtest.bench.commands import CommandError
from loadtest.bench.context import Context, Options
from loadtest.bench.results import Results
from loadtest.bench.show import show
from loadtest.checks import CheckError

BENCHES = {
    bench.name: bench
    for bench in (
        holds.HoldBench(),
        holds.FsyncBench(),
        valkey_cpu.ValkeyBench(),
        copying.CopyBench(),
        sale.SaleBench(),
        queue.QueueBench(),
        places.PlacesBench(),
        sockets.SocketsBench(),
    )
}
_FAILURES = (CheckError, CommandError, LaunchError, wrk.WrkError)
_CORES_MIN = 2


@click.command(help=__doc__)
@click.option("--only", multiple=True, type=click.Choice(list(BENCHES)), help="Some of them.")
@click.option("--quick", is_flag=True, help="Short and small: to see that it works, not to quote.")
@click.option("--rounds", type=click.IntRange(1, 50), help="Of every ratio.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("bench-results.json"),
    show_default=True,
)
@click.option(
    "--profile",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only write where the API's time goes under holds, as text, to this file.",
)
def main(
    only: tuple[str, ...], quick: bool, rounds: int | None, out: Path, profile: Path | None
) -> None:
    """Run the benchmarks."""
    console = Console(stderr=True, highlight=False)
    if (os.cpu_count() or 1) < _CORES_MIN:
        raise click.ClickException("two cores are needed: one for the API, one for all else")
    os.sched_setaffinity(0, {servers.LOAD_CORE})  # inherited by all that is started here
    options = Options(
        rounds=rounds or (1 if quick else 5),
        seconds=1.0 if quick else 2.0,
        seats=6_000 if quick else 55_000,
        sale_s=5.0 if quick else 30.0,
        places=20_000 if quick else 1_000_000,
        sockets=500 if quick else 10_000,
    )
    results = Results(
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=_machine(),
        options={"quick": quick, "rounds": options.rounds, "seats": options.seats},
    )
    Path(".onsale").mkdir(exist_ok=True)
    # on the disk that a sale is on, not in a memory file system, where an fsync costs nothing
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=".onsale")).absolute()
    directory.chmod(0o711)  # PostgreSQL may have to run as another user
    try:
        with console.status("measuring") as status:
            context = Context(
                options=options, directory=directory, results=results, say=status.update
            )
            if profile is not None:
                profile.write_text(uvloop.run(profiling.profile(context)))
                console.print(f"written to {profile}")
                return
            for name in only or BENCHES:
                try:
                    uvloop.run(BENCHES[name].run(context))
                except _FAILURES as error:
                    results.failures.append(f"{name}: {error}")
    except _FAILURES as error:
        raise click.ClickException(str(error)) from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    out.write_bytes(orjson.dumps(results.document(), option=orjson.OPT_INDENT_2))
    show(results, Console(highlight=False, width=None if sys.stdout.isatty() else 132))
    console.print(f"written to {out}")
    sys.exit(results.exit_code)


def _machine() -> dict[str, str]:
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return {
        "processor": processor,
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main(prog_name="python -m loadtest.bench")

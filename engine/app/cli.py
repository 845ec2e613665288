"""The command line. Each command lives in its room and is imported only when it runs.

An expected failure (a bad setting, an :class:`OnsaleError`) is one plain
sentence on stderr and exit code 2, never a traceback.

``onsale up`` leaves the addresses it runs on in a file; in development every
other command reads it for variables that are not set, so that ``onsale audit``
in another terminal finds the running system.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click

from engine.core.errors import OnsaleError
from engine.core.output import end_with_the_reader
from engine.core.settings import SettingsError

ADDRESSES = Path(".onsale/env")  # another file: set ONSALE_ENV_FILE


class RefusedError(click.ClickException):
    """An expected failure, already a sentence for people."""

    exit_code = 2


class Entry(NamedTuple):
    """Where a command lives (``module:function``), and its line in ``onsale --help``."""

    target: str
    help: str


COMMANDS = {
    "up": Entry("devkit.commands:up", "Run everything on this machine."),
    "demo": Entry("devkit.demo:demo", "Watch a whole on-sale, and its audit."),
    "api": Entry("engine.app.commands:api", "Serve the HTTP API."),
    "control": Entry("engine.app.commands:control", "Serve the control API, for operators."),
    "openapi": Entry("engine.app.commands:openapi", "Print the OpenAPI document."),
    "worker": Entry("engine.app.worker_commands:worker", "Run the write-behind and periodic work."),
    "migrate": Entry(
        "engine.platform.postgres.commands:migrate", "Bring the PostgreSQL schema up to date."
    ),
    "load": Entry("engine.catalogue.commands:load", "Load an event from a file."),
    "export": Entry("engine.catalogue.commands:export", "Write a seating plan as JSON."),
    "publish": Entry("engine.catalogue.commands:publish", "Put an occurrence on sale."),
    "pause": Entry("engine.sale.cli:pause", "Pause a sale; every deadline stands still."),
    "resume": Entry("engine.sale.cli:resume", "Resume a paused sale."),
    "queue": Entry("engine.queue.cli:queue", "Show and steer the line before a sale."),
    "refund": Entry("engine.sale.cli:refund", "Refund an order, or go on with its refund."),
    "refunds": Entry("engine.sale.cli:refunds", "List money that is owed back or disputed."),
    "audit": Entry("engine.audit.cli:audit", "Prove that Redis, PostgreSQL and payments agree."),
    "rebuild": Entry("engine.audit.cli:rebuild", "Restore an occurrence in Redis from PostgreSQL."),
    "fairness": Entry(
        "engine.audit.cli:fairness", "Count who came in ahead of the turn in a line."
    ),
    "verify-draw": Entry(
        "engine.queue.draw.cli:verify_draw", "Check the draw of a line, as a buyer can."
    ),
    "dead-letters": Entry(
        "engine.audit.cli:dead_letters", "List and replay records that could not be written."
    ),
}


# Operators name what they mean as it is written on tickets and in event files.
NAMING = {"audit", "rebuild", "fairness", "pause", "resume", "queue", "refund", "refunds"}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, function = entry.target.split(":")
        if not _is_installed(module):
            raise RefusedError(
                f"onsale {cmd_name} comes with a checkout of the project: run it there (make up)"
            )
        command = getattr(importlib.import_module(module), function)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.target} is not a click command")
        if cmd_name in NAMING:
            from engine.catalogue.naming import take_names

            take_names(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; it ends quietly with whoever reads what it prints."""
        end_with_the_reader()
        try:
            return super().main(*args, **kwargs)
        finally:
            sys.stdout.flush()  # here, where it can still end so

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; turn an expected failure into a sentence."""
        try:
            return super().invoke(ctx)
        except (SettingsError, OnsaleError) as error:
            raise RefusedError(str(error)) from error


def _is_installed(module: str) -> bool:
    """Tell whether the servers of development, which the wheel leaves out, are here."""
    package = module.rpartition(".")[0]
    return importlib.util.find_spec(package) is not None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(ctx: click.Context) -> None:
    """Onsale: a flash-sale engine for ticketed events.

    Begin with "onsale up"; it says what to try.
    """
    if ctx.invoked_subcommand == "up":
        return  # it writes the file; what an earlier run left there must not count as set
    if os.environ.get("ONSALE_ENVIRONMENT") != "production":
        fill_environment(Path(os.environ.get("ONSALE_ENV_FILE") or ADDRESSES))


def fill_environment(file: Path) -> None:
    """Set the variables that ``file`` (KEY=VALUE lines) names and that are not set."""
    if not file.is_file():
        return
    for line in file.read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not name.startswith("#"):
            os.environ.setdefault(name, value)


if __name__ == "__main__":
    main(prog_name="onsale")

"""``onsale api`` and ``onsale openapi``."""

from __future__ import annotations

import dataclasses
import errno
import sys

import click

from engine.settings import Settings

_PROCESSES_MAX = 64


@click.command()
@click.option("--host", help="Address to listen on.  [default: ONSALE_API_HOST]")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port.  [default: ONSALE_API_PORT]")
@click.option(
    "--processes",
    type=click.IntRange(1, _PROCESSES_MAX),
    default=1,
    show_default=True,
    help="Processes that share the port; one a core.",
)
def api(host: str | None, port: int | None, processes: int) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C."""
    from engine.http.serving import run

    settings = Settings.from_environment()
    settings = dataclasses.replace(
        settings, api_host=host or settings.api_host, api_port=port or settings.api_port
    )
    try:
        code = run(settings, processes)
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}:
            raise
        raise click.ClickException(
            f"cannot listen on {settings.api_host}:{settings.api_port}: {error.strerror}; "
            "choose another with --host and --port"
        ) from None
    sys.exit(code)


@click.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 document."""
    from engine.http.openapi import openapi_bytes
    from engine.http.routes import ROUTES

    click.echo(openapi_bytes(ROUTES), nl=False)

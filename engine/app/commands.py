"""``onsale api``, ``onsale control`` and ``onsale openapi``."""

from __future__ import annotations

import dataclasses
import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from engine.core.settings import Settings

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
    from engine.app.serving import run

    settings = Settings.from_environment()
    settings = dataclasses.replace(
        settings, api_host=host or settings.api_host, api_port=port or settings.api_port
    )
    settings.validate()
    with _telling_of(settings.api_host, settings.api_port):
        sys.exit(run(settings, processes))


@click.command()
@click.option("--host", help="Address to listen on.  [default: ONSALE_CONTROL_HOST]")
@click.option(
    "--port", type=click.IntRange(1, 65_535), help="Port.  [default: ONSALE_CONTROL_PORT]"
)
def control(host: str | None, port: int | None) -> None:
    """Serve the control API, for operators, until SIGTERM or Ctrl-C."""
    from engine.app.serving import run_control

    settings = Settings.from_environment()
    settings = dataclasses.replace(
        settings,
        control_host=host or settings.control_host,
        control_port=port or settings.control_port,
    )
    settings.validate()
    with _telling_of(settings.control_host, settings.control_port):
        run_control(settings)


@contextmanager
def _telling_of(host: str, port: int) -> Iterator[None]:
    """Say in a sentence that an address cannot be listened on."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}:
            raise
        raise click.ClickException(
            f"cannot listen on {host}:{port}: {error.strerror}; "
            "choose another with --host and --port"
        ) from None


@click.command()
@click.option("--control", is_flag=True, help="That of the control API.")
def openapi(*, control: bool) -> None:
    """Print the OpenAPI 3.1 document."""
    from engine.app.control import control_openapi
    from engine.app.routes import ROUTES
    from engine.platform.http import openapi as documents

    public = documents.openapi_bytes(documents.openapi(ROUTES))
    click.echo(control_openapi() if control else public, nl=False)

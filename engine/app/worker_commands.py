"""``onsale worker``."""

from __future__ import annotations

import errno
import sys

import click

from engine.core.settings import Settings


@click.command()
def worker() -> None:
    """Run the write-behind and periodic work until SIGTERM or Ctrl-C.

    Any number may run. Metrics and health: http://127.0.0.1:ONSALE_WORKER_METRICS_PORT/metrics
    and /health/ready.
    """
    import uvloop

    from engine.app.worker import serve
    from engine.platform import gc_thresholds as garbage
    from engine.platform.telemetry.logs import configure_logs

    settings = Settings.from_environment()
    configure_logs()
    garbage.look_seldom()
    try:
        sys.exit(uvloop.run(serve(settings)))
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EADDRNOTAVAIL}:
            raise
        raise click.ClickException(
            f"cannot serve metrics on port {settings.worker_metrics_port}: {error.strerror};"
            " set ONSALE_WORKER_METRICS_PORT to another (0: any)"
        ) from None

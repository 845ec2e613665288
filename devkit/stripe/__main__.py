"""``python -m devkit.stripe``: the look-alike as a process of its own."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click
import uvloop

from devkit.stripe.journal import JournalError
from devkit.stripe.lookalike import StripeLookalike
from engine.core.settings import Settings

_DEVELOPMENT = Settings()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, show_default=True, help="0 lets the kernel choose.")
@click.option("--data", type=click.Path(path_type=Path), help="The journal; without it, memory.")
# Secrets come from the environment: the arguments of a process are for everybody to read.
@click.option(
    "--secret-key", envvar="STRIPE_SECRET_KEY", default=_DEVELOPMENT.stripe_secret_key, hidden=True
)
@click.option(
    "--publishable-key",
    envvar="STRIPE_PUBLISHABLE_KEY",
    default=_DEVELOPMENT.stripe_publishable_key,
    hidden=True,
)
@click.option("--webhook-url", help="Where signed events are posted; without it, nowhere.")
@click.option(
    "--webhook-secret",
    envvar="STRIPE_WEBHOOK_SECRET",
    default=_DEVELOPMENT.stripe_webhook_secret,
    hidden=True,
)
@click.option(
    "--webhook-event",
    "webhook_events",
    multiple=True,
    help="A kind of event that the endpoint is enabled for (repeat it); all by default.",
)
def main(
    *,
    host: str,
    port: int,
    data: Path | None,
    secret_key: str,
    publishable_key: str,
    webhook_url: str | None,
    webhook_secret: str,
    webhook_events: tuple[str, ...],
) -> None:
    """Serve a Stripe look-alike until SIGINT or SIGTERM."""
    for name, key, start in (
        ("--secret-key", secret_key, "sk_test_"),
        ("--publishable-key", publishable_key, "pk_test_"),
        ("--webhook-secret", webhook_secret, "whsec_"),
    ):
        if not key.startswith(start):
            raise click.BadParameter(f"{name} must begin with {start}")
    uvloop.run(
        _serve(
            StripeLookalike(
                host=host,
                port=port,
                data=data,
                secret_key=secret_key,
                publishable_key=publishable_key,
                webhook_url=webhook_url,
                webhook_secret=webhook_secret,
                webhook_events=webhook_events or None,
            ),
            f"{host}:{port}",
        )
    )


async def _serve(lookalike: StripeLookalike, address: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await lookalike.start()
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {address}: {error.strerror}. Choose another --port."
        ) from error
    except JournalError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Stripe look-alike on {lookalike.url}")
    await stop.wait()
    await lookalike.stop()


if __name__ == "__main__":
    main()

"""All settings, in one frozen object that is validated at start.

Each is read from one environment variable; its comment gives unit and reason.
In production a missing secret stops the start with a sentence that says what
to set; in development secrets have fixed values that production refuses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

_DEVELOPMENT_SECRET = "development-only-secret-of-32-bytes-or-more"  # noqa: S105 - refused in production
_SECRET_LENGTH_MIN = 32  # HS256 keys shorter than the digest weaken it (RFC 7518, 3.2)


class SettingsError(Exception):
    """A setting is missing or out of range; the message says what to set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """See the module; one field a setting, its variable is ``variable(field)``."""

    environment: str = "development"  # "development" or "production"
    redis_url: str = "redis://127.0.0.1:6379/0"
    database_url: str = "postgresql://postgres@127.0.0.1:5432/onsale"
    token_secret: str = _DEVELOPMENT_SECRET  # signs buyers' tokens (HS256)
    stripe_secret_key: str = "sk_test_onsale"  # noqa: S105 - the look-alike's own
    stripe_publishable_key: str = "pk_test_onsale"
    stripe_webhook_secret: str = "whsec_" + _DEVELOPMENT_SECRET
    stripe_api_base: str = "https://api.stripe.com"  # the look-alike's address in development
    api_host: str = "127.0.0.1"
    api_port: int = 8080
    worker_metrics_port: int = 8081  # 0: let the kernel choose
    public_url: str = "http://127.0.0.1:8080"  # what buyers see; links and redirects use it
    guest_token_ttl_s: int = 86_400  # a guest keeps order access for a day
    batch_size_max: int = (
        128  # requests a script call; bounds how long one call holds Valkey (~1 ms)
    )
    batch_queue_max: int = 4_096  # waiting requests a process; beyond it 503 (~0.2 s of work)
    backlog_max: int = 500_000  # unwritten records (~0.6 KiB each: 300 MiB of Valkey memory)
    backlog_poll_ms: int = 500
    body_bytes_max: int = 65_536  # the largest sensible request names some 100 seats
    live_interval_ms: int = 250  # the seat map's differences: at most 4 messages a second
    live_sockets_max: int = 20_000  # a process; 13.5 KiB each idle
    persist_batch: int = (
        1_000  # records a transaction; twice as many a stream read (+15 % over 500)
    )
    persist_dead_max: int = 1_000  # parked records at which the consumer stops loudly
    sweep_interval_ms: int = 500  # hold expiry; holds are also swept when they meet empty stock
    provider_timeout_s: float = 10.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings. Raises :class:`SettingsError`."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            text = environment.get(variable(field.name))
            if text is None or text == "":
                continue
            kind = {"str": str, "int": int, "float": float}[str(field.type)]
            try:
                values[field.name] = kind(text)
            except ValueError:
                raise SettingsError(
                    f"{variable(field.name)}={text!r} is not a number: set a {kind.__name__}"
                ) from None
        settings = cls(**values)
        settings.validate()
        return settings

    def validate(self) -> None:
        """Raise :class:`SettingsError` when a value is missing or out of range."""
        if self.environment not in {"development", "production"}:
            raise SettingsError("ONSALE_ENVIRONMENT must be development or production")
        if len(self.token_secret) < _SECRET_LENGTH_MIN:
            raise SettingsError(
                f"ONSALE_TOKEN_SECRET must have at least {_SECRET_LENGTH_MIN} characters"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and value <= 0 and field.name not in _MAY_BE_ZERO:
                raise SettingsError(f"{variable(field.name)}={value} must be above 0")
        if self.environment == "production":
            for name in _SECRETS:
                value = getattr(self, name)
                if not value or value == type(self).__dataclass_fields__[name].default:
                    raise SettingsError(
                        f"set {variable(name)}: production refuses the development value"
                    )


_SECRETS = ("token_secret", "stripe_secret_key", "stripe_publishable_key", "stripe_webhook_secret")
_MAY_BE_ZERO = {"worker_metrics_port"}
_UNPREFIXED = {
    "redis_url",
    "database_url",
    "stripe_secret_key",
    "stripe_publishable_key",
    "stripe_webhook_secret",
    "stripe_api_base",
}


def variable(field: str) -> str:
    """Return the environment variable of a setting: ``api_port`` -> ``ONSALE_API_PORT``."""
    return field.upper() if field in _UNPREFIXED else f"ONSALE_{field.upper()}"

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

from engine.core.addresses import Proxies

_DEVELOPMENT_SECRET = "development-only-secret-of-32-bytes-or-more"  # noqa: S105 - refused in production
_INSTALLATION_LENGTH_MAX = 200  # Stripe keeps 500 characters of a metadata value
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
    # Names this installation in the payments that it makes, as several may share one account at the
    # provider, and each must leave the others' alone. Never change it while orders wait for money.
    # Empty: the address in public_url, which no two installations share
    installation: str = ""
    stripe_api_base: str = "https://api.stripe.com"  # the look-alike's address in development
    api_host: str = "127.0.0.1"
    api_port: int = 8080
    control_host: str = "127.0.0.1"  # operators reach it through what signs them in
    control_port: int = 8082
    control_token: str = _DEVELOPMENT_SECRET  # whoever has it may pause, open and close sales
    worker_metrics_port: int = 8081  # 0: let the kernel choose
    public_url: str = "http://127.0.0.1:8080"  # what buyers see; links and redirects use it
    guest_token_ttl_s: int = 86_400  # a guest keeps order access for a day
    # proxies whose X-Forwarded-For is believed: networks, comma-separated, as 10.0.0.0/8
    trusted_proxies: str = ""
    # new guests of an address block (/24 of IPv4) in 10 minutes; 0: no limit. A guest is needed
    # to join, so as many as may join of it
    guests_per_address: int = 3_000
    # The door of the waiting room. Mean hashes of the proof of work that joining takes, 0: none is
    # asked. 200,000 take Chromium 0.2 s on two cores and a native program 0.05 s of one; while
    # very many join it rises to 16 times as many.
    door_difficulty: int = 200_000
    # Joins of an address block in 10 minutes: beyond soft in the slow lane, beyond hard none; hard
    # 0: no limit. When a million join in 10 minutes, a third of them through the NAT of mobile
    # operators with some 1,000 such blocks, each has 300; a fan zone on one line has 3,000.
    door_address_soft: int = 300
    door_address_hard: int = 3_000
    # The same of a guest's e-mail: a person has one place, and may give it up once by mistake
    door_email_soft: int = 2
    door_email_hard: int = 10
    # Requests a script call, and nearly so a flush: bounds how long one holds Valkey (0.5 ms), and
    # leaves enough for the next flush meanwhile (docs/adr/0005)
    batch_size_max: int = 64
    batch_queue_max: int = 4_096  # waiting requests a process; beyond it 503 (~0.2 s of work)
    backlog_max: int = 500_000  # unwritten records (~0.6 KiB each: 300 MiB of Valkey memory)
    backlog_poll_ms: int = 500
    body_bytes_max: int = 65_536  # the largest sensible request names some 100 seats
    live_interval_ms: int = 250  # of seat maps and lines: at most 4 messages a second
    live_sockets_max: int = 20_000  # of seat maps, and of lines, a process; ~2 KiB each idle
    persist_batch: int = (
        1_000  # records a transaction; twice as many a stream read (+15 % over 500)
    )
    persist_dead_max: int = 1_000  # parked records at which the consumer stops loudly
    sweep_interval_ms: int = 500  # hold expiry; holds are also swept when they meet empty stock
    provider_timeout_s: float = 10.0

    @property
    def installation_name(self) -> str:
        """The name of this installation, 1 to 200 characters."""
        address = self.public_url.partition("://")[2] or self.public_url
        return self.installation or address.rstrip("/").lower()[:_INSTALLATION_LENGTH_MAX]

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
        for name in ("token_secret", "control_token"):
            if len(getattr(self, name)) < _SECRET_LENGTH_MIN:
                raise SettingsError(
                    f"{variable(name)} must have at least {_SECRET_LENGTH_MIN} characters"
                )
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, (int, float)):
                continue
            if value < 0 or (value == 0 and field.name not in _MAY_BE_ZERO):
                raise SettingsError(f"{variable(field.name)}={value} must be above 0")
        self._validate_names()
        self._validate_door()
        if self.environment == "production":
            for name in _SECRETS:
                value = getattr(self, name)
                if not value or value == type(self).__dataclass_fields__[name].default:
                    raise SettingsError(
                        f"set {variable(name)}: production refuses the development value"
                    )

    def _validate_names(self) -> None:
        if len(self.installation) > _INSTALLATION_LENGTH_MAX or not self.installation.isprintable():
            raise SettingsError(
                f"{variable('installation')} must have at most {_INSTALLATION_LENGTH_MAX}"
                " visible characters"
            )

    def _validate_door(self) -> None:
        for kind in ("address", "email"):
            soft, hard = (getattr(self, f"door_{kind}_{limit}") for limit in ("soft", "hard"))
            if hard and soft > hard:
                raise SettingsError(
                    f"{variable(f'door_{kind}_soft')}={soft} must not be above "
                    f"{variable(f'door_{kind}_hard')}={hard}"
                )
        try:
            Proxies(self.trusted_proxies)
        except ValueError as error:
            raise SettingsError(f"{variable('trusted_proxies')}: {error}") from None


_SECRETS = (
    "token_secret",
    "control_token",
    "stripe_secret_key",
    "stripe_publishable_key",
    "stripe_webhook_secret",
)
_MAY_BE_ZERO = {
    "worker_metrics_port",
    "guests_per_address",
    "door_difficulty",
    "door_address_hard",
    "door_email_hard",
}
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

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
from engine.core.setting_rules import (
    PORT_MAX,
    Rule,
    between,
    endpoint_url,
    listening_host,
    one_of,
    parse_number,
    secret,
    server_url,
    site,
)

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
    # Metrics are for scrapers, not for the public: another address and other ports than buyers'
    metrics_host: str = "127.0.0.1"
    api_metrics_port: int = 8083  # of all processes of an API; 0: none
    worker_metrics_port: int = 8081  # 0: let the kernel choose
    public_url: str = "http://127.0.0.1:8080"  # what buyers see; links and redirects use it
    guest_token_ttl_s: int = 86_400  # a guest keeps order access for a day
    # proxies whose X-Forwarded-For is believed: networks, comma-separated, as 10.0.0.0/8
    trusted_proxies: str = ""
    # Limits of an address are those of a block of it: a /24 of IPv4; of IPv6 a /48 has as much, a
    # /56 within it a third, a /64 a tenth (docs/adr/0016).
    # New guests of an address in 10 minutes; 0: no limit. A guest is needed to join, so as many
    # as may join of it
    guests_per_address: int = 3_000
    # The door of the waiting room. Mean hashes of the proof of work that joining takes, 0: none is
    # asked. 200,000 take Chromium 0.2 s on two cores and a native program 0.05 s of one; while
    # very many join it rises to 16 times as many.
    door_difficulty: int = 200_000
    # Challenges for a buyer in 10 minutes; 0: no limit. One is enough to join; the others are for
    # pages that were loaded anew. Of an address: four for each guest that it may have
    challenges_per_buyer: int = 30
    challenges_per_address: int = 12_000
    # Joins of an address in 10 minutes: beyond soft in the slow lane, beyond hard none; hard
    # 0: no limit. When a million join in 10 minutes, a third of them through the NAT of mobile
    # operators with some 1,000 such blocks, each has 300; a fan zone on one line has 3,000.
    door_address_soft: int = 300
    door_address_hard: int = 3_000
    # Who holds tickets and does not buy them waits before the next hold (docs/adr/0011): so many
    # seconds after the second hold that ran out, four times as long after each further one, at most
    # hold_pause_max_s; 0: nobody waits. A purchase ends it, an hour forgets half of it.
    hold_pause_s: int = 60
    hold_pause_max_s: int = 3_600
    # So many of the guests of one network (/24 of IPv4, /48 of IPv6), and four for each of its
    # purchases, before all of it waits for stock of which less than half is free; 0: no network
    # waits. A household stays below it, a program with free guests is beyond it in a round or two.
    hold_network_free: int = 10
    # Requests a script call, and nearly so a flush: bounds how long one holds Valkey (0.5 ms), and
    # leaves enough for the next flush meanwhile (docs/adr/0005)
    batch_size_max: int = 64
    batch_queue_max: int = 4_096  # waiting requests a process; beyond it 503 (~0.2 s of work)
    backlog_max: int = 500_000  # unwritten records (~0.6 KiB each: 300 MiB of Valkey memory)
    backlog_poll_ms: int = 500
    body_bytes_max: int = 65_536  # the largest sensible request names some 100 seats
    # What a client may take for each part of a request, in total: however slowly it goes on. A head
    # is one packet, and a phone in a tunnel repeats it within seconds.
    http_head_s: float = 10.0
    http_body_s: float = 15.0  # 64 KiB at 35 kbit/s
    http_answer_s: float = 60.0  # the map of a stadium, 300 KiB compressed, at 40 kbit/s
    http_idle_s: float = 75.0  # longer than the 60 s of usual proxies, so that they close first
    # What requests under way are given at SIGTERM; with sockets and servers to part from, a process
    # ends within 8 s, which is less than the 10 s that containers are given
    http_stop_s: float = 4.0
    live_interval_ms: int = 250  # of seat maps and lines: at most 4 messages a second
    live_sockets_max: int = 20_000  # of seat maps, and of lines, a process; ~2 KiB each idle
    # of them to seat maps, for which nobody signs in, of one address (/64 of IPv6); 0: no limit. A
    # fan zone on one line has 3,000; those beyond ask instead
    live_sockets_of_one_max: int = 4_000
    # Lines that a process has at hand, those that were asked for last; another one is read anew
    # and does not know its rate of the last minute. ~12 KiB each: 25 MiB
    boards_max: int = 2_048
    persist_batch: int = (
        1_000  # records a transaction; twice as many a stream read (+15 % over 500)
    )
    persist_dead_max: int = 1_000  # records parked in a burst, at which the consumer stops loudly
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
                values[field.name] = text if kind is str else parse_number(text, kind)
            except ValueError:
                raise SettingsError(
                    f"{variable(field.name)}={text!r} is not a number: set a {kind.__name__}"
                ) from None
        if "public_url" in values:
            values["public_url"] = values["public_url"].removesuffix("/")
        settings = cls(**values)
        settings.validate()
        return settings

    def validate(self) -> None:
        """Raise :class:`SettingsError` when a value is missing or out of range."""
        for field in fields(self):
            value = getattr(self, field.name)
            wrong = RULES[field.name](value)
            if wrong is not None:
                shown = "" if field.name in _HIDDEN else f"={value!r}"
                raise SettingsError(f"{variable(field.name)}{shown} {wrong}")
        self._validate_door()
        if self.environment == "production":
            self._validate_production()

    def _validate_production(self) -> None:
        for name in SECRETS:
            if getattr(self, name) == type(self).__dataclass_fields__[name].default:
                raise SettingsError(
                    f"set {variable(name)}: production refuses the development value"
                )
        for number, name in enumerate(SECRETS):
            for other in SECRETS[:number]:
                if getattr(self, name) == getattr(self, other):
                    raise SettingsError(
                        f"{variable(name)} is the same as {variable(other)}: "
                        "who knows the one must not know the other"
                    )
        if not self.public_url.startswith("https://"):
            raise SettingsError(
                f"{variable('public_url')}={self.public_url!r} must begin with https:// in "
                "production: tokens and names of people go over it"
            )
        modes = {
            getattr(self, name).split("_")[1]
            for name in ("stripe_secret_key", "stripe_publishable_key")
        }
        if len(modes) != 1:
            raise SettingsError(
                "STRIPE_SECRET_KEY and STRIPE_PUBLISHABLE_KEY must both be live or both test"
            )

    def _validate_door(self) -> None:
        soft, hard = self.door_address_soft, self.door_address_hard
        if hard and soft > hard:
            raise SettingsError(
                f"{variable('door_address_soft')}={soft} must not be above "
                f"{variable('door_address_hard')}={hard}"
            )


def _installation(value: str) -> str | None:
    if len(value) > _INSTALLATION_LENGTH_MAX or not value.isprintable():
        return f"must have at most {_INSTALLATION_LENGTH_MAX} visible characters"
    return None


def _networks(value: str) -> str | None:
    try:
        Proxies(value)
    except ValueError as error:
        return f"must be networks, comma-separated: {error}"
    return None


_PORT = between(1, PORT_MAX)
_MAYBE_PORT = between(1, PORT_MAX, or_zero=True)
_PEOPLE = between(1, 1_000_000)
_MAYBE_PEOPLE = between(1, 1_000_000, or_zero=True)
_INTERVAL_MS = between(5, 60_000)

# What each setting may be; beyond it, it is a mistake of whoever wrote it down.
RULES: dict[str, Rule] = {
    "environment": one_of("development", "production"),
    "redis_url": server_url("redis", "rediss"),
    "database_url": server_url("postgresql"),
    "token_secret": secret(least=_SECRET_LENGTH_MIN),
    "stripe_secret_key": secret(("sk_test_", "sk_live_", "rk_test_", "rk_live_")),
    "stripe_publishable_key": secret(("pk_test_", "pk_live_")),
    "stripe_webhook_secret": secret(("whsec_",)),
    "stripe_api_base": endpoint_url,
    "api_host": listening_host,
    "api_port": _PORT,
    "control_host": listening_host,
    "control_port": _PORT,
    "control_token": secret(least=_SECRET_LENGTH_MIN),
    "metrics_host": listening_host,
    "api_metrics_port": _MAYBE_PORT,
    "worker_metrics_port": _MAYBE_PORT,
    "public_url": site,
    "installation": _installation,
    "guest_token_ttl_s": between(60, 366 * 86_400),
    "trusted_proxies": _networks,
    "guests_per_address": _MAYBE_PEOPLE,
    "door_difficulty": between(1, 1_000_000_000, or_zero=True),
    "door_address_soft": _PEOPLE,
    "door_address_hard": _MAYBE_PEOPLE,
    "challenges_per_buyer": _MAYBE_PEOPLE,
    "challenges_per_address": _MAYBE_PEOPLE,
    "hold_pause_s": between(1, 86_400, or_zero=True),
    "hold_pause_max_s": between(1, 86_400),  # a day is a ban
    # more is the same as 0: no network waits
    "hold_network_free": between(1, 1_000_000_000, or_zero=True),
    "batch_size_max": between(1, 1_000),  # of a script call; see lua/README.md
    "batch_queue_max": between(1, 1_000_000),
    "backlog_max": between(1, 100_000_000),
    "backlog_poll_ms": _INTERVAL_MS,
    "body_bytes_max": between(1_024, 16_777_216),
    "http_head_s": between(0.05, 600),
    "http_body_s": between(0.05, 600),
    "http_answer_s": between(0.05, 3_600),
    "http_idle_s": between(0.05, 3_600),
    "http_stop_s": between(0.05, 6),  # beyond it, the end would come before it
    "live_interval_ms": _INTERVAL_MS,
    "live_sockets_max": between(1, 1_000_000),
    "live_sockets_of_one_max": between(1, 1_000_000, or_zero=True),
    "boards_max": between(1, 100_000),
    "persist_batch": between(1, 100_000),
    "persist_dead_max": between(1, 1_000_000),
    "sweep_interval_ms": _INTERVAL_MS,
    "provider_timeout_s": between(0.05, 120),
}
SECRETS = (
    "token_secret",
    "control_token",
    "stripe_secret_key",
    "stripe_publishable_key",
    "stripe_webhook_secret",
)
_HIDDEN = {*SECRETS, "redis_url", "database_url"}  # with passwords: logs are read by many
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

"""docker-compose.yml: valid, without secrets, and as safe as the embedded servers are."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.core.addresses import Proxies
from engine.core.settings import Settings, SettingsError

PROJECT = Path(__file__).parents[2]
COMPOSE = PROJECT / "docker-compose.yml"
# Validates against the compose-spec schema; its opinions on the order of keys are not asked for.
LINTER = ("npx", "--yes", "--prefer-offline", "dclint@3.1.0", "--quiet")
_SAMPLES = {  # of what is not just any word
    "ONSALE_PUBLIC_URL": "https://tickets.example.org",
    "ONSALE_CONTROL_TOKEN": "y" * 40,
    "STRIPE_SECRET_KEY": "sk_live_abc",
    "STRIPE_PUBLISHABLE_KEY": "pk_live_abc",
    "STRIPE_WEBHOOK_SECRET": "whsec_abc",
}
_SECRET = re.compile(r"(SECRET|PASSWORD|KEY|TOKEN)")
_REQUIRED = re.compile(r"\$\{[A-Z_]+:\?[^}]+\}")
_DEFAULT = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return document


def _validate(file: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("npx") is None:
        pytest.skip("npx (of npm) is not installed: the compose-spec schema is not checked")
    result = subprocess.run(
        [*LINTER, str(file)], capture_output=True, text=True, check=False, timeout=100
    )
    if "npm error" in result.stderr and os.environ.get("CI") != "true":
        pytest.skip(f"dclint could not be fetched: {result.stderr.strip().splitlines()[-1]}")
    return result


def test_the_file_is_valid_compose() -> None:
    result = _validate(COMPOSE)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_validator_sees_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE.read_text().replace("restart: unless-stopped", "restarts: yes"))
    assert _validate(wrong).returncode != 0


def test_every_secret_comes_from_a_variable_that_must_be_set(compose: dict[str, Any]) -> None:
    seen = 0
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if _SECRET.search(name):
                seen += 1
                assert _REQUIRED.fullmatch(value), f"{name}={value}"
            assert "@" not in value or _REQUIRED.search(value), f"a password in {name}"
    assert seen


def filled_in(environment: dict[str, str], **set_: str) -> dict[str, str]:
    """Return an environment as compose fills it in, with these variables set."""
    texts = {
        name: re.sub(r"\$\{([A-Z_]+):[^}]+\}", lambda found: set_.get(found[1], found[0]), value)
        for name, value in environment.items()
    }
    return {
        name: _DEFAULT.sub(r"\1", _SAMPLES.get(name) or _REQUIRED.sub("x" * 40, value))
        for name, value in texts.items()
    }


def test_buyers_behind_the_proxy_of_this_machine_do_not_share_one_budget(
    compose: dict[str, Any],
) -> None:
    (network,) = compose["networks"]["default"]["ipam"]["config"]
    subnet = ipaddress.ip_network(_DEFAULT.sub(r"\1", network["subnet"]))
    for service in compose["services"].values():
        assert "networks" not in service  # all are in that one
    given = compose["services"]["api"]["environment"]
    proxies = Proxies(Settings.from_environment(filled_in(given)).trusted_proxies)
    for proxy in (subnet[1], subnet[17]):  # the gateway, and a container
        assert proxies.client(str(proxy), ["198.51.100.1, 203.0.113.7:4711"]) == "203.0.113.7"
    stranger = "192.0.2.1"
    assert proxies.client(stranger, ["203.0.113.7"]) == stranger
    other = filled_in(given, ONSALE_TRUSTED_PROXIES="10.0.0.0/8")
    assert Settings.from_environment(other).trusted_proxies == "10.0.0.0/8"


def test_the_engine_starts_with_what_the_file_gives_and_with_nothing_less(
    compose: dict[str, Any],
) -> None:
    given = compose["services"]["api"]["environment"]
    filled = filled_in(given)
    assert Settings.from_environment(filled).environment == "production"
    for name in given:
        if _SECRET.search(name):
            with pytest.raises(SettingsError, match=name):
                Settings.from_environment({**filled, name: ""})


def test_what_is_for_operators_is_reached_from_this_machine_only(compose: dict[str, Any]) -> None:
    assert compose["services"]["control"]["ports"] == ["127.0.0.1:8082:8082"]
    for name in ("postgres", "valkey", "worker"):
        assert "ports" not in compose["services"][name], name


def test_no_secret_is_an_argument_and_what_valkey_writes_is_private(
    compose: dict[str, Any],
) -> None:
    """Arguments are for everybody on the machine to read: the password comes by standard input."""
    command = compose["services"]["valkey"]["command"][-1]
    arguments, _, given = command.partition("<<END\n")
    assert "PASSWORD" not in arguments
    assert arguments.rstrip().endswith(" -")
    assert given == 'requirepass "$$VALKEY_PASSWORD"\nEND\n'
    assert command.startswith("umask 077\n")
    for name, service in compose["services"].items():
        if name != "valkey":
            assert "PASSWORD" not in str(service.get("command"))


def test_metrics_are_not_published(compose: dict[str, Any]) -> None:
    services = compose["services"]
    given = services["api"]["environment"]
    metrics = {given["ONSALE_API_METRICS_PORT"], given["ONSALE_WORKER_METRICS_PORT"]}
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert not metrics & {port.rpartition(":")[2] for port in published}
    assert given["ONSALE_API_PORT"] not in metrics


def test_valkey_keeps_what_it_acknowledged(compose: dict[str, Any]) -> None:
    valkey = compose["services"]["valkey"]
    command = valkey["command"][-1]
    assert "--appendonly yes" in command
    assert "--appendfsync always" in command
    assert "--maxmemory-policy noeviction" in command
    assert 'requirepass "$$VALKEY_PASSWORD"' in command
    assert valkey["volumes"] == ["valkey:/data"]


def test_processes_wait_for_healthy_servers_and_for_the_schema(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("api", "control", "worker"):
        assert services[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "postgres": {"condition": "service_healthy"},
            "valkey": {"condition": "service_healthy"},
        }
    for name in ("api", "control", "worker", "postgres", "valkey"):
        assert "healthcheck" in services[name], name


def test_the_image_has_only_hashed_requirements_and_no_root() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    assert dockerfile.count("--require-hashes") == 2
    assert "USER onsale" in dockerfile
    assert "HEALTHCHECK" in dockerfile
    assert "embedded" not in "".join(re.findall(r"^COPY .*$", dockerfile, re.MULTILINE))

"""The wheel, built from this checkout and installed into an empty environment."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from devkit.processes import Process, free_port

PROJECT = Path(__file__).resolve().parents[2]
_CODE = "import engine; print(engine.__file__)"


class _Api(Process):
    """``onsale api`` of the wheel; it is ready when it says that it lives."""

    port = 0

    def ready(self) -> bool:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)) as asked:
                asked.request("GET", "/health/live")
                with asked.getresponse() as response:
                    return response.status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    # a copy, so that what the build leaves behind is not left in the checkout
    tracked = _run("git", "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    for name in tracked:
        if name.startswith(("engine/", "lua/", "migrations/")) or name in _OF_THE_BUILD:
            copy = directory / "source" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((PROJECT / name).read_bytes())
    _run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--disable-pip-version-check", "--wheel-dir", str(directory), str(directory / "source")),
    )
    (found,) = directory.glob("onsale-*.whl")
    return found


_OF_THE_BUILD = {"pyproject.toml", "setup.py", "README.md", "requirements-server.in"}


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment that has the wheel, what it needs, and nothing else."""
    directory = tmp_path_factory.mktemp("environment") / "venv"
    uv = str(Path(sys.executable).with_name("uv"))
    _run(sys.executable, "-m", "venv", "--without-pip", str(directory))
    python = str(directory / "bin" / "python")
    _run(
        *(uv, "pip", "install", "--quiet", "--python", python, "--require-hashes"),
        *("-r", str(PROJECT / "requirements-server.txt")),
    )
    _run(uv, "pip", "install", "--quiet", "--python", python, "--no-deps", str(wheel))
    return directory / "bin"


def _surroundings() -> dict[str, str]:
    """The environment variables, without those that would lead to this checkout or its servers."""
    ours = ("ONSALE_", "PYTHON", "VIRTUAL_ENV", "DATABASE_URL", "REDIS_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=PROJECT if command[0] == "git" else "/",
        env={**_surroundings(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_all_that_the_engine_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = _run("git", "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    wanted = {
        name if name.startswith("engine/") else f"engine/{name}"
        for name in tracked
        if name.endswith((".py", ".lua", ".mako", ".html", ".css", ".js", ".svg"))
        and name.startswith(("engine/", "lua/", "migrations/"))
        and not name.startswith("devkit/")
    }
    # Alembic reads migrations by path: they are data, but for the two folders' own modules
    assert wanted - names == set()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"engine"}
    assert not any(name.startswith("devkit") for name in names)


def test_the_installed_engine_is_the_wheels(environment: Path) -> None:
    where = _run(str(environment / "python"), "-c", _CODE).strip()
    assert where.startswith(str(environment.parent))


def test_the_installed_command_says_what_there_is(environment: Path) -> None:
    assert "migrate" in _run(str(environment / "onsale"), "--help")


def test_what_the_wheel_leaves_out_is_refused_with_a_sentence(environment: Path) -> None:
    done = subprocess.run(
        [str(environment / "onsale"), "up"],
        cwd="/",
        env=_surroundings(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "checkout" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_installed_engine_migrates_and_serves(
    environment: Path, database_url: str, valkey_url: str, tmp_path: Path
) -> None:
    variables = {"DATABASE_URL": database_url, "REDIS_URL": f"{valkey_url}/0"}
    assert "up to date" in _run(str(environment / "onsale"), "migrate", **variables)
    port = free_port()
    api = _Api(
        "the wheel's api",
        [str(environment / "onsale"), "api", "--port", str(port)],
        log=tmp_path / "log",
        environment={**_surroundings(), **variables},
        directory=tmp_path,
    )
    api.port = port
    api.start()
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("GET", "/openapi.json")
            with connection.getresponse() as response:
                assert response.status == http.HTTPStatus.OK
                assert response.read()
    finally:
        api.stop()
    assert api.returncode == 0

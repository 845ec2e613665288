"""A real Chromium in front of a real edge. Nothing on a page may fail unnoticed."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect
from redis.asyncio import Redis

from devkit.processes import free_port
from devkit.stripe.lookalike import StripeLookalike
from engine.core.settings import Settings
from tests.http.lines import LineEdge, running_line

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS = 20_000  # for what takes a fraction of a second on a machine that is not busy
DIFFICULTY = 20_000

expect.set_options(timeout=_PATIENCE_MS)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium."""
    names = (os.environ.get("ONSALE_CHROMIUM", ""), *_NAMES)
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in ONSALE_CHROMIUM")
    return found


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    # Containers and root have no sandbox of their own; only pages of this project are opened.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield one
        await one.close()


@dataclass
class Watched:
    """What went wrong on pages, and where they went for what."""

    problems: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    expected: tuple[str, ...] = ()  # parts of messages that a test provokes

    def watch(self, context: BrowserContext) -> None:
        context.on("weberror", lambda error: self.problems.append(str(error.error)))
        context.on("console", self._console)
        context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"{message.text} ({message.location.get('url', '')})")

    def check(self, host: str) -> None:
        """Fail for errors, violations of the policy, and requests to anywhere else."""
        unexpected = [
            problem
            for problem in self.problems
            # the browser logs each 404: to ask for a place that one has not is the way to know
            if not ("404" in problem and problem.endswith("/queue)"))
            and not any(part in problem for part in self.expected)
        ]
        assert not unexpected
        assert self.hosts <= {host}


@dataclass
class Room:
    """A line, and browsers in front of it."""

    line: LineEdge
    browser: Browser
    watched: Watched
    contexts: list[BrowserContext] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.line.edge.url}/wait/{self.line.edge.snapshot.occurrence}"

    async def context(self, **options: Any) -> BrowserContext:
        """Another person's browser: nothing is kept from the others."""
        context = await self.browser.new_context(locale="en-GB", **options)
        context.set_default_timeout(_PATIENCE_MS)
        self.watched.watch(context)
        self.contexts.append(context)
        return context

    async def close(self) -> None:
        """Close all browsers: one that connects while the edge goes leaves a connection behind."""
        for context in self.contexts:
            await context.close()

    async def visit(self, **options: Any) -> Page:
        """The waiting page in a browser of its own."""
        page = await (await self.context(**options)).new_page()
        await page.goto(self.url)
        return page


MakeRoom = Callable[..., Awaitable[Room]]


@pytest.fixture
async def make_room(
    valkey_url: str, redis_client: Redis, browser: Browser
) -> AsyncIterator[MakeRoom]:
    """Run an edge with a line: ``settings`` changes its settings, all else its room."""
    async with AsyncExitStack() as stack:
        stripe = StripeLookalike()
        await stripe.start()
        stack.push_async_callback(stripe.stop)

        async def make(settings: dict[str, Any] | None = None, **room: Any) -> Room:
            port = free_port()
            values = Settings(
                redis_url=f"{valkey_url}/0",
                stripe_api_base=stripe.url,
                public_url=f"http://127.0.0.1:{port}",
                live_interval_ms=20,
                door_difficulty=DIFFICULTY,
            )
            line = await stack.enter_async_context(
                running_line(replace(values, **(settings or {})), redis_client, port=port, **room)
            )
            made = Room(line, browser, Watched())
            stack.push_async_callback(made.close)
            stack.callback(made.watched.check, f"127.0.0.1:{port}")
            return made

        yield make


@pytest.fixture
async def room(make_room: MakeRoom) -> Room:
    """A line whose pre-queue is open."""
    return await make_room()

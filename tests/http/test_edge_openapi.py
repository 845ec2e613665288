"""The OpenAPI document and the page that draws it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import orjson
from click.testing import CliRunner
from openapi_spec_validator import validate

from engine.app.commands import openapi as command
from engine.app.routes import ROUTES
from engine.core.errors import OnsaleError
from engine.platform.http.openapi import errors_of, openapi, openapi_bytes
from engine.sale.errors import SoldOutError
from tests.http.running import Edge


def test_the_document_is_valid() -> None:
    validate(orjson.loads(openapi_bytes(openapi(ROUTES))))


def test_the_command_prints_the_document() -> None:
    result = CliRunner().invoke(command)
    assert result.exit_code == 0
    assert result.output.encode() == openapi_bytes(openapi(ROUTES))


async def test_it_has_every_route_of_the_application_and_no_other(edge: Edge) -> None:
    served = {
        (route.method, re.sub(r"\{(\w+):[^/]*\}", r"{\1}", route.resource.canonical))
        for route in edge.app.router.routes()
        if route.resource is not None
    }
    document = (await edge.call("GET", "/openapi.json")).json
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert served == described


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [route.name for route in ROUTES]
    assert len(set(names)) == len(names)


def test_every_post_of_the_interface_wants_an_idempotency_key_but_some() -> None:
    """Not the webhook, nor the waiting room, where a buyer has one place however often they ask.

    Nor guests: each is another one, as a key would be the same for all who copied it.
    """
    for route in ROUTES:
        if route.method == "POST" and route.path.startswith("/v1/"):
            by_itself = any(part in route.path for part in ("/webhooks/", "/queue", "/guests"))
            wanted = "ignored" if by_itself else "required"
            assert route.idempotency == wanted, route.name


def test_every_bound_of_a_request_is_in_the_document() -> None:
    schemas = openapi(ROUTES)["components"]["schemas"]
    lines = schemas["HoldRequest"]["properties"]["lines"]
    assert (lines["minItems"], lines["maxItems"]) == (1, 20)
    assert schemas["HoldRequest"]["additionalProperties"] is False
    name = schemas["CheckoutRequest"]["properties"]["name"]
    assert (name["minLength"], name["maxLength"]) == (1, 200)


def test_problems_are_described_by_code_with_an_example() -> None:
    document = openapi(ROUTES)
    examples = document["components"]["examples"]
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        for error in errors_of(route):
            content = operation["responses"][str(error.status)]["content"]
            assert error.code in content["application/problem+json"]["examples"]
            assert examples[error.code]["value"]["status"] == error.status
        for status in ("429", "503"):
            if "application/problem+json" in operation["responses"].get(status, {}).get(
                "content", {}
            ):
                assert "Retry-After" in operation["responses"][status]["headers"]


def test_codes_are_unique() -> None:
    def subclasses(kind: type[OnsaleError]) -> list[type[OnsaleError]]:
        direct = kind.__subclasses__()
        return [*direct, *(deeper for child in direct for deeper in subclasses(child))]

    found = [kind for kind in subclasses(OnsaleError) if kind.__module__.startswith("engine.")]
    assert SoldOutError in found
    codes = [kind.code for kind in found]
    assert len(set(codes)) == len(codes)


class References(HTMLParser):
    """What a page would fetch, and its inline style and script."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.inline: dict[str, str] = {}
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.inputs: list[str] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in {"script", "style"}:
            self._open = tag
        if tag != "a":
            self.fetched += [v for n, v in attrs if n in {"src", "href", "action"} and v]
        self.ids += [v for n, v in attrs if n == "id" and v]
        if tag == "label" and values.get("for"):
            self.labels.append(str(values["for"]))
        if tag == "input":
            self.inputs.append(str(values.get("id")))
        assert not [n for n, _ in attrs if n.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        if tag == self._open:
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inline[self._open] = self.inline.get(self._open, "") + data


async def test_the_docs_page_fetches_nothing_from_elsewhere(edge: Edge) -> None:
    answer = await edge.call("GET", "/docs")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    text = answer.raw.decode()
    page = References()
    page.feed(text)
    assert page.fetched == ["data:,"]
    assert "://" not in text
    assert "@import" not in text
    assert "url(" not in text


async def test_the_docs_page_may_run_its_own_style_and_script_only(edge: Edge) -> None:
    answer = await edge.call("GET", "/docs")
    page = References()
    page.feed(answer.raw.decode())
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inline[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


async def test_the_docs_page_sets_text_and_never_markup(edge: Edge) -> None:
    text = (await edge.call("GET", "/docs")).raw.decode()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in text


async def test_every_input_of_the_docs_page_has_a_label(edge: Edge) -> None:
    page = References()
    page.feed((await edge.call("GET", "/docs")).raw.decode())
    assert page.inputs
    assert set(page.inputs) <= set(page.labels)

from __future__ import annotations

import pytest

from devkit.stripe.errors import ApiError
from devkit.stripe.forms import Params, decode, pairs


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("", {}),
        ("a=1&b=", {"a": "1", "b": ""}),
        ("a[b]=1&a[c][d]=2", {"a": {"b": "1", "c": {"d": "2"}}}),
        ("a[]=x&a[]=y", {"a": {"0": "x", "1": "y"}}),
        ("a[0]=x&a[1][b]=y", {"a": {"0": "x", "1": {"b": "y"}}}),
        ("a%5Bb%5D=%C3%A9+%26", {"a": {"b": "\u00e9 &"}}),
        ("a[b][c][d][e]=1", {"a": {"b": {"c": {"d": {"e": "1"}}}}}),
    ],
)
def test_forms_are_nested_as_stripes_are(text: str, table: object) -> None:
    assert decode(pairs(text)) == table


@pytest.mark.parametrize(
    "text",
    [
        "a[b][c][d][e][f]=1",
        "a[b=1",
        "a]b[=1",
        "a[b]c=1",
        "a[[b]]=1",
        "[a]=1",
        "a=1&a[b]=2",
        "a=%ff",
        "a" * 256 + "[b]=1",
        "&".join(f"a{n}=1" for n in range(201)),
    ],
)
def test_malformed_and_unbounded_forms_are_refused(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        decode(pairs(text))
    assert caught.value.status == 400


def test_parameters_are_typed_and_what_nobody_reads_is_named() -> None:
    params = Params(decode(pairs("n=12&t=x&yes=true&list[]=a&list[]=b&in[x]=1&in[more]=1")))
    assert params.integer("n") == 12
    assert params.text("t") == "x"
    assert params.boolean("yes")
    assert params.words("list") == ["a", "b"]
    inner = params.table("in")
    assert inner is not None
    assert inner.integer("x") == 1
    params.finish()
    with pytest.raises(ApiError) as caught:
        inner.finish()
    assert caught.value.members["param"] == "in[more]"


@pytest.mark.parametrize(
    ("text", "name"),
    [("a[b]=1", "text"), ("a=1", "table"), ("a=1", "words"), ("a=1x", "integer")],
)
def test_a_parameter_of_another_type_is_named(text: str, name: str) -> None:
    with pytest.raises(ApiError) as caught:
        getattr(Params(decode(pairs(text))), name)("a")
    assert caught.value.members["param"] == "a"

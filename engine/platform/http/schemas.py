"""Pieces of bodies and queries that several features have."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

PAGE_MAX = 100


_PAGE = 20


Id = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request that has nothing to say: empty, or ``{}``."""


class PageQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A page of a list: give the ``next`` of the page before as ``cursor``."""

    cursor: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = _PAGE

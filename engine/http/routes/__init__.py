"""Every route, once: dispatch, checks, metrics and the OpenAPI document come from this list."""

from __future__ import annotations

from engine.http.route import Route
from engine.http.routes import (
    catalogue,
    door,
    guests,
    holds,
    operations,
    orders,
    pages,
    queue,
    seats,
)

ROUTES: tuple[Route, ...] = (
    *guests.ROUTES,
    *catalogue.ROUTES,
    *seats.ROUTES,
    *door.ROUTES,
    *queue.ROUTES,
    *pages.ROUTES,
    *holds.ROUTES,
    *orders.ROUTES,
    *operations.ROUTES,
)

"""Every route, once: dispatch, checks, metrics and the OpenAPI document come from this list."""

from __future__ import annotations

from engine.accounts import routes as guests
from engine.app import operations
from engine.catalogue.public import routes as catalogue
from engine.platform.http.route import Route
from engine.queue import page_routes as pages
from engine.queue import routes as queue
from engine.queue.gate import routes as door
from engine.sale.holds import routes as holds
from engine.sale.inventory import routes as seats
from engine.sale.orders import routes as orders

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

"""The waiting page as people use it."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, Route, expect

from engine.core.ids import new_id
from engine.core.tasks import end
from engine.queue.admission.leader import Admission
from tests.e2e.conftest import MakeRoom, Room
from tests.http.running import HOUR_MS

ASK_NOW = "dispatchEvent(new Event('online'))"  # instead of in some seconds


async def view_is(page: Page, name: str) -> None:
    await expect(page.locator("body")).to_have_attribute("data-view", name)


async def seconds(page: Page) -> int:
    """The countdown that is shown."""
    parts = [int(part) for part in (await page.locator("#clock").inner_text()).split(":")]
    return parts[-1] + 60 * parts[-2]


async def joined(room: Room, **options: object) -> Page:
    page = await room.visit(**options)
    await view_is(page, "pre-queue")
    return page


async def places(room: Room) -> int:
    return (await room.line.state()).queue.count


async def test_a_buyer_joins_waits_is_called_and_goes_in(room: Room) -> None:
    page = await joined(room)  # the widget has solved a challenge for that
    await expect(page.locator("#event")).to_have_text("A Concert")
    await expect(page.locator("#venue")).to_have_text("The Hall")
    await expect(page.locator("#countdown-label")).to_have_text("The order is drawn in")
    assert 10 * 60 < await seconds(page) <= 15 * 60
    await expect(page.locator("#left")).to_contain_text("from €15.00")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    await expect(page).to_have_title(re.compile(r"^Draw in \d+:\d\d · A Concert$"))

    await room.line.open()
    await view_is(page, "waiting")
    await expect(page.locator("#number")).to_have_text("1")
    await expect(page.locator("#ahead")).to_have_text("0")
    await expect(page.locator("#polite")).to_contain_text("Nobody is ahead of you")

    await room.line.call(1)
    await view_is(page, "called")
    await expect(page).to_have_title(re.compile(r"^▶ Your turn! \d:\d\d · A Concert$"))
    await expect(page.locator("#enter")).to_be_focused()
    assert 90 < await seconds(page) <= 120
    await page.keyboard.press("Enter")

    await view_is(page, "inside")
    await expect(page.locator("#countdown-label")).to_have_text("Time to shop")
    assert 9 * 60 < await seconds(page) <= 10 * 60
    assert (await room.line.state()).queue.inside == 1
    await expect(page.locator("#polite")).to_have_text("You are inside")


async def test_the_worker_draws_the_line_and_calls_it(room: Room) -> None:
    pages = [await joined(room) for _ in range(2)]
    admission = Admission(room.line.sale, room.line.edge.redis)

    async def work() -> None:
        while True:
            await admission.run_once()
            await asyncio.sleep(admission.interval_s)

    task = asyncio.create_task(work())
    await room.line.command("open")
    for page in pages:
        await view_is(page, "called")
        await page.get_by_role("button", name="Enter now").click()
        await view_is(page, "inside")
    await end(task)
    await admission.stop()


async def test_those_behind_see_the_line_move_without_asking(room: Room) -> None:
    for _ in range(9):
        await room.line.sale.waiting.join(new_id(), room.line.edge.snapshot.occurrence)
    page = await joined(room)
    await room.line.open()
    await view_is(page, "waiting")
    number = int(await page.locator("#number").inner_text())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for called in range(1, number):
        await room.line.call(1)
        await expect(page.locator("#ahead")).to_have_text(str(number - 1 - called))
    await room.line.call(1)
    await view_is(page, "called")
    assert not asked


async def test_without_a_live_connection_the_page_asks(room: Room) -> None:
    context = await room.context()
    await context.route_web_socket(re.compile("/queue/live"), lambda socket: socket.close())
    page = await context.new_page()
    await page.goto(room.url)
    await view_is(page, "pre-queue")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "asking")
    await room.line.open()
    await room.line.call(1)
    await page.evaluate(ASK_NOW)
    await view_is(page, "called")


async def test_reloads_and_second_tabs_keep_the_place(room: Room) -> None:
    page = await joined(room)
    await room.line.open()
    await view_is(page, "waiting")
    await page.reload()
    await view_is(page, "waiting")
    second = await page.context.new_page()
    await second.goto(room.url)
    await view_is(second, "waiting")
    assert await places(room) == 1
    await room.line.call(1)
    await view_is(page, "called")
    await view_is(second, "called")
    await second.get_by_role("button", name="Enter now").click()
    await view_is(second, "inside")
    await view_is(page, "inside")


async def test_tabs_that_open_together_are_one_buyer(room: Room) -> None:
    context = await room.context()
    asked: list[str] = []
    loaded = asyncio.Event()

    async def wait_for_all(route: Route) -> None:
        asked.append(route.request.url)
        await loaded.wait()
        await route.continue_()

    await context.route("**/v1/guests", wait_for_all)
    tabs = [await context.new_page() for _ in range(3)]
    for tab in tabs:
        await tab.goto(room.url)
        await expect(tab.locator("#event")).to_have_text("A Concert")  # the guest comes next
    loaded.set()
    for tab in tabs:
        await view_is(tab, "pre-queue")
    assert len(asked) == 1
    assert await places(room) == 1


async def test_leaving_is_asked_about_and_is_for_good(room: Room) -> None:
    page = await joined(room)
    leave = page.get_by_role("button", name="Leave the line")
    await leave.click()
    dialog = page.get_by_role("dialog", name="Leave the line?")
    await expect(page.get_by_role("button", name="Keep my place")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await view_is(page, "pre-queue")

    await leave.click()
    await dialog.get_by_role("button", name="Leave").click()
    await view_is(page, "left")
    await page.reload()
    await view_is(page, "left")
    assert await places(room) == 1  # it was given up, and no other was taken

    await page.get_by_role("button", name="Join the line").click()
    await view_is(page, "pre-queue")
    assert await places(room) == 2


async def test_before_the_pre_queue_the_page_joins_as_soon_as_it_can(make_room: MakeRoom) -> None:
    room = await make_room(opens_in_ms=HOUR_MS, pre_queue_ms=1_000)
    page = await room.visit()
    await view_is(page, "early")
    await expect(page.locator("#countdown-label")).to_have_text("You can join in")
    assert await places(room) == 0
    await room.line.open()
    await page.evaluate(ASK_NOW)
    await view_is(page, "waiting")
    assert await places(room) == 1


async def test_a_pause_stops_the_clock_that_is_shown(room: Room) -> None:
    page = await joined(room)
    await room.line.open()
    await room.line.call(1)
    await view_is(page, "called")
    await room.line.sale.pause(room.line.edge.snapshot.occurrence)
    banner = page.locator("#banner")
    await expect(banner).to_contain_text("All clocks stand still")
    await expect(page.locator("#countdown-label")).to_contain_text("stands still")
    stood = await seconds(page)
    await page.reload()
    await expect(page.locator("#countdown-label")).to_contain_text("stands still")
    assert abs(await seconds(page) - stood) <= 1
    await room.line.sale.resume(room.line.edge.snapshot.occurrence)
    await expect(banner).to_be_hidden()
    await page.get_by_role("button", name="Enter now").click()
    await view_is(page, "inside")


async def test_a_turn_that_is_missed_is_told_and_one_can_join_again(make_room: MakeRoom) -> None:
    room = await make_room(claim_ms=1_000)
    page = await joined(room)
    await room.line.open()
    await room.line.call(1)
    await view_is(page, "expired")
    await page.get_by_role("button", name="Join the line").click()
    await view_is(page, "waiting")
    await expect(page.locator("#number")).to_have_text("2")


@pytest.mark.parametrize(
    ("command", "view"), [("drain", "draining"), ("close", "closed"), ("off", "off")]
)
async def test_what_operators_do_is_shown(room: Room, command: str, view: str) -> None:
    room.watched.expected = ("409",)
    await room.line.command(command)
    await view_is(await room.visit(), view)


async def test_the_end_of_the_line_is_told_to_those_in_it(room: Room) -> None:
    page = await joined(room)
    await room.line.open()
    await view_is(page, "waiting")
    await room.line.command("close")
    await view_is(page, "closed")


async def test_who_waits_is_told_that_the_room_is_gone_and_that_it_is_back(room: Room) -> None:
    page = await joined(room)
    await room.line.open()
    await view_is(page, "waiting")
    await room.line.command("off")
    await view_is(page, "off")
    await room.line.command("on")
    await view_is(page, "waiting")


async def test_a_sale_that_is_not_there_is_told(room: Room) -> None:
    room.watched.expected = ("404",)
    page = await (await room.context()).new_page()
    await page.goto(f"{room.line.edge.url}/wait/{new_id()}")
    await view_is(page, "unknown")


async def test_offline_is_told_and_passes(room: Room) -> None:
    room.watched.expected = ("ERR_INTERNET_DISCONNECTED",)
    page = await joined(room)
    await page.context.set_offline(offline=True)
    await expect(page.locator("#banner")).to_contain_text("You are offline")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
    await page.context.set_offline(offline=False)
    await expect(page.locator("#banner")).to_be_hidden()
    await view_is(page, "pre-queue")


async def test_who_is_refused_is_told_when_the_next_try_is(make_room: MakeRoom) -> None:
    room = await make_room(
        {"trusted_proxies": "127.0.0.0/8", "door_address_soft": 1, "door_address_hard": 1}
    )
    room.watched.expected = ("429",)
    elsewhere = {"extra_http_headers": {"X-Forwarded-For": "203.0.113.7"}}
    await joined(room, **elsewhere)
    page = await room.visit(**elsewhere)
    await view_is(page, "busy")
    await expect(page.locator("#countdown-label")).to_have_text("The next try is in")
    assert await places(room) == 1


async def test_a_token_that_is_not_valid_any_more_is_replaced(room: Room) -> None:
    room.watched.expected = ("401",)
    context = await room.context()
    await context.add_init_script(
        "if (location.protocol === 'http:' && !localStorage.getItem('onsale.guest')) "
        "localStorage.setItem('onsale.guest', "
        "JSON.stringify({token: 'no token', until: Date.now() + 1e9}))"
    )
    page = await context.new_page()
    await page.goto(room.url)
    await view_is(page, "pre-queue")


async def test_without_storage_the_page_keeps_a_place_as_long_as_it_is_open(room: Room) -> None:
    context = await room.context()
    await context.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name,"
        " { get() { throw new DOMException('denied', 'SecurityError') } })"
    )
    page = await context.new_page()
    await page.goto(room.url)
    await view_is(page, "pre-queue")
    await room.line.open()
    await view_is(page, "waiting")


async def test_the_draw_is_explained_with_its_commitment(room: Room) -> None:
    page = await joined(room)
    await page.get_by_text("How the order is decided").click()
    draw = (await room.line.edge.call("GET", f"{room.line.url}/draw")).json
    await expect(page.locator("#digest")).to_have_text(draw["commitment"])
    await room.line.open()
    await expect(page.locator("#digest")).not_to_have_text(draw["commitment"])
    drawn = (await room.line.edge.call("GET", f"{room.line.url}/draw")).json
    await expect(page.locator("#digest")).to_have_text(drawn["digest"])
    link = page.get_by_role("link", name="All there is to check it with")
    await expect(link).to_have_attribute("href", f"{room.line.url}/draw")


async def test_sound_and_notification_are_only_for_those_who_ask(room: Room) -> None:
    page = await joined(room, permissions=["notifications"])
    for name in ("Sound", "Notification"):
        button = page.get_by_role("button", name=name)
        await expect(button).to_have_attribute("aria-pressed", "false")
        await button.click()
        await expect(button).to_have_attribute("aria-pressed", "true")
        await button.click()
        await expect(button).to_have_attribute("aria-pressed", "false")


async def test_everything_can_be_done_with_the_keyboard(room: Room) -> None:
    page = await joined(room)
    reached = []
    for _ in range(4):
        await page.keyboard.press("Tab")
        element = "document.activeElement"
        reached.append(await page.evaluate(f"{element}.id || {element}.localName"))
    assert reached == ["sound", "notify", "summary", "leave"]
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await view_is(page, "left")
    await expect(page.locator("#card")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await view_is(page, "pre-queue")


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (360, "light"), (1280, "dark")])
async def test_every_view_fits_its_screen(room: Room, width: int, scheme: str) -> None:
    page = await joined(
        room, viewport={"width": width, "height": 740}, color_scheme=scheme, reduced_motion="reduce"
    )

    async def fits() -> None:
        over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert over <= 0

    await fits()
    await room.line.open()
    await view_is(page, "waiting")
    await fits()
    await room.line.call(1)
    await view_is(page, "called")
    await fits()
    await page.get_by_role("button", name="Enter now").click()
    await view_is(page, "inside")
    await fits()


async def test_browsers_are_people_of_their_own(room: Room) -> None:
    pages = [await joined(room) for _ in range(3)]
    await room.line.open()
    for page in pages:
        await view_is(page, "waiting")
    numbers = sorted([int(await page.locator("#number").inner_text()) for page in pages])
    assert numbers == [1, 2, 3]

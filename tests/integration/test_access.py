"""Who gets in, and what becomes of what attackers send: real servers, real requests, a table of each."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from console_world import ConsoleWorld, running
from hostile_input import FORMULAS, MARKUP, PATHS
from msgspec.structs import replace

from batcher.api import READS, Api, build_app
from console.client import BatchApi, Question
from console.errors import CommandFailed
from console.web.app import LONGEST_BODY
from console.web.headers import HEADERS
from runtime.access import Role
from runtime.door import Door, now_ms
from runtime.guarding import guarding
from runtime.health import Health, add_health_routes, serve_http
from runtime.refusals import AccessRefused
from runtime.settings import Settings
from runtime.token_file import TokenFile, change_tokens

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY, VIEWER, OPERATOR = "nobody", "viewer", "operator"  # what a caller has
BY_TOKEN, BY_COOKIE = "token", "cookie"
PAGE = {"Accept": "text/html"}


@dataclass
class House:
    """A console with a token of each role, the sessions of browsers that have logged in, and the cookie's name."""

    world: ConsoleWorld
    tokens: dict[str, str]
    cookies: dict[str, str] = field(default_factory=dict[str, str])
    forms: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def cookie_name(self) -> str:
        return f"velocity-session-{self.world.port}"

    async def log_in(self, role: str) -> None:
        """As a browser does, by the form of the login page."""
        async with aiohttp.ClientSession(self.world.url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            async with browser.get("/login") as page:
                form = {"csrf": form_token(await page.text()), "token": self.tokens[role]}
            async with browser.post("/login", data=form, allow_redirects=False) as answer:
                assert answer.status == 303
                sent = answer.headers["Set-Cookie"]
                assert all(word in sent for word in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"))
                self.cookies[role] = answer.cookies[self.cookie_name].value
            async with browser.get("/sample") as page:
                self.forms[role] = form_token(await page.text())

    def headers(self, caller: str, way: str) -> dict[str, str]:
        """What a caller brings."""
        if caller == NOBODY:
            return {}
        if way == BY_TOKEN:
            return {"Authorization": f"Bearer {self.tokens[caller]}"}
        return {"Cookie": f"{self.cookie_name}={self.cookies[caller]}"}


def form_token(page: str) -> str:
    """The hidden field of a page's form."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page
    return found[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One console for the whole table."""
    world = ConsoleWorld(tmp_path_factory.mktemp("console"))
    house = House(world, {role.value: world.token(role.value, role) for role in Role})
    async with running(world):
        for role in Role:
            await house.log_in(role.value)
        yield house


@dataclass(frozen=True)
class Attempt:
    """A request, and the status that it gets."""

    what: str
    status: int
    method: str = "GET"
    path: str = "/sample"
    caller: str = NOBODY
    way: str = BY_TOKEN
    headers: dict[str, str] = field(default_factory=dict[str, str])
    form: str | None = None  # own: of the caller's session; or another role's; or a text
    body: bytes | None = None
    public: bool = False  # what anybody may see


OWN = "own"
ATTEMPTS = (
    # -- nobody
    Attempt("a page without a login leads to the login", 303, headers=PAGE),
    Attempt("a program without a token", 401),
    Attempt("a live stream without a login", 401, path="/sample/live", headers={"Accept": "text/event-stream"}),
    Attempt("a part of a page without a login", 401, headers={**PAGE, "HX-Request": "true"}),
    Attempt("a page that is not there, without a login", 303, path="/nothing", headers=PAGE),
    Attempt("an act without a login", 403, "POST", form="x"),
    Attempt("who am I", 401, path="/who"),
    Attempt("a token that was made up", 401, headers={"Authorization": "Bearer velocity_AAAA"}),
    Attempt("a token without a word", 401, headers={"Authorization": "Bearer "}),
    Attempt("another scheme", 401, headers={"Authorization": "Basic YTpi"}),
    Attempt("a cookie that was made up", 303, headers={**PAGE, "Cookie": "velocity-session-0=e30.x"}),
    Attempt("the login page", 200, path="/login", public=True),
    Attempt("is it alive", 200, path="/livez", public=True),
    Attempt("its metrics", 200, path="/metrics", public=True),
    Attempt("a style sheet", 200, path="/static/console.css", public=True),
    # -- roles
    Attempt("a viewer reads, by token", 200, caller=VIEWER),
    Attempt("a viewer reads, by cookie", 200, caller=VIEWER, way=BY_COOKIE),
    Attempt("a viewer acts, by token", 403, "POST", caller=VIEWER, form="x"),
    Attempt("a viewer acts, by cookie", 403, "POST", caller=VIEWER, way=BY_COOKIE, form=OWN),
    Attempt("a viewer acts by another method", 403, "DELETE", caller=VIEWER, way=BY_COOKIE, form=OWN),
    Attempt("an operator acts, by token", 200, "POST", caller=OPERATOR, form="x"),
    Attempt("an operator acts, by cookie", 200, "POST", caller=OPERATOR, way=BY_COOKIE, form=OWN),
    # -- forms
    Attempt("a form without its token", 403, "POST", caller=OPERATOR, way=BY_COOKIE),
    Attempt("a form with a token that was made up", 403, "POST", caller=OPERATOR, way=BY_COOKIE, form="AAAA"),
    Attempt("a form of somebody else's session", 403, "POST", caller=OPERATOR, way=BY_COOKIE, form=VIEWER),
    Attempt(
        "a form in a type that needs no asking before", 403, "POST", caller=OPERATOR, way=BY_COOKIE,
        headers={"Content-Type": "text/plain"}, body=b"csrf=x&reason=y",
    ),
    Attempt(
        "a form with files", 403, "POST", caller=OPERATOR, way=BY_COOKIE,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
        body=b'--b\r\nContent-Disposition: form-data; name="csrf"; filename="../x"\r\n\r\nx\r\n--b--\r\n',
    ),
    # -- other sites
    Attempt(
        "a page of another site posts", 403, "POST", caller=OPERATOR, way=BY_COOKIE, form=OWN,
        headers={"Origin": "https://evil.example"},
    ),
    Attempt("no origin at all", 403, "POST", caller=OPERATOR, way=BY_COOKIE, form=OWN, headers={"Origin": "null"}),
    Attempt(
        "a page of another port posts", 403, "POST", caller=OPERATOR, way=BY_COOKIE, form=OWN,
        headers={"Sec-Fetch-Site": "same-site"},
    ),
    Attempt("a login by a page of another site", 403, "POST", "/login", headers={"Sec-Fetch-Site": "cross-site"}),
    Attempt("another site's name (DNS rebinding)", 403, caller=OPERATOR, headers={"Host": "evil.example"}),
    Attempt("another site's name, of a style sheet", 403, path="/static/console.css", headers={"Host": "a.example:80"}),
    # -- sizes
    Attempt("10 MB in a form", 413, "POST", caller=OPERATOR, way=BY_COOKIE, form=OWN, body=b"x" * 10_000_000),
    Attempt("10 MB without a login", 413, "POST", "/login", body=b"x" * 10_000_000),
    Attempt("a path as long as a book", 400, path="/" + "x" * 20_000, caller=OPERATOR),
)  # fmt: skip


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.what)
async def test_the_console_lets_in_whom_it_should(house: House, attempt: Attempt) -> None:
    """Each row of the table: its status, nothing done where it was refused, and every answer with our headers."""
    headers = {**house.headers(attempt.caller, attempt.way), **attempt.headers}
    token = house.forms[attempt.caller] if attempt.form == OWN else house.forms.get(attempt.form or "", attempt.form)
    body: Any = attempt.body
    if body is None and token is not None:
        body = {"csrf": token, "reason": attempt.what}
    elif token is not None:
        headers["X-CSRF-Token"] = token
    async with (
        aiohttp.ClientSession(house.world.url, cookie_jar=aiohttp.DummyCookieJar()) as client,
        client.request(attempt.method, attempt.path, headers=headers, data=body, allow_redirects=False) as answer,
    ):
        text = await answer.text()
        assert answer.status == attempt.status, text
    assert (attempt.what in house.world.acts) == (attempt.method == "POST" and attempt.status == 200)
    if attempt.status != 400:  # what is no HTTP never gets as far as the application
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    if attempt.caller == NOBODY and not attempt.public:
        assert "Samples" not in text
    if attempt.status == 413:
        assert answer.headers["Connection"] == "close"


async def test_bodies_that_do_not_say_how_long_they_are_end_at_the_limit(house: House) -> None:
    """Chunk after chunk: 413 once there is too much."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * (LONGEST_BODY // 10)

    headers = {**house.headers(OPERATOR, BY_COOKIE), "Content-Type": "application/x-www-form-urlencoded"}
    async with (
        aiohttp.ClientSession(house.world.url) as client,
        client.post("/sample", headers=headers, data=endless()) as answer,
    ):
        assert (answer.status, answer.headers["Connection"]) == (413, "close")


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_leads_out(house: House, path: str) -> None:
    """Static files are looked up by name among those that are shown: all else is not there, however it is spelt."""
    for spelt in {path, quote(path, safe=""), quote(path, safe="%")}:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.world.port)
        token = house.tokens[OPERATOR]
        asked = f"GET /static/{spelt} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        writer.write(f"{asked}Connection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.split(b" ")[1] in (b"400", b"404"), spelt
        assert not any(word in answer for word in (b"root:", b"sha256", b"build_app"))


async def test_a_session_ends_with_its_token_or_its_logout(tmp_path: Path) -> None:
    """Revoked or expired: out with the next request, also of an open browser. Logged out: a kept copy of the cookie is
    worth nothing."""
    world = ConsoleWorld(tmp_path)
    house = House(world, {name: world.token(name) for name in ("gone", "old", "out")})
    async with running(world), aiohttp.ClientSession(world.url, cookie_jar=aiohttp.DummyCookieJar()) as client:

        async def status(name: str) -> int:
            async with client.get("/who", headers=house.headers(name, BY_COOKIE)) as answer:
                return answer.status

        for name in house.tokens:
            await house.log_in(name)
        assert [await status(name) for name in house.tokens] == [200, 200, 200]
        world.revoke("gone")
        assert await status("gone") == 401
        change_tokens(world.tokens_file, lambda found: [replace(token, expires_at_ms=now_ms()) for token in found])
        assert await status("old") == 401
        change_tokens(world.tokens_file, lambda found: [replace(token, expires_at_ms=None) for token in found])
        headers = {**house.headers("out", BY_COOKIE), "X-CSRF-Token": house.forms["out"]}
        async with client.post("/logout", headers=headers, allow_redirects=False) as answer:
            assert "Max-Age=0" in answer.headers["Set-Cookie"]
        assert [await status(name) for name in house.tokens] == [401, 200, 401]


async def test_wrong_logins_are_slowed_down(tmp_path: Path) -> None:
    """After some, even the right token is not looked at, and the answer says for how long."""
    world = ConsoleWorld(tmp_path)
    token = world.token("a")
    async with (
        running(world),
        aiohttp.ClientSession(world.url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
    ):
        async with browser.get("/login") as page:
            form = {"csrf": form_token(await page.text())}
        statuses = list[int]()
        for guess in (*["velocity_wrong"] * 4, token):
            async with browser.post("/login", data={**form, "token": guess}, allow_redirects=False) as answer:
                statuses.append(answer.status)
        assert statuses == [401, 401, 401, 401, 429]
        assert answer.headers["Retry-After"] == "1"


async def test_a_link_of_another_site_keeps_a_session(tmp_path: Path) -> None:
    """A browser keeps a strict cookie back when it comes from elsewhere: it is sent here once more, and the session
    that it has is not replaced by a new one. On the loopback without tokens as well, for open forms belong to it."""
    async with running(ConsoleWorld(tmp_path)) as world, aiohttp.ClientSession(world.url) as client:
        there = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
        async with client.get("/sample?q=<b>", headers=there) as answer:
            text = await answer.text()
            assert "Set-Cookie" not in answer.headers
            assert 'http-equiv="refresh" content="0"' in text
            assert 'href=""' in text, "the same address, whatever it is"
            assert "Samples" not in text


# -- what is shown and handed out --------------------------------------------------------------------------------------


async def test_what_attackers_write_is_text_in_every_answer(tmp_path: Path) -> None:
    """Each hostile text in the page, in its live part, and in the file of its table: nothing opens a tag, ends an
    attribute, begins an event, or runs in a spreadsheet. Numbers stay numbers."""
    shown = [*MARKUP, *FORMULAS, "-12.5", "+1"]
    world = ConsoleWorld(tmp_path, shown=["\n".join(MARKUP), *shown])
    async with running(world), aiohttp.ClientSession(world.url) as client:
        async with client.get("/sample", params={"q": MARKUP[0]}) as answer:
            page = await answer.text()
        async with client.get("/sample", params={"format": "csv"}) as answer:
            assert answer.headers["Content-Disposition"] == 'attachment; filename="samples.csv"'
            table = list(csv.reader(io.StringIO(await answer.text(), newline="")))
        async with client.get("/sample/live") as answer:
            lines = [line.decode() async for line in _until_second_event(answer)]
    assert not re.search(r"<(img|svg|iframe|b |a href=.javascript|style|form action=https)", page)
    assert page.count("<script") == page.count("<script src=") + page.count('<script type="application/json"')
    assert "data: &lt;script&gt;" in "".join(lines)
    assert sum(line.startswith("event:") for line in lines) == 2
    cells = [row[0] for row in table[2:]]
    assert cells[len(MARKUP) :] == [*(f"'{text}" for text in FORMULAS), "-12.5", "+1"]
    assert not any(cell.startswith(("=", "@", "\t", "\r")) for row in table for cell in row)


async def _until_second_event(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of a stream up to the end of its second event: the greeting and the first part."""
    ended = 0
    async for line in answer.content:
        yield line
        ended += not line.strip()
        if ended == 2:
            return


# -- the batch workers' API --------------------------------------------------------------------------------------------

#: Method, path, headers, whose token, status; 503 is an answer of the API itself: there is no worker behind it.
API_ATTEMPTS = (
    ("GET", "/livez", {}, NOBODY, 200),
    ("GET", "/metrics", {}, NOBODY, 200),
    ("GET", "/api/v1/sites", {}, NOBODY, 401),
    ("GET", "/api/v1/nothing", {}, NOBODY, 401),
    ("POST", "/api/v1/velocity/compute", {}, NOBODY, 401),
    ("GET", "/api/v1/sites", {}, VIEWER, 503),
    ("POST", "/api/v1/recalc", {}, VIEWER, 403),
    ("POST", "/api/v1/chunks/discard", {}, VIEWER, 403),
    ("POST", "/api/v1/recalc", {}, OPERATOR, 400),
    ("POST", "/api/v1/velocity/compute", {}, VIEWER, 400),
    ("POST", "/api/v1/recalc", {"Origin": "https://evil.example"}, OPERATOR, 403),
    ("POST", "/api/v1/velocity/compute", {"Sec-Fetch-Site": "cross-site"}, OPERATOR, 403),
    ("GET", "/api/v1/sites", {"Host": "evil.example"}, OPERATOR, 403),
)


async def test_the_api_lets_in_whom_it_should(tmp_path: Path) -> None:
    """Each row of the table; and our own client, which brings the token of its settings."""
    world = ConsoleWorld(tmp_path)
    tokens = {role.value: world.token(role.value, role) for role in Role}
    async with _api(Door("127.0.0.1", TokenFile(world.tokens_file))) as url, aiohttp.ClientSession(url) as client:
        for method, path, headers, caller, status in API_ATTEMPTS:
            sent = {**headers, **({"Authorization": f"Bearer {tokens[caller]}"} if caller != NOBODY else {})}
            async with client.request(method, path, headers=sent, data=b"{") as answer:
                assert answer.status == status, (method, path, headers, caller, await answer.text())
        async with BatchApi(Settings(api={"url": url}, serve={"token": tokens[VIEWER]}), patience_s=0) as api:
            with pytest.raises(CommandFailed, match="not ready within 0 s"):
                await api.ask(Question("/api/v1/sites"), "S")
        async with BatchApi(Settings(api={"url": url})) as api:
            with pytest.raises(AccessRefused, match="VELOCITY_SERVE__TOKEN"):
                await api.ask(Question("/api/v1/sites"), "S")


async def test_an_open_api_takes_nothing_from_other_sites() -> None:
    """On the loopback without tokens, programs get answers; a page of another site that a browser shows does not."""
    async with _api(Door("127.0.0.1")) as url, aiohttp.ClientSession(url) as client:
        for headers, status in (({}, 400), ({"Origin": "https://evil.example"}, 403), ({"Host": "evil.example"}, 403)):
            async with client.post("/api/v1/recalc", headers=headers, data=b"{") as answer:
                assert answer.status == status


@asynccontextmanager
async def _api(door: Door) -> AsyncIterator[str]:
    app = build_app(Api(), guarding(door, READS))
    add_health_routes(app, Health())
    runner, port = await serve_http(app, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()

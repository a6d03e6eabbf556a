"""Tokens, their file, the door, sessions and the pace of logins; and the commands that make and revoke tokens."""

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from command_line import run_here

from console import tokens
from console.errors import UsageError
from console.web.login_pace import FREE, LONGEST_S, LoginPace
from console.web.login_page import local_address
from console.web.session_key import session_key
from console.web.sessions import Sealer, Session
from runtime.access import Role, by_id, digest, find, new_token
from runtime.door import Door, bearer, is_loopback, needed_role, now_ms
from runtime.refusals import AccessRefused, SettingsRefused
from runtime.settings import ServeSettings
from runtime.token_file import TokenFile

HOUR_MS = 3_600_000

# -- tokens ------------------------------------------------------------------------------------------------------------


def test_a_token_is_found_by_what_it_is_until_it_expires() -> None:
    """Not by its hash, not by a part of it, and not one millisecond too long."""
    token = new_token("a", Role.VIEWER, "velocity_secret", 0, expires_at_ms=10)
    assert find([token], "velocity_secret", 9) is token
    assert by_id([token], token.id, 9) is token
    for wrong in ("velocity_secre", "velocity_secret ", digest("velocity_secret"), "", "x" * 10_000, "\ud800"):
        assert find([token], wrong, 9) is None
    assert find([token], "velocity_secret", 10) is None
    assert by_id([token], token.id, 10) is None


def test_operators_do_what_viewers_do_and_more() -> None:
    """Reading needs a viewer, everything else an operator, but for what is posted and changes nothing."""
    assert Role.OPERATOR.allows(Role.VIEWER)
    assert not Role.VIEWER.allows(Role.OPERATOR)
    assert needed_role("GET", "/x") is needed_role("HEAD", "/x") is Role.VIEWER
    assert {needed_role(method, "/x") for method in ("POST", "PUT", "DELETE", "PATCH", "PURGE")} == {Role.OPERATOR}
    assert needed_role("POST", "/x", frozenset({"/x"})) is Role.VIEWER


def test_the_file_has_no_token_in_it_and_is_its_owners_alone(tmp_path: Path) -> None:
    """Only hashes; mode 0600; nothing else is left beside it but its lock."""
    file = tmp_path / "access" / "tokens.json"
    secrets = [tokens.create(file, name, Role.VIEWER) for name in ("a", "b")]
    text = file.read_text("utf-8")
    assert all(secret not in text and digest(secret) in text for secret in secrets)
    assert len(set(secrets)) == 2
    assert all(len(secret) > 43 for secret in secrets)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {entry.name for entry in file.parent.iterdir()} == {"tokens.json", ".tokens.json.lock"}


def test_a_running_server_knows_new_and_revoked_tokens_at_once(tmp_path: Path) -> None:
    """Each request asks the file; one that is garbled or gone lets nobody in, and one that is back lets in again."""
    file = tmp_path / "tokens.json"
    tokens.create(file, "a", Role.VIEWER)
    opened = TokenFile(file)
    assert [token.name for token in opened.tokens()] == ["a"]
    tokens.create(file, "b", Role.OPERATOR)
    assert [token.name for token in opened.tokens()] == ["a", "b"]
    tokens.revoke(file, "a")
    assert [token.name for token in opened.tokens()] == ["b"]
    good = file.read_bytes()
    for bad in (b"", b"{}}", b'{"v":1,"tokens":[{"name":"x"}]}', b"\xff"):
        file.write_bytes(bad)
        assert opened.tokens() == []
    file.unlink()
    assert opened.tokens() == []
    file.write_bytes(good)
    assert [token.name for token in opened.tokens()] == ["b"]


def test_a_file_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    """Whoever may write it may let anybody in; who may read it learns nothing of use."""
    file = tmp_path / "tokens.json"
    tokens.create(file, "a", Role.VIEWER)
    file.chmod(0o664)
    with pytest.raises(AccessRefused, match="may be written by others"):
        TokenFile(file).require()
    file.chmod(0o644)
    TokenFile(file).require()


def test_a_name_belongs_to_one_token(tmp_path: Path) -> None:
    """So that the audit log says who; an expired one makes room."""
    file = tmp_path / "tokens.json"
    tokens.create(file, "a", Role.VIEWER, now_ms() + HOUR_MS)
    with pytest.raises(AccessRefused, match="has a token named 'a'"):
        tokens.create(file, "a", Role.VIEWER)
    with pytest.raises(UsageError, match="over already"):
        tokens.create(file, "b", Role.VIEWER, now_ms() - 1)
    for name in ("", " a", "a\n", "x" * 65):
        with pytest.raises(UsageError, match="printable"):
            tokens.create(file, name, Role.VIEWER)
    with pytest.raises(UsageError, match=r"no token named 'z'; there are: a"):
        tokens.revoke(file, "z")


def test_the_command_makes_lists_and_revokes(tmp_path: Path) -> None:
    """A token is printed once; by `--save-to` it goes into a file of its owner's alone, and only the first time."""
    environment = {"VELOCITY_SERVE__TOKENS_FILE": str(tmp_path / "t.json")}

    def run(*words: str) -> tuple[int, str]:
        ended = run_here(("token", *words), environment, tmp_path)
        return ended.returncode, ended.output

    code, said = run("create", "--name", "al", "--role", "operator", "--expires", "P1D", "--json")
    assert (code, json.loads(said)["role"]) == (0, "operator")
    saved = ("create", "--name", "workers", "--role", "operator", "--save-to", str(tmp_path / "own.token"))
    assert [run(*saved)[0] for _ in range(2)] == [0, 0]
    assert stat.S_IMODE((tmp_path / "own.token").stat().st_mode) == 0o600
    serve = ServeSettings(token_file=tmp_path / "own.token", tokens_file=tmp_path / "t.json")
    assert Door.of(serve, "0.0.0.0", "it").token_of(bearer(serve)) is not None
    listed = json.loads(run("list", "--json")[1])["tokens"]
    assert [(row["name"], row["valid"], row["expires_at"] is None) for row in listed] == [
        ("al", True, False),
        ("workers", True, True),
    ]
    assert run("revoke", "al") == (0, "the token of al is revoked\n")
    assert run("revoke", "al")[0] == 2
    assert run_here(("token", "list"), {}, tmp_path).returncode == 2


# -- the door ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LOCALHOST."])
def test_these_are_the_loopback(host: str) -> None:
    """No other machine reaches them."""
    assert is_loopback(host)
    assert Door.of(ServeSettings(), host, "it").is_open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "batch-1", "127.0.0.1.x", ""])
def test_anywhere_else_nothing_listens_without_tokens(host: str, tmp_path: Path) -> None:
    """A name may be any address, so it is not taken for the loopback. A file without a token is no authentication."""
    with pytest.raises(AccessRefused, match=r"serve\.tokens_file.*velocity token create"):
        Door.of(ServeSettings(), host, "it")
    file = tmp_path / "tokens.json"
    with pytest.raises(AccessRefused, match="cannot be read"):
        Door.of(ServeSettings(tokens_file=file), host, "it")
    tokens.create(file, "a", Role.VIEWER)
    assert not Door.of(ServeSettings(tokens_file=file), host, "it").is_open
    tokens.revoke(file, "a")
    with pytest.raises(AccessRefused, match="holds no token"):
        Door.of(ServeSettings(tokens_file=file), host, "it")


@pytest.mark.parametrize("command", ["serve", "batch"])
def test_a_server_that_others_can_reach_does_not_start_without_tokens(command: str, tmp_path: Path) -> None:
    """Exit 3, before anything listens, and what to do."""
    environment = {"VELOCITY_SERVE__HOST": "0.0.0.0", "VELOCITY_API__URL": "http://0.0.0.0:8080"}
    ended = run_here((command,), environment, tmp_path)
    assert ended.returncode == 3
    assert "serve.tokens_file" in ended.stderr
    assert "velocity token create" in ended.stderr


def test_names_and_sites_that_a_request_may_come_by() -> None:
    """On the loopback by a loopback name or the public one; changes only from pages of the same server."""
    door = Door("127.0.0.1", None, "https://velocity.example/")
    assert all(
        map(door.knows_host, ("127.0.0.1:8090", "localhost", "[::1]:1", "velocity.example", "Velocity.Example:443"))
    )
    assert not any(
        map(door.knows_host, ("evil.example", "127.0.0.1.evil.example", "", "[::1", "velocity.example.evil"))
    )
    assert Door("0.0.0.0").knows_host("anything")
    host = {"Host": "127.0.0.1:8090"}
    fine = ({}, {"Origin": "http://127.0.0.1:8090"}, {"Origin": "https://velocity.example"}, {"Sec-Fetch-Site": "none"})
    assert all(door.is_of_this_site({**host, **headers}) for headers in fine)
    wrong = ("null", "http://127.0.0.1:8091", "http://evil.example", "https://velocity.example.evil", "")
    assert not any(door.is_of_this_site({**host, "Origin": origin}) for origin in wrong)
    sites = ("cross-site", "same-site", "nonsense")
    assert not any(door.is_of_this_site({**host, "Sec-Fetch-Site": site}) for site in sites)


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_a_session_is_what_was_sealed_and_nothing_else() -> None:
    """Every changed character, another key, an expiry and an end make it void; forms are of one session."""
    sealer, session = Sealer(b"k" * 32), Session.begin("t", 100)
    sealed = sealer.seal(session)
    assert sealer.open(sealed, 99) == session
    assert sealer.open(sealed, 100) is None
    assert Sealer(b"x" * 32).open(sealed, 99) is None
    for place in range(len(sealed)):
        for other in "AB.":
            changed = sealed[:place] + other + sealed[place + 1 :]
            assert changed == sealed or sealer.open(changed, 99) is None
    assert all(sealer.open(cookie, 99) is None for cookie in ("", ".", "a.b", "x" * 2_000, "\ud800.é"))
    form = sealer.form_token(session)
    assert sealer.is_form_token(session, form)
    assert not sealer.is_form_token(Session.begin("t", 100), form)
    assert not sealer.is_form_token(session, sealed.partition(".")[2]), "the cookie's signature is no form token"
    sealer.end(session, 50)
    assert sealer.open(sealed, 99) is None


def test_the_session_key_is_kept_and_private(tmp_path: Path) -> None:
    """The same after a restart, of its owner alone; a damaged one is refused, not used."""
    key = session_key(tmp_path)
    assert (session_key(tmp_path), len(key)) == (key, 32)
    file = tmp_path / "serve" / "session.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_bytes(b"short")
    with pytest.raises(SettingsRefused, match="delete it"):
        session_key(tmp_path)


def test_wrong_logins_are_looked_at_ever_more_slowly() -> None:
    """By address; a right one, or a quarter of an hour, forgives; nobody waits longer than half a minute."""
    pace, now = LoginPace(), 0.0
    waits = list[float]()
    for _ in range(12):
        pace.failed("a", now)
        waits.append(pace.wait_s("a", now))
        now += waits[-1]
        assert pace.wait_s("a", now) == 0
    assert waits[:FREE] == [0] * FREE
    assert waits[FREE:] == [1, 2, 4, 8, 16, LONGEST_S, LONGEST_S, LONGEST_S, LONGEST_S]
    assert pace.wait_s("b", now) == 0
    pace.failed("a", now)
    assert pace.wait_s("a", now) == LONGEST_S
    pace.succeeded("a")
    assert pace.wait_s("a", now) == 0


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "x",
        "/a\r\nSet-Cookie: a=b",
        "///x",
    ],
)
def test_a_login_leads_to_no_other_server(address: str) -> None:
    """What is no address of this one becomes the start page."""
    assert local_address(address) == "/"
    assert local_address("/batches?q=a%20b&sort=x") == "/batches?q=a%20b&sort=x"
    assert local_address(None) == "/"


def test_the_lifetime_of_a_session_is_a_setting() -> None:
    """As a duration; half a day by default."""
    assert ServeSettings().session == timedelta(hours=12)
    assert ServeSettings(session="PT30M").session == timedelta(minutes=30)

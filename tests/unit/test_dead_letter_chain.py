"""What a source record's `dlq.*` headers may hold: anybody can write them, so anything."""

from typing import Any

import pytest

from schemas.dead_letters import ATTEMPTS, FIRST_FAILED_AT, ROOT, Chain

ODD = [None, b"", b"x", b"-1", b"1.5", b"9" * 30, b"9" * 4_299, b"9" * 5_000, b"\xff"]


@pytest.mark.parametrize("name", [ATTEMPTS, FIRST_FAILED_AT])
@pytest.mark.parametrize("value", ODD)
def test_an_odd_number_is_no_chain(name: str, value: Any) -> None:
    """It is as if the record had none of our headers; nothing is raised, now or when it is sent again."""
    chain = Chain.of(((name, value), (ROOT, b"t/0/1")))
    assert chain == Chain()
    assert chain.to_headers() == [(ATTEMPTS, b"0")]


@pytest.mark.parametrize("value", [None, b"\xff"])
def test_an_odd_root_is_no_chain(value: Any) -> None:
    """A header may have no value, whatever the client library's types say."""
    assert Chain.of(((ROOT, value), (ATTEMPTS, b"2"))) == Chain()


def test_a_chain_survives_its_headers() -> None:
    """Attempts, root and the first failure are what was sent."""
    chain = Chain(3, "t/0/1", 1_700_000_000_000)
    assert Chain.of(tuple(chain.to_headers())) == chain

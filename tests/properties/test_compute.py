"""Chunks, answers and journals, whatever they are made of."""

import itertools
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.admission import Admission, AdmissionRules
from batcher.compute_chunks import Pin, Question, WrongAnswer, read_answer, split
from batcher.compute_journal import Journal, JournalRefused

SKUS = st.lists(st.text(max_size=4), max_size=30)


def content_of(skus: list[str]) -> bytes:
    """An answer to these SKUs."""
    rows = [{"sku": sku, "status": "ok", "place": place} for place, sku in enumerate(skus)]
    return msgspec.json.encode({"site_id": "A", "as_of": "T", "run_id": "r", "coverage": None, "results": rows})


@given(SKUS, st.integers(1, 10), st.text(max_size=3))
def test_chunks_are_the_skus_cut_and_nothing_else(skus: list[str], size: int, name: str) -> None:
    """All of them, in order, none longer than the size and none but the last shorter; no two with the same id."""
    chunks = list(split(skus, size, name))
    assert list(itertools.chain.from_iterable(chunk.skus for chunk in chunks)) == skus
    assert all(len(chunk.skus) == size for chunk in chunks[:-1])
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert len({chunk.request_id for chunk in chunks}) == len(chunks)


@given(SKUS, SKUS)
def test_an_answer_is_of_exactly_the_skus_that_were_asked_for(asked: list[str], answered: list[str]) -> None:
    """One that is not says so; one that is, is taken as it came."""
    assert [row["sku"] for row in read_answer(content_of(asked), asked).rows] == asked
    if asked != answered:
        with pytest.raises(WrongAnswer):
            read_answer(content_of(answered), asked)


@given(st.binary(max_size=200))
def test_what_is_no_answer_is_never_taken_for_one(content: bytes) -> None:
    """Whatever the bytes."""
    with pytest.raises(WrongAnswer):
        read_answer(content, ["A"])


@given(st.data())
def test_a_damaged_journal_gives_what_was_written_or_nothing(data: st.DataObject) -> None:
    """One byte changed, or an end lost: a chunk's rows are those of its answer, or it has to be asked for again; a
    journal whose beginning is damaged is refused."""
    question = Question(window="w")
    chunks = list(split([f"S{number}" for number in range(8)], 2, "d"))
    answers = [read_answer(content_of(list(chunk.skus)), chunk.skus) for chunk in chunks]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        journal = Journal.open(path, "d", question, 2)
        for chunk, answer in zip(chunks, answers, strict=True):
            journal.finished(chunk, answer)
        journal.close()
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        try:
            journal = Journal.open(path, "another", question, 2)
        except JournalRefused:
            return
        found = [journal.rows_of(chunk) for chunk in chunks]
        journal.close()
    assert all(rows in (None, answer.rows) for rows, answer in zip(found, answers, strict=True))
    assert journal.pin in (None, Pin("A", "T", "r"))
    assert journal.data_set == "d" or not any(found)


@given(st.integers(1, 5), st.integers(0, 5), st.lists(st.booleans(), max_size=60))
def test_admission_never_lets_in_more_than_it_may(at_once: int, waiting: int, comes: list[bool]) -> None:
    """Whoever comes and goes, in whatever order; whoever is sent away is told to wait for at least a second."""
    admission, inside = Admission(AdmissionRules(at_once, waiting)), 0
    for arrives in comes:
        if arrives:
            stay_away_s = admission.arrive()
            assert (stay_away_s is None) == (inside < at_once + waiting)
            assert stay_away_s is None or stay_away_s >= 1
            inside += stay_away_s is None
        elif inside:
            admission.depart(0.5)
            inside -= 1
        assert admission.inside == inside <= at_once + waiting

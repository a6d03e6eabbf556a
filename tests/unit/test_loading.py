"""Loading: a batch that the database cannot take holds its site, whatever is wrong with it, and others go on."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hand_made import Event, avro_file, batch, order
from msgspec import structs

from batcher import loading
from batcher.facts import BatchContradictsManifest, InsertResult, Load
from batcher.headroom import Headroom
from batcher.loading import Loaded, Loader
from batcher.manifests import Announced, Progress
from batcher.memory import Memory
from batcher.partition import OwnedPartition, Parcel
from batcher.regulation import Bounds, Regulator
from batcher.traces import SiteTraces
from runtime.health import Health
from schemas.codecs import avro_schema
from schemas.sources import Source

T = "2011-05-01T10:00:00Z"


class FakeDatabase:
    """Takes every batch but one, at which it raises."""

    def __init__(self, bad: str, error: Exception) -> None:
        self.bad, self.error = bad, error

    async def read(self, _: object, batch_ids: Sequence[str]) -> set[str]:
        """No batch is known."""
        return set()

    async def write(self, _: object, loads: Sequence[Load], *__: object) -> list[InsertResult]:
        """All of a group, or none."""
        if any(load.manifest.batch_id == self.bad for load in loads):
            raise self.error
        return [InsertResult(load.manifest.batch_id, load.manifest.site_id, facts_new=1) for load in loads]


def load(site_id: str, offset: int) -> Load:
    """A batch of one order, announced at an offset."""
    return Load(*batch(Source.ORDERS, order("E", T, site_id=site_id), batch_id=f"batch-{site_id}"), 0, offset)


@pytest.mark.parametrize("error", [KeyError("channel"), pa.ArrowInvalid("Schema at index 1 was different")])
async def test_whatever_is_wrong_with_a_batch_it_holds_its_site_alone(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It used to end the worker, at this start and at every other."""
    loads = [load(site_id, offset) for offset, site_id in enumerate("AB")]
    monkeypatch.setattr(loading, "read_load", lambda _, one: loads[one.offset])
    settings = SimpleNamespace(batch=SimpleNamespace(max_concurrency=2, queue_size=10, load_records=100))
    bench: Any = SimpleNamespace(
        settings=settings,
        backoff_s=60.0,
        store=None,
        batches_topic="b",
        health=Health(),
        database=FakeDatabase("batch-A", error),
        traces=SiteTraces(),
    )
    taken, news = list[Loaded](), asyncio.Event()
    regulator, memory = Regulator(Bounds(2, 1.0, 1 << 30)), Memory(Headroom(1 << 40), bench.database)
    loader = Loader(bench, regulator, memory, lambda loaded: (taken.extend(loaded), news.set())[1])
    publisher: Any = None
    owned = OwnedPartition(0, publisher, Progress(0), 2, None)
    announced = [Announced(one.manifest, 0, one.offset) for one in loads]
    owned.progress.announce(announced, 2)
    running = asyncio.create_task(loader.run())
    await loader.put([Parcel(owned, one) for one in announced])
    loaded = asyncio.create_task(news.wait())
    await asyncio.wait([running, loaded], timeout=10, return_when=asyncio.FIRST_COMPLETED)
    loaded.cancel()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running  # what ended it, if something did
    assert [one.parcel.site_id for one in taken] == ["B"]
    assert loader.holds.sites == {"A"}
    assert str(error) in bench.health.not_ready["site A"]
    assert owned.progress.next_offset() == 0


def test_a_file_of_another_schema_is_refused_by_its_columns() -> None:
    """Named, so that a person sees which version is missing. A field more does no harm."""
    event = order("E", T)
    manifest, file = batch(Source.ORDERS, event)
    schema = avro_schema("order_batch")

    def load(event: Event, fields: list[Any]) -> Load:
        return Load(manifest, avro_file(Source.ORDERS, [event], schema | {"fields": fields}), 0, 0)

    load(event | {"new": "x"}, [*schema["fields"], {"name": "new", "type": "string"}])
    with pytest.raises(BatchContradictsManifest, match=r"lacks columns of orders: channel \(string\)"):
        load(event, [field for field in schema["fields"] if field["name"] != "channel"])
    texts = [field | {"type": "string"} if field["name"] == "line" else field for field in schema["fields"]]
    with pytest.raises(BatchContradictsManifest, match=r"line \(int64\)"):
        load(event | {"line": "1"}, texts)
    with pytest.raises(BatchContradictsManifest):
        Load(structs.replace(manifest, source=Source.RETURNS), file, 0, 0)

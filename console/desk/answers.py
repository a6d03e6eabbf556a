"""Rows of the index as what it answers with."""

from console.desk.grouping import Group
from console.desk.indexed import STATES, Cursor, GroupSummary, IndexedAct, IndexedLetter
from console.desk.origins import Origins
from console.desk.places import split


def letter_in(row: tuple, origins: Origins) -> IndexedLetter:
    """Of a row of `letters`."""
    (place, origin, _, state, timestamp, posted_at, attempts, root, first_failed_at, size, site, sku, stage, path,
     message, value, group, topic, error_class, group_path, producer) = row  # fmt: skip
    letter_id = origins.text(origin)
    partition, offset = letter_id.split("/")[-2:]
    return IndexedLetter(
        id=letter_id,
        place=split(place),
        topic=topic,
        partition=int(partition),
        offset=int(offset),
        error_class=error_class,
        stage=stage,
        path=group_path if path is None else path,
        message=message,
        timestamp=timestamp,
        posted_at=posted_at,
        attempts=attempts,
        root=letter_id if root is None else origins.text(root),
        first_failed_at=first_failed_at,
        producer=producer,
        group=group,
        site=site,
        sku=sku,
        state=STATES[state],
        value=value,
        size=size,
        cursor=Cursor(timestamp, place),
    )


def act_in(row: tuple, origins: Origins) -> IndexedAct:
    """Of a row of `acts`."""
    place, origin, root, at, seq, who, action, why, run, recipe, recipe_sha256, sent_to, failed_again = row
    letter_id = origins.text(origin)
    return IndexedAct(
        letter=letter_id,
        root=letter_id if root is None else origins.text(root),
        at=at,
        who=who,
        action=action,
        why=why,
        run=run,
        recipe=recipe,
        recipe_sha256=recipe_sha256,
        sent_to=sent_to,
        seq=seq,
        offset=split(place).offset,
        failed_again_as=sent_to if failed_again else None,
    )


def group_in(row: tuple) -> GroupSummary:
    """Of a row of `groups` or `groups_of_letters`."""
    return GroupSummary(Group(*row[2:8]), dict(zip(STATES, row[8:12], strict=True)), *row[12:15])

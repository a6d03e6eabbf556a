"""What the chunks of a data set have in common: a name, a question, the calculation that answers it, a journal."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from batcher.compute_chunks import Pin, Question
from batcher.compute_journal import Journal


def _new_name() -> str:
    return uuid.uuid4().hex


@dataclass(slots=True)
class DataSet:
    """`name` makes request ids; `pin` is None until the first answer."""

    question: Question
    name: str = field(default_factory=_new_name)
    pin: Pin | None = None
    journal: Journal | None = None

    @classmethod
    @contextmanager
    def opened(cls, question: Question, batch_size: int, journal: Path | None) -> Iterator[Self]:
        """A new data set, or the one that a journal is of; the journal is closed at the end.

        Raises:
            JournalRefused: the journal is another data set's, it is damaged, or it is in use.
        """
        data_set = cls(question)
        if journal is None:
            yield data_set
            return
        data_set.journal = Journal.open(journal, data_set.name, question, batch_size)
        data_set.name, data_set.pin = data_set.journal.data_set, data_set.journal.pin
        try:
            yield data_set
        finally:
            data_set.journal.close()

    def begin_again(self, batch_size: int) -> None:
        """Forget what was answered: other request ids, another calculation."""
        self.name, self.pin = _new_name(), None
        if self.journal:
            self.journal.begin_again(self.name, self.question, batch_size)

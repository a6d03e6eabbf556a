"""What the APIs of a worker have in common: they are listened to before there is anybody to ask."""

from typing import Generic, TypeVarTuple

from batcher.objections import NotReady

Parts = TypeVarTuple("Parts")


class Answering(Generic[*Parts]):
    """Handlers that ask parts of the worker. Until `answer_from`, every answer is that the worker is not ready."""

    def __init__(self) -> None:
        self._parts: tuple[*Parts] | None = None

    def answer_from(self, *parts: *Parts) -> None:
        """From now on there is somebody to ask."""
        self._parts = parts

    def _asked(self) -> tuple[*Parts]:
        """
        Raises:
            NotReady: the worker has not started yet.
        """
        if self._parts is None:
            raise NotReady("the worker has not started yet")
        return self._parts

"""Why a record is refused."""

from schemas.errors import ErrorClass


class Fault(Exception):
    """A record is no event; `path` is the JSON path of the fault, `stage` is `decode` or `validate`."""

    def __init__(self, error_class: ErrorClass, path: str, message: str, stage: str = "validate") -> None:
        super().__init__(message)
        self.error_class, self.path, self.message, self.stage = error_class, path, message, stage

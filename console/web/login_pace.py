"""How soon after failed logins another attempt is looked at. Pure.

Nobody guesses 256 bits; this keeps whoever tries from filling the log and the event loop.
"""

from dataclasses import dataclass, field

FREE = 3  # failures in a row that cost nothing: people paste the wrong thing
LONGEST_S = 30.0
FORGOTTEN_S = 900.0
MOST_REMOTES = 10_000


@dataclass(slots=True)
class LoginPace:
    """Failures in a row by remote address, and when the last one was."""

    _failures: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])

    def wait_s(self, remote: str, now_s: float) -> float:
        """For how long no attempt from there is looked at; 0 if one may be made."""
        count, last_s = self._failures.get(remote, (0, 0.0))
        if count <= FREE or now_s - last_s > FORGOTTEN_S:
            return 0.0
        return max(0.0, last_s + min(LONGEST_S, 2.0 ** (count - FREE - 1)) - now_s)

    def failed(self, remote: str, now_s: float) -> None:
        """An attempt was wrong."""
        count, last_s = self._failures.pop(remote, (0, now_s))
        if len(self._failures) >= MOST_REMOTES:
            self._failures.pop(next(iter(self._failures)))
        self._failures[remote] = (1 if now_s - last_s > FORGOTTEN_S else count + 1, now_s)

    def succeeded(self, remote: str) -> None:
        """An attempt was right: all is forgiven."""
        self._failures.pop(remote, None)

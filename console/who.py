"""Who acts, for the audit log."""

import getpass
import socket


def who() -> str:
    """`user@host`; the number of a user that has no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"

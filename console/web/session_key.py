"""The key that sessions are signed with: kept, so that people stay logged in when the console is started again."""

import secrets
from pathlib import Path

from runtime.refusals import SettingsRefused
from runtime.token_file import write_private

KEY_BYTES = 32


def session_key(state_dir: Path) -> bytes:
    """The key in `serve/session.key` of the state directory, made if there is none. Delete it to log everybody out.

    Raises:
        SettingsRefused: it cannot be read or written, or is not a key.
    """
    file = state_dir / "serve" / "session.key"
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_private(file, secrets.token_bytes(KEY_BYTES))
        key = file.read_bytes()
    except OSError as error:
        raise SettingsRefused(f"the console keeps its session key in {file}: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise SettingsRefused(f"{file} is not a session key of {KEY_BYTES} bytes: delete it, and a new one is made")
    return key

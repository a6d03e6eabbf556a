"""How a worker asks the system for memory, and gives it back."""

import ctypes

import pyarrow as pa

# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_ARENAS = 2
_KEPT_BYTES = 24 << 20  # free ones at the end of an arena, beyond which they go back to the system
_MAPPED_BYTES = 32 << 20  # of a single piece, from which it comes from the system and goes back there


def keep_freed_memory() -> None:
    """Let the C library keep freed buffers of some megabytes, which are asked for again at once.

    By itself it gives most of them back, and the system fills the next one with zeros, page by page: half of a batch
    worker's page faults under load (docs/performance.md). Each arena keeps `_KEPT_BYTES` at most.
    """
    _set_malloc(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    _set_malloc(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def frugal_memory() -> None:
    """Keep resident memory near what is in use; call it before threads start.

    Arrow's default pool keeps what it once had, per thread, and so does glibc. With one allocator of few arenas the
    stream worker takes 200 MB less and is no slower (docs/performance.md).
    """
    pa.set_memory_pool(pa.system_memory_pool())
    _set_malloc(_M_ARENA_MAX, _ARENAS)


def _set_malloc(parameter: int, value: int) -> None:
    """Where the C library is not glibc, nothing is set."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(parameter, value)

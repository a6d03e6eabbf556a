"""Logs: structlog, for people or for machines, through the standard library so that libraries' lines look the same."""

import logging
import sys

import structlog

from runtime.settings import LogSettings

#: aiokafka retries by itself, many times a second, and logs each time. The workers say themselves when Kafka is away.
_QUIET = {
    "aiokafka": logging.CRITICAL,
    "faust": logging.WARNING,
    "mode": logging.ERROR,
    "streams.app": logging.WARNING,  # Faust's services log under the names of our classes
    "streams.fetch_lane": logging.WARNING,
    "aiohttp.access": logging.WARNING,
}


def configure_logs(settings: LogSettings) -> None:
    """Send every log line to standard error in the configured format. Call once, at start."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.typing.Processor = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        exception_formatter=structlog.dev.plain_traceback,  # the default prints local variables: passwords among them
    )
    if settings.format == "json":
        shared.append(structlog.processors.format_exc_info)
        last = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(max(quiet, level))

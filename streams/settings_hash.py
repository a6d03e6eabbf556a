"""A hash of every setting that decides a verdict or a window: under another hash a replay would not repeat itself."""

import hashlib
import json
from importlib.metadata import version

from runtime.settings import Settings
from schemas.windows import SiteZones
from streams.intake import IntakeRules


def settings_hash(settings: Settings, rules: IntakeRules, zones: SiteZones) -> str:
    """16 hexadecimal digits over intake rules, windows, zones, and the time zone data's version."""
    content = {
        "intake": rules.content(),
        "windows": settings.window.spec,
        "zones": dict(sorted(zones.names.items())),
        "default_zone": zones.default,
        "tzdata": version("tzdata"),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

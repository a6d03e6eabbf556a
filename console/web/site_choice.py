"""Which site a page is about: the one of its address, else the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from console.client import NotFound


@dataclass(frozen=True, slots=True)
class SiteChoice:
    """The sites there are, and the chosen one; None where there is none yet."""

    sites: Sequence[str]
    chosen: str | None

    def url(self, site_id: str, params: Mapping[str, str], *kept: str) -> str:
        """The address of the same page for another site, with those of its parameters that make sense there."""
        return f"?{urlencode({'site': site_id, **{name: params[name] for name in kept if name in params}})}"


def choose_site(rows: Sequence[Mapping[str, Any]], params: Mapping[str, str]) -> SiteChoice:
    """
    Raises:
        NotFound: the address names a site that there is not, or that no worker is ready for.
    """
    sites = [row["site_id"] for row in rows]
    wanted = params.get("site")
    if wanted and wanted not in sites:
        raise NotFound(f"site {wanted} is not known, or not ready; there are: {', '.join(sites) or 'none yet'}")
    return SiteChoice(sites, wanted or (sites[0] if sites else None))

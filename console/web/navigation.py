"""The pages of the console, in the order of its navigation."""

from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Place:
    """A page that the navigation leads to; pages below its path belong to it."""

    path: str
    title: str

    def holds(self, path: str) -> bool:
        """Whether a page is this one or below it."""
        return path == self.path or path.startswith(f"{self.path}/")


PLACES = (
    Place("/flow", "Flow"),
    Place("/batches", "Batches"),
    Place("/velocity", "Velocity"),
    Place("/runs", "Runs"),
    Place("/dead-letters", "Dead letters"),
    Place("/audit", "Audit"),
)


def places_of(app: web.Application) -> list[Place]:
    """The pages that the application has."""
    known = {resource.canonical for resource in app.router.resources()}
    return [place for place in PLACES if place.path in known]

"""The pages of the console, in the order of its navigation."""

from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Place:
    """A page that the navigation leads to, and what is found there; pages below its path belong to it."""

    path: str
    title: str
    told: str

    def holds(self, path: str) -> bool:
        """Whether a page is this one or below it."""
        return path == self.path or path.startswith(f"{self.path}/")


PLACES = (
    Place("/flow", "Flow", "What comes in: watermarks, lag, open windows, and what holds the workers back."),
    Place(
        "/batches", "Batches", "Closed windows of every source, whether they are complete, and what each was made of."
    ),
    Place("/velocity", "Velocity", "How fast each SKU moves: ABC and XYZ classes, the Pareto curve, a SKU day by day."),
    Place("/runs", "Runs", "Calculations and their delivery: chunks, circuit breakers, the week of the schedule."),
    Place("/letters", "Dead letters", "Records that were refused: understood, repaired, replayed, and followed home."),
    Place("/audit", "Audit", "The proof that nothing is lost or counted twice, and who did what, when and why."),
)


def places_of(app: web.Application) -> list[Place]:
    """The pages that the application has."""
    known = {resource.canonical for resource in app.router.resources()}
    return [place for place in PLACES if place.path in known]

"""All routes of the desk below `/letters`."""

from aiohttp import web

from console.web.letters.acts_page import add_acts_routes
from console.web.letters.desk import add_desk
from console.web.letters.dry_run_page import add_dry_run_routes
from console.web.letters.held_page import add_held_routes
from console.web.letters.home_page import add_home_of_letter_routes
from console.web.letters.jobs_page import add_jobs_routes
from console.web.letters.letter_page import add_letter_routes
from console.web.letters.list_pages import add_list_routes
from console.web.letters.repair_page import add_repair_routes
from console.web.letters.replay_page import add_replay_routes


def add_letters_routes(app: web.Application) -> None:
    """Routes of these modules, and the desk that they share."""
    add_desk(app)
    for add_routes in (
        add_list_routes,
        add_letter_routes,
        add_home_of_letter_routes,
        add_held_routes,
        add_acts_routes,
        add_jobs_routes,
        add_repair_routes,
        add_dry_run_routes,
        add_replay_routes,
    ):
        add_routes(app)

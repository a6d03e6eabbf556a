"""All routes of the desk below `/letters`."""

from aiohttp import web

from console.web.letters.acts_page import add_acts_routes
from console.web.letters.desk import add_desk
from console.web.letters.held_page import add_held_routes
from console.web.letters.letter_page import add_letter_routes
from console.web.letters.list_pages import add_list_routes


def add_letters_routes(app: web.Application) -> None:
    """Routes of these modules, and the desk that they share."""
    add_desk(app)
    for add_routes in (add_list_routes, add_letter_routes, add_held_routes, add_acts_routes):
        add_routes(app)

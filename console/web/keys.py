"""What every part of the console finds in its application."""

import aiohttp
from aiohttp import web

from runtime.health import Health
from runtime.settings import Settings

SETTINGS = web.AppKey("SETTINGS", Settings)
HTTP = web.AppKey("HTTP", aiohttp.ClientSession)  # for questions of the console's own; closed with the application
HEALTH = web.AppKey("HEALTH", Health)

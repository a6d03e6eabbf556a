"""The job of the night as a Prefect flow, of the extra `prefect`: it asks the batch workers, as `schedule run` does.

A failure is tried again by Prefect's own retries. A refusal is not, since no retry heals it before the site opens: the
run fails with the reason. To let a process serve the flow by a cron line of a site's own zone, beside a server of
Prefect's, whose scheduler begins the runs:

    export PREFECT_API_URL=http://127.0.0.1:4200/api
    python -m console.prefect_flow --cron '5 2 * * *' --time-zone Europe/London --site UK-DC1
"""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from prefect import flow, serve, task
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_URL

from console.configuration import load_settings
from console.nightly_request import Outcome, request_night

NO_SERVER = """\
refused: PREFECT_API_URL is not set. The server that Prefect starts for a process of its own has no scheduler: the flow
would be served, and never run. Start one (`prefect server start`), and say where it answers, such as
PREFECT_API_URL=http://127.0.0.1:4200/api
"""
RETRY_DELAYS_S = (30.0, 120.0, 300.0)


@task
async def ask_for_night(site: str | None, outside: bool) -> Outcome:
    """What became of each site's job; a refusal is an answer.

    Raises:
        CommandFailed: a job failed, or no worker answers.
    """
    outcome = await request_night(load_settings(), site, outside=outside)
    outcome.judge_failures()
    return outcome


@flow(name="velocity-nightly")
async def nightly(
    site: str | None = None, outside: bool = False, retry_delays_s: Sequence[float] = RETRY_DELAYS_S
) -> list[dict[str, Any]]:
    """Make the job of the present night of a site, or of all; `outside`: also outside of off-peak hours.

    Raises:
        CommandFailed: a job failed as often as it was tried.
        NightRefused: a job was refused.
    """
    delays = list(retry_delays_s)
    outcome = await ask_for_night.with_options(retries=len(delays), retry_delay_seconds=delays)(site, outside)
    outcome.judge_refusals()
    return outcome.rows


async def deployment(cron: str, time_zone: str, site: str | None) -> RunnerDeployment:
    """The flow by a schedule of Prefect's: five fields, in a zone of their own."""
    schedule = Cron(cron, timezone=time_zone)
    return await nightly.ato_deployment(f"nightly-{site or 'all'}", schedules=[schedule], parameters={"site": site})


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the flow for ever, by a schedule of Prefect's. Exit code 3: there is no server that would keep it."""
    parser = argparse.ArgumentParser(prog="python -m console.prefect_flow", description="Serve the nightly job.")
    parser.add_argument("--cron", default="5 2 * * *", help="when, as five fields; default: %(default)s")
    parser.add_argument("--time-zone", default="UTC", help="the zone of these times; default: %(default)s")
    parser.add_argument("--site", help="only this site; default: all")
    asked = parser.parse_args(arguments)
    if not PREFECT_API_URL.value():
        parser.exit(3, NO_SERVER)
    serve(asyncio.run(deployment(asked.cron, asked.time_zone, asked.site)))


if __name__ == "__main__":
    main()

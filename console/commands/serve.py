"""`velocity serve`: the web console, in the foreground."""

from typing import Annotated

import typer

from console.commands.workers import run_in_foreground


def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Where to listen instead of serve.host.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Instead of serve.port; 0: any.")] = None,
) -> None:
    """Run the web console: what flows, what came of it, what was refused, and who did what.

    It asks Kafka and the batch workers' API (VELOCITY_API__URL), and says on its pages which of them does not answer.
    On the loopback it is open, unless serve.tokens_file names a file of tokens; anywhere else it exits 3 without one.
    docs/console.md has more, also on proxies with TLS.

    \b
    Examples:
      velocity serve
      velocity token create --name me --role operator --file tokens.json
      VELOCITY_SERVE__TOKENS_FILE=tokens.json velocity serve --host 0.0.0.0
    """
    from console.web.serving import run_console

    run_in_foreground(ctx, run_console, {"serve.host": host, "serve.port": port})

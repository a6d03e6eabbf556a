"""`velocity token create|list|revoke`: who may use the web console and the batch workers' API."""

from pathlib import Path
from typing import Annotated

import typer

from console import screen
from console.commands import Commands, Json, settings_of
from console.errors import UsageError
from runtime.access import Role

app = Commands(help="Who may use the web console and the API: tokens with roles.")

File = Annotated[Path | None, typer.Option("--file", help="The file of tokens, instead of serve.tokens_file.")]


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="Whose it is, or what for; the audit log says it.")],
    role: Annotated[Role, typer.Option(help="A viewer reads; an operator acts as well.")] = Role.VIEWER,
    expires: Annotated[
        str | None, typer.Option(metavar="P90D|TIME", help="After so long, or at an instant; never without it.")
    ] = None,
    file: File = None,
    save_to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep it in a file of your own instead of printing it; not if it is there."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a token, and print it: once, for only its hash is kept.

    People log in to the console with it; programs send it as `Authorization: Bearer TOKEN`, the command line does if
    VELOCITY_SERVE__TOKEN is set. With `serve.tokens_file` set, nobody gets in without one.

    \b
    Examples:
      velocity token create --name alice --role operator --expires P90D
      velocity token create --name dashboard
    """
    from console import tokens

    chosen = tokens.tokens_file(settings_of(ctx).serve, file)
    if save_to is not None:
        if expires:
            raise UsageError("--save-to is for programs of a system, whose token does not expire: leave --expires out")
        made = tokens.create_and_keep(chosen, name, role, save_to)
        screen.remark(f"the token {'is in' if made else 'was already in'} {save_to}")
        return
    secret = tokens.create(chosen, name, role, _expiry(expires))
    if json:
        screen.say_json({"name": name, "role": role, "token": secret})
        return
    screen.say(secret)
    screen.remark(f"the token of {name}, {role}: keep it, it is not shown again")


def _expiry(text: str | None) -> int | None:
    from console.times import parse_duration, parse_instant
    from runtime.door import now_ms
    from runtime.settings import milliseconds

    if text is None:
        return None
    if text.upper().startswith("P"):
        return now_ms() + milliseconds(parse_duration("--expires", text))
    return parse_instant("--expires", text)


@app.command("list")
def show(ctx: typer.Context, file: File = None, json: Json = False) -> None:
    """List the tokens: names, roles, ages. What they are is not kept anywhere.

    \b
    Example:
      velocity token list
    """
    from console import tokens
    from runtime.door import now_ms
    from schemas.instants import rfc3339

    now = now_ms()
    rows = [
        {
            "name": token.name,
            "role": token.role,
            "created_at": rfc3339(token.created_at_ms),
            "expires_at": None if token.expires_at_ms is None else rfc3339(token.expires_at_ms),
            "valid": token.is_valid(now),
        }
        for token in tokens.listed(tokens.tokens_file(settings_of(ctx).serve, file))
    ]
    if json:
        screen.say_json({"tokens": rows})
        return
    screen.say_table(("name", "role", "created", "expires", "valid"), [tuple(row.values()) for row in rows])


@app.command()
def revoke(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Of the token.")], file: File = None) -> None:
    """Take a token away: it, and every session that was begun with it, ends with the next request.

    \b
    Example:
      velocity token revoke alice
    """
    from console import tokens

    chosen = tokens.tokens_file(settings_of(ctx).serve, file)
    tokens.revoke(chosen, name)
    screen.say(f"the token of {name} is revoked")

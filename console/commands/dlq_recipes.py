"""`velocity dlq recipes` and `velocity dlq recipe check`: the files that say how records are repaired."""

from pathlib import Path
from typing import Annotated

import typer

from console import screen
from console.commands import Commands, Json, settings_of
from console.errors import CommandFailed

app = Commands(help="One recipe.")


def list_recipes(ctx: typer.Context, json: Json = False) -> None:
    """List the recipes that are saved, in the directory of the setting `desk.recipes`.

    \b
    Example:
      velocity dlq recipes
    """
    from console.desk.recipes import saved_recipes

    folder = settings_of(ctx).desk.recipes
    found, wrong = saved_recipes(folder)
    if json:
        rows = [{"name": one.name, "why": one.why, "steps": len(one.steps), "sha256": one.sha256} for one in found]
        screen.say_json({"recipes": rows, "wrong": wrong})
    else:
        table = [(one.name, len(one.steps), one.sha256[:12], one.why) for one in found]
        screen.say_table(("name", "steps", "sha256", "why"), table)
        if not found:
            screen.remark(f"there are no recipes in {folder}; docs/dead-letters.md shows how to write one")
    for text in wrong:
        screen.remark(text, style="yellow")


@app.command()
def check(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recipe file, saved or not.")],
    json: Json = False,
) -> None:
    """Check a recipe file: exit 2 names the step and the field that are wrong. Nothing is read from Kafka.

    \b
    Example:
      velocity dlq recipe check recipes/scanner-7-dates.toml
    """
    from console.desk.recipes import load_recipe

    if not file.is_file():
        raise CommandFailed(f"there is no file {file}")
    recipe = load_recipe(settings_of(ctx).desk.recipes, str(file.absolute()))
    if json:
        screen.say_json({"name": recipe.name, "why": recipe.why, "steps": len(recipe.steps), "sha256": recipe.sha256})
        return
    screen.say(f"{recipe.name}: {len(recipe.steps)} steps, sha256 {recipe.sha256}")

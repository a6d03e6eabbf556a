"""`velocity dlq`: dead letters found and understood, repaired, sent back; each part in a module beside this one."""

from console.commands import Commands, letters
from console.commands import dlq_recipes as recipes
from console.commands import dlq_repairs as repairs
from console.commands import dlq_set_aside as set_aside

app = Commands(help="Dead letters: found, understood, repaired, sent back.")

app.command("list")(letters.list_letters)
for _command in (letters.show, letters.stats, letters.groups, repairs.fix, repairs.replay):
    app.command()(_command)
for _command in (set_aside.discard, set_aside.park, set_aside.log):
    app.command()(_command)
app.command("recipes")(recipes.list_recipes)
app.add_typer(recipes.app, name="recipe")

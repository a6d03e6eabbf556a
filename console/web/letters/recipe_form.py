"""The form in which a recipe is written: a text, what is wrong with it, and how it relates to the saved ones. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from console.desk.recipes import Recipe, parse_recipe
from console.errors import UsageError
from console.web.visible import clipped, visible

WHERE = "the recipe"


@dataclass(frozen=True, slots=True)
class RecipeForm:
    """A text as somebody has written it. Either `recipe` or `problem` is there; `saved` is the recipe of that name."""

    text: str
    recipe: Recipe | None = None
    problem: str = ""
    saved: Recipe | None = None

    @property
    def is_saved(self) -> bool:
        """Whether just this is saved."""
        return self.recipe is not None and self.saved is not None and self.saved.sha256 == self.recipe.sha256

    @property
    def would_replace(self) -> bool:
        """Whether saving it would replace another recipe of its name."""
        return self.saved is not None and not self.is_saved


def read_form(text: str, saved: Sequence[Recipe]) -> RecipeForm:
    """Judge a text; browsers send line ends as CR LF."""
    text = text.replace("\r\n", "\n")
    try:
        recipe = parse_recipe(text, WHERE)
    except UsageError as error:
        return RecipeForm(text, problem=clipped(visible(str(error), lines=True), 600))
    return RecipeForm(text, recipe, saved=next((one for one in saved if one.name == recipe.name), None))

"""Whatever text comes from outside is shown as itself: in a page, and in a file for a spreadsheet."""

import csv
import io
from html.parser import HTMLParser

import aiohttp_jinja2
import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.web.app import build_app
from console.web.csv_export import csv_text
from console.web.rendering import sendable
from console.web.tables import Column, TableQuery, arrange
from runtime.settings import Settings

TEXTS = st.text() | st.sampled_from(["<", ">", "'", '"', "&", "=", "@", "-", "\t", "\r", "\ud800"]).flatmap(
    lambda first: st.text().map(lambda rest: first + rest)
)


PAGE = """
{% from "macros/states.html" import badge, empty, failure, figure %}
{% from "macros/tables.html" import data_table %}
<p title="{{ text }}">{{ text }}</p><input value="{{ text }}">
{{ badge("good", text) }}{{ failure(text) }}{{ empty(text, text) }}<dl>{{ figure(text, text, text) }}</dl>
{{ data_table(table) }}
<script type="application/json">{{ text | tojson }}</script>
"""


class Seen(HTMLParser):
    """What a browser makes of a page: its tags with their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(f"{tag} {' '.join(name for name, _ in attrs)}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def seen(page: str) -> Seen:
    """Parse it."""
    parser = Seen()
    parser.feed(page)
    parser.close()
    return parser


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> jinja2.Template:
    """A page with the console's macros, as its pages use them."""
    app = build_app(Settings(state_dir=tmp_path_factory.mktemp("state")))
    return aiohttp_jinja2.get_env(app).from_string(PAGE)


def page_of(template: jinja2.Template, text: str) -> str:
    """A page with a text wherever the macros put one."""
    columns = (Column("text", text, link="/x/{text}"), Column("code", "Code", code=True))
    table = arrange([{"text": text, "code": text}], columns, TableQuery.read({"site": text}), text)
    return sendable(template.render(text=text, table=table))


@given(text=TEXTS.filter(bool))
def test_a_text_adds_no_tag_and_no_attribute(template: jinja2.Template, text: str) -> None:
    """The page of any text has the tags and attributes of the page of a plain one, and the text is in it."""
    found = seen(page_of(template, text))
    assert found.tags == seen(page_of(template, "x")).tags
    assert sendable(text) in "".join(found.texts)


@given(texts=st.lists(TEXTS, min_size=1))
def test_a_cell_is_its_text_and_no_formula(texts: list[str]) -> None:
    """Read back, a cell is the text or the text after an apostrophe, and begins like a formula only as a number."""
    text = sendable(csv_text(["head"], [[text] for text in texts]))
    cells = [row[0] if row else "" for row in csv.reader(io.StringIO(text, newline=""))][1:]
    assert [cell.removeprefix("'") for cell in cells] == [sendable(text).removeprefix("'") for text in texts]
    for cell in cells:
        assert not cell.startswith(("=", "@", "\t", "\r"))
        if cell.startswith(("+", "-")):
            float(cell)

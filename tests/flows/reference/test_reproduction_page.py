"""docs/reference/reproduction.md: every key and every reader of the catalogue, said in words."""

import re

from flows.reference.pages import pages
from flows.reproduce.readings import READERS

PAGE = pages()["reproduction.md"]


def cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_key_of_the_catalogue_says_what_it_means():
    keys = PAGE.split("## Readers")[0]
    rows = [cells(line) for line in keys.splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row[0] for row in rows if not row[3]] == []


def test_every_reader_says_what_it_gives():
    rows = {row[0]: row[1:] for line in PAGE.split("## Readers")[1].splitlines() if (row := cells(line))}
    assert {f"`{name}`" for name in READERS} == {name for name in rows if name.startswith("`")}
    assert [name for name, (gives, _) in rows.items() if not gives] == []


def test_an_option_says_its_values_and_its_default_or_that_it_is_required():
    [line] = [cells(line) for line in PAGE.splitlines() if line.startswith("| `kept` ")]
    assert "`of`: `policy`, `reward`, **required**; `by`: `ratio`, `tokens`, `ratio` by default" in line[2]


def test_links_of_the_page_lead_to_its_own_headings():
    headings = {
        re.sub(r"[^a-z0-9 -]", "", one[3:].lower()).replace(" ", "-")
        for one in PAGE.splitlines()
        if one.startswith("## ")
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= headings

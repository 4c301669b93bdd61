"""Every command of the documentation, run as it stands and in the order in which a reader meets it."""

import os
import re
import shlex

import pytest
from docs_support import FRAGMENTS, NOT_RUN, Page, commands_of, pages
from documented_world import Reader, fill_hub, make_checkout, serve_models, smollm2_is_tiny
from loopback_hub import loopback_hub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Somebody with a checkout and a Hub, and what was printed by now."""
    folder = tmp_path_factory.mktemp("checkout")
    make_checkout(folder)
    smollm2_is_tiny(folder / "cache", folder)
    with loopback_hub() as hub:
        serve_models(hub)
        fill_hub(hub, folder)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PREFECT_"))}
        environment = kept | {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": "hf_ofareader",
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFERENCE_CURATION_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "120",
            "ACCELERATOR": "cpu",  # its .venv is a stand-in, not to be built anew where there is a GPU
        }
        reader = Reader(folder, environment)
        yield reader, {}
        reader.close()


def steps(page):
    """Commands and blocks of Python in the order of the page."""
    for block in page.blocks("sh", "python"):
        if block.language == "sh":
            yield from (("sh", command) for command in commands_of(block))
        elif page.name not in FRAGMENTS:
            yield "python", block.text


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page, world):
    reader, printed = world
    for language, text in steps(page):
        if text in NOT_RUN or text in printed:
            continue
        if language == "python":
            code, output = reader.run(text, page.name)
        elif text.startswith("make "):
            code, output = reader.make(text.removeprefix("make "))
        else:
            code, output = reader.type(shlex.split(text)[2:])
        assert code == 0, f"{text}\n{output[-3000:]}"
        printed[text] = output


@pytest.mark.parametrize(
    ("page", "command"),
    [
        ("README.md", "make curate"),
        ("docs/tutorial/1-starter.md", "make curate"),
        ("docs/tutorial/1-starter.md", "python -m flows.explain runs/starter 67198"),
        ("docs/tutorial/1-starter.md", "python -m flows.train"),
    ],
)
def test_what_a_command_is_shown_to_print_has_the_words_that_it_prints(page, command, world):
    """The numbers are of the real models; the words at the start of a line are the same with any."""
    _, printed = world
    blocks = Page(page).blocks("sh", "text")
    at = next(place for place, block in enumerate(blocks) if block.language == "sh" and command in commands_of(block))
    shown = next(block.text for block in blocks[at:] if block.language == "text")
    labels = set(re.findall(r"^ *([a-z][a-z ]*?)(?=  |:| \d)", shown, re.MULTILINE))
    assert len(labels) > 3
    assert [label for label in labels if label not in printed[command]] == []

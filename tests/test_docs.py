"""What the documentation names is there: modules, files, flags, links; and its reference is what the code says."""

import ast
import importlib
import importlib.util
import re
import shlex
import sys

import pytest
import yaml
from docs_support import FRAGMENTS, NOT_RUN, ROOT, Page, module_of, pages, written_files

from flows.reference import __main__ as reference
from flows.reference import pages as reference_pages
from flows.reference.keys import keys
from trainers.objectives import OBJECTIVES
from transforms.report.codes_in_words import REASONS
from transforms.sources.kinds import SOURCES
from transforms.tables import columns, schema

PAGES = pages()
COMMANDS = list(dict.fromkeys(command for page in PAGES for command in page.commands()))
OURS = [command for command in COMMANDS if module_of(command)]
ALL_TEXT = "\n".join(page.text for page in PAGES)

# Where each command stops reading its arguments and begins to work.
WORK = {
    "flows.curate": "flows.curate.plan.plan_run",
    "flows.audit": "flows.audit.__main__._run",
    "flows.train": "flows.train.plan.plan_training",
    "flows.evaluate": "flows.evaluate.plan.plan_evaluation",
    "flows.compare": "flows.compare.plan.plan_comparison",
    "flows.rounds": "flows.rounds.plan.plan_rounds",
    "flows.decode": "flows.decode.plan.plan_decoding",
    "flows.reproduce": "flows.reproduce.__main__.read_catalogue",
    "flows.generate": "flows.generate.plan.plan_generation",
    "flows.export": "flows.versions.version.open_any",
    "flows.explain": "flows.explain.facts.explain",
    "flows.publish": "flows.publish.__main__.Console",
    "flows.diff": "flows.versions.version.open_version",
    "flows.refresh": "flows.refresh.flow.refresh",
    "flows.deploy": "flows.deploy.__main__._require_server",
    "flows.data_cards": "flows.data_cards.__main__.outdated",
    "flows.reference": "flows.reference.pages.pages",
}


def there(name):
    """Whether a dotted name is a module, or something in one."""
    parent, _, last = name.rpartition(".")
    if (ROOT / parent.replace(".", "/")).is_dir():
        return importlib.util.find_spec(name) is not None
    return hasattr(importlib.import_module(parent), last)


class Understood(Exception):
    """The arguments were read."""


@pytest.mark.parametrize("command", OURS)
def test_a_documented_command_has_flags_and_values_that_its_module_takes(command, tmp_path, monkeypatch):
    def work(*_args, **_options):
        raise Understood

    module = module_of(command)
    for name in ("flows", "data_cards"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, text in written_files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    assert module in WORK, "name in WORK the function at which this command begins to work"
    monkeypatch.setattr(WORK[module], work)
    monkeypatch.setattr("flows.runtime.temporary_server.start_server", lambda: None)
    monkeypatch.setattr(sys, "argv", [module, *shlex.split(command)[3:]])
    main = importlib.import_module(f"{module}.__main__").main
    with pytest.raises(Understood):
        main()


def test_every_block_says_its_language_and_every_command_is_ours_or_listed_with_a_reason():
    for page in PAGES:
        assert {block.language for block in page.blocks()} <= {"sh", "text", "python", "yaml", "json", "math"}, page
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    others = [command for command in COMMANDS if module_of(command) is None and command not in NOT_RUN]
    assert [command for command in others if command.removeprefix("make ") not in targets] == []


def test_what_is_not_run_is_documented_still():
    assert [command for command in NOT_RUN if command not in COMMANDS] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_anchors_resolve(page):
    for link in page.links():
        if link.startswith("http"):
            continue
        target, _, anchor = link.partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        assert path.exists(), link
        if anchor:
            assert anchor in Page(path.relative_to(ROOT).as_posix()).anchors(), link


def test_every_module_file_and_recipe_that_is_named_exists():
    modules = set(re.findall(r"`((?:flows|transforms|trainers)(?:\.[a-z_]+)+)`", ALL_TEXT))
    assert len(modules) > 30
    assert [name for name in modules if not there(name)] == []
    files = set(re.findall(r"\b(?:flows|transforms|trainers|tests|data_cards|benchmarks)/[\w/-]+\.\w+", ALL_TEXT))
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_yaml_and_python_blocks_are_yaml_and_python():
    for page in PAGES:
        for block in page.blocks("yaml"):
            assert isinstance(yaml.safe_load(block.text), dict)
        for block in page.blocks("python"):
            ast.parse(block.text)


def test_fragments_of_code_are_those_of_the_code():
    [objective] = Page("docs/how-to/add-an-objective.md").blocks("python")
    assert objective.text in (ROOT / "trainers/objectives/lengthwise.py").read_text()
    assert all((ROOT / name).exists() for name in FRAGMENTS)


def test_the_reference_is_what_the_code_says():
    stale = reference.out_of_date(reference.everything(), reference.FOLDER)
    assert stale == [], "run python -m flows.reference"


def test_a_page_that_is_missing_or_another_is_out_of_date(tmp_path):
    (tmp_path / "same.md").write_text("one\n")
    (tmp_path / "other.md").write_text("two\n")
    assert reference.out_of_date({"same.md": "one\n", "other.md": "2\n", "none.md": ""}, tmp_path) == [
        "other.md",
        "none.md",
    ]


def test_every_key_and_every_column_has_a_meaning():
    configs = {name: list(keys(model)) for name, (_, model, _) in reference_pages.CONFIGS.items()}
    configs |= {name: list(keys(kind.options)) for name, kind in SOURCES.items()}
    configs |= {str(model): list(keys(model)) for model in reference_pages.annotator_models()}
    silent = [(where, key.name) for where, found in configs.items() for key in found if not key.meaning]
    assert [(where, name) for where, name in silent if name.rpartition(".")[2] != "kind"] == []
    assert set(columns.CURATED) == set(schema.CURATED.names)
    assert set(columns.RESPONSES) == set(schema.RESPONSES.names)
    assert set(columns.PAIRED) == set(schema.PAIRED.names)
    assert set(columns.ANSWERS) == set(schema.ANSWERS.names)


def test_a_key_is_told_with_its_bounds_default_and_meaning():
    found = {key.name: key for key in keys(reference_pages.CONFIGS["recipe.md"][1])}
    assert found["sampling.n"][1:3] == ("whole number, ≥ 1", "`3`")
    assert found["truncate.method"][1:3] == ("`poet`, `ratio`, `tokens`, `none`", "`poet`")
    assert found["truncate.ratio"][1:] == ("number, > 0, ≤ 1", "none", "ρ, for method ratio only.")
    assert found["consistency.prior"][1:3] == ("list of 2: number, > 0", "`[0.5, 0.5]`")
    assert found["policy.model"].default == "**required**"


def test_methods_have_every_objective_and_every_reason_has_words():
    methods = Page("docs/methods.md").text
    assert [name for name in OBJECTIVES if f"`{name}`" not in methods] == []
    assert [name for name in REASONS if f"`{name}`" not in Page("docs/reference/columns.md").text] == []

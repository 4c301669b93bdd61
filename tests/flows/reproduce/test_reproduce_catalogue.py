"""The catalogue's files, held against each other: what does not fit is one error that names it."""

import pytest
from reproduce_support import ENTRIES, PAPER, SMALL, STEPS, catalogue, write_catalogue

from flows.reproduce.catalogue import built_on, read_catalogue
from flows.reproduce.config import Step
from transforms.errors import ConfigError


def test_a_step_runs_after_those_whose_folders_it_names(tmp_path):
    found = catalogue(tmp_path)
    assert found.order("small", ["judged"]) == ["pairs", "dpo", "judged"]
    assert found.order("small", ["other", "dpo", "judged"]) == ["other", "pairs", "dpo", "judged"]


def test_what_a_step_builds_on_is_named_in_recipe_arguments_or_files_and_here_and_data_are_no_steps():
    step = Step(
        run="flows.train",
        recipe={"a": ["{one}/model"], "b": "{here}/x.yaml"},
        arguments=["--dataset.path", "{two}"],
        files={"x.yaml": {"deep": {"er": "{data}/rows and {three-4}"}}},
    )
    assert built_on(step) == ["one", "two", "three-4"]


def test_steps_in_a_circle_are_an_error_also_where_no_entry_reads_them(tmp_path):
    circle = {
        "small/one": {"run": "flows.decode", "arguments": ["{two}"]},
        "small/two": {"run": "flows.decode", "arguments": ["{one}"]},
    }
    with pytest.raises(ConfigError, match="in a circle: one → two → one"):
        catalogue(tmp_path, **circle)


def test_a_step_that_names_one_which_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"small/odd.yaml reads nowhere, and no step of that size is called so"):
        catalogue(tmp_path, **{"small/odd": {"run": "flows.decode", "arguments": ["{nowhere}"]}})


def lines(size, **changes):
    return {"entries": size | {f"poet/{name.replace('_', '-')}": line for name, line in changes.items()}}


def test_an_entry_without_a_line_and_a_line_without_an_entry_are_errors(tmp_path):
    short = {name: line for name, line in SMALL.items() if name != "poet/table-1"}
    with pytest.raises(ConfigError, match=r"small.yaml has no line for poet/table-1"):
        catalogue(tmp_path / "a", small={"entries": short})
    with pytest.raises(ConfigError, match=r"paper.yaml has poet/table-9, which no paper has"):
        catalogue(tmp_path / "b", paper=lines(PAPER, table_9=PAPER["poet/table-1"]))


def test_a_line_for_an_entry_with_nothing_to_redo_is_foreign(tmp_path):
    with pytest.raises(ConfigError, match=r"small.yaml has poet/figure-1, which no paper has"):
        catalogue(tmp_path, small=lines(SMALL, figure_1=SMALL["poet/table-1"]))


def test_an_unknown_step_of_an_entry_or_of_its_series_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"small.yaml, poet/table-1: no step is called nope"):
        catalogue(tmp_path / "a", small=lines(SMALL, table_1={"steps": ["nope"], "needs": "x"}))
    series = [{"label": "a", "steps": {"1": "judged", "2": "nope"}, "reads": "r"}]
    line = {"steps": ["judged"], "needs": "x", "series": series}
    with pytest.raises(ConfigError, match=r"small.yaml, poet/table-1: no step is called nope"):
        catalogue(tmp_path / "b", small=lines(SMALL, table_1=line))


def test_a_series_reads_one_step_or_several_and_not_both(tmp_path):
    for number, reading in enumerate(({}, {"step": "judged", "steps": {"1": "other"}})):
        line = {"steps": ["judged"], "needs": "x", "series": [{"label": "a", "reads": "r"} | reading]}
        with pytest.raises(ConfigError, match="series 'a' needs `step` or `steps`, and not both"):
            catalogue(tmp_path / str(number), small=lines(SMALL, table_1=line))


def test_the_steps_of_a_series_run_too(tmp_path):
    line = {"steps": ["other"], "needs": "x", "series": [{"label": "a", "reads": "r", "step": "judged"}]}
    found = catalogue(tmp_path, small=lines(SMALL, table_1=line))
    assert found.sizes["small"]["poet/table-1"].reads == ["other", "judged"]


def test_an_entry_has_steps_or_a_reason_and_not_both(tmp_path):
    for number, line in enumerate(({"needs": "x"}, {"needs": "x", "steps": ["judged"], "cannot": "no"})):
        with pytest.raises(ConfigError, match="has steps, or says in `cannot` why it has none"):
            catalogue(tmp_path / str(number), small=lines(SMALL, table_1=line))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"run": "flows.train"}, "a step needs a recipe, or arguments"),
        ({"run": "flows.publish", "arguments": ["x"]}, "run: Input should be 'flows.curate'"),
        ({"run": "flows.train", "recipe": {}, "files": {"../x.yaml": {}}}, "should match pattern"),
        ("run: [", "is no YAML"),
    ],
)
def test_a_step_that_does_not_fit_is_named(step, said, tmp_path):
    with pytest.raises(ConfigError, match=r"small/dpo\.yaml") as raised:
        catalogue(tmp_path, **{"small/dpo": step})
    assert said in str(raised.value)


def test_a_number_with_a_colon_is_a_text_as_in_the_commands_own_files(tmp_path):
    found = catalogue(tmp_path, **{"small/dpo": "run: flows.train\nrecipe: {a: 1:8, b: 8, c: 0.5, d: 1e-3}\n"})
    recipe = found.steps["small"]["dpo"].recipe
    assert recipe == {"a": "1:8", "b": 8, "c": 0.5, "d": "1e-3"}


def test_a_wrong_name_is_told_with_the_nearest_one_and_all_that_there_are(tmp_path):
    found = catalogue(tmp_path)
    assert found.entry("poet", "table-1").shows == "Judged policies."
    with pytest.raises(ConfigError, match="no paper is called 'poe'; did you mean poet\\?; there are poet"):
        found.entry("poe", "table-1")
    with pytest.raises(ConfigError) as raised:
        found.entry("poet", "table1")
    assert str(raised.value).startswith("poet has no 'table1'; did you mean table-1?; it has ")
    assert all(entry["id"] in str(raised.value) for entry in ENTRIES)


def test_both_sizes_have_steps_of_their_own(tmp_path):
    found = catalogue(tmp_path, **{"paper/pairs": STEPS["pairs"] | {"arguments": ["--seed", "3"]}})
    assert found.steps["small"]["pairs"].arguments == []
    assert found.steps["paper"]["pairs"].arguments == ["--seed", "3"]


def test_steps_are_read_of_the_sizes_that_are_asked_for_and_the_list_needs_none(tmp_path):
    folder = write_catalogue(tmp_path, **{"paper/dpo": "run: ["})
    assert read_catalogue(folder, steps=()).steps == {}
    assert set(read_catalogue(folder, steps=("small",)).steps["small"]) == set(STEPS)
    with pytest.raises(ConfigError, match=r"paper/dpo\.yaml is no YAML"):
        read_catalogue(folder)

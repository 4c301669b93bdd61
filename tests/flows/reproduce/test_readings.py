"""Readings of a catalogue: readers and options by name, one step or several."""

import pytest
from reading_support import evaluation, numbers, policy, series, write

from flows.reproduce.config import Reading
from flows.reproduce.found import Found, finite
from flows.reproduce.readings import READERS, options_of, read
from transforms.errors import ConfigError
from transforms.records.reproduction import SeriesPoint


def several(reader, options=None, **steps):
    return Reading(label="ours", steps=steps, reads=reader, options=options or {})


def test_a_point_of_each_step_stands_at_its_x_a_number_where_it_is_one(tmp_path):
    folders = {
        name: write(tmp_path / name, "evaluation.json", evaluation(policy=judged))
        for name, judged in (("one", policy()), ("two", None))
    }
    found = read(several("displacement", **{"0.25": "one", "DPO": "one", "3": "two", "nan": "one"}), folders)
    assert numbers(found) == [
        (0.25, -0.5, -0.6, -0.4), ("DPO", -0.5, -0.6, -0.4), ("nan", -0.5, -0.6, -0.4),
    ]  # fmt: skip
    assert found.missing == ["3: the evaluation has no log-prob of chosen"]


def test_a_series_has_its_own_unit_where_the_catalogue_says_one(tmp_path):
    folder = write(tmp_path, "evaluation.json", evaluation(policy=policy()))
    for where in ({"step": "one"}, {"steps": {"1": "one"}}):
        one = Reading(label="ours", reads="displacement", unit="nats a token", **where)
        assert read(one, {"one": folder}).unit == "nats a token"
        assert read(one.model_copy(update={"unit": None}), {"one": folder}).unit is None


def test_a_step_that_gives_several_numbers_has_no_one_place(tmp_path):
    folder = write(tmp_path, "evaluation.json", evaluation(policy=policy()))
    with pytest.raises(ConfigError, match="series 'ours': distance reads 2 numbers from the step one, and one can"):
        read(several("distance", **{"1": "one"}), {"one": folder})


def test_an_unknown_reader_is_an_error_that_names_all_readers(tmp_path):
    with pytest.raises(
        ConfigError, match=r"^series 'ours': there is no reader 'guess'; there are consistency, quality"
    ):
        series(tmp_path, "guess")


@pytest.mark.parametrize(
    ("reader", "options", "said"),
    [
        ("quality", {"of": "x"}, r"quality: options\.of: Extra inputs are not permitted \(found 'x'\)"),
        ("quality", {"by": "words"}, r"options\.by: Input should be 'tokens', 'ratio' or 'values'"),
        ("accuracy", {}, r"options\.of: Field required"),
        ("decoding_kl", {"model": "x"}, r"options\.model: Extra inputs"),
        ("training", {"measure": "logps"}, r"options\.measure: Input should be 'loss'"),
    ],
)
def test_an_option_that_does_not_fit_is_an_error_before_anything_is_read(reader, options, said):
    with pytest.raises(ConfigError, match=f"^series 'ours': .*{said}"):
        options_of(Reading(label="ours", step="s", reads=reader, options=options))


def test_a_step_without_a_folder_is_an_error_that_names_those_with_one():
    with pytest.raises(ConfigError, match="series 'ours': the step step has no folder; there are none"):
        read(Reading(label="ours", step="step", reads="quality"), {})


def test_every_reader_refuses_what_it_does_not_know():
    for name in READERS:
        with pytest.raises(ConfigError, match="no_such_option"):
            options_of(Reading(label="ours", step="s", reads=name, options={"no_such_option": 1}))


def test_what_is_no_number_is_no_point_and_half_an_interval_is_none():
    points = [
        SeriesPoint(x=1.0, y=float("nan")),
        SeriesPoint(x=float("inf"), y=1.0),
        SeriesPoint(x=2.0, y=1.0, low=0.0, high=float("inf")),
        SeriesPoint(x=3.0, y=1.0, low=0.0, high=2.0),
    ]
    found = finite(Found(points, ("before",)))
    assert found.points == [SeriesPoint(x=2.0, y=1.0), points[3]]
    assert found.missing == ("before", "1.0 has no finite number", "inf has no finite number")

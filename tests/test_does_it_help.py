"""The experiment's arithmetic: the parts of a difference's variance, and what sizes could show."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

import benchmarks.does_it_help as does_it_help
from benchmarks.does_it_help import (
    Alike,
    Scored,
    Wrote,
    alike_table,
    ended_alike,
    interval,
    least_shown,
    outcomes,
    picture,
    power,
    spread,
    table,
    worth_of_an_end,
    written,
)
from flows.answers.generations import Labels

RAW = {0: {"a": 0.0, "b": 0.0}, 1: {"a": 0.0, "b": 0.0}}


def test_what_only_prompts_differ_in_is_their_variance() -> None:
    """Both seeds say 0 of one prompt and 1 of the other: (0 − ½)² + (1 − ½)² over one degree of freedom."""
    assert spread(RAW, {seed: {"a": 0.0, "b": 1.0} for seed in (0, 1)}) == (0.5, 0.0, 0.0)


def test_what_only_seeds_differ_in_is_theirs() -> None:
    other = {0: {"a": 0.0, "b": 0.0}, 1: {"a": 1.0, "b": 1.0}}
    assert spread(RAW, other) == (0.0, 0.5, 0.0)


def test_what_neither_explains_is_the_rest_and_no_part_is_negative() -> None:
    """Cells 0 1 / 1 0: all means are ½, each residual ±½, so 4 · ¼ over one degree of freedom."""
    other = {0: {"a": 0.0, "b": 1.0}, 1: {"a": 1.0, "b": 0.0}}
    assert spread(RAW, other) == (0.0, 0.0, 1.0)


def test_a_prompt_that_one_seed_lacks_is_in_no_cell() -> None:
    other = {0: {"a": 0.0, "b": 1.0, "c": 1.0}, 1: {"a": 0.0, "b": 1.0}}
    assert spread({**RAW, 0: {"a": 0.0, "b": 0.0, "c": 0.0}}, other) == (0.5, 0.0, 0.0)


def test_the_least_difference_is_half_of_a_comparisons_interval_and_the_power() -> None:
    """Seeds: 0.04/2 + 0.32/8 = 0.06, t₁ = 12.706; prompts: 0.16/4 = 0.04 and 1/36, t₃ = 3.182.

    √(161.45 · 0.06 + 10.128 · 0.067778) + 0.842 · √0.1 = 3.2217 + 0.2663.
    """
    assert least_shown((0.16, 0.04, 0.32), prompts=4, seeds=2) == pytest.approx(3.4880, abs=1e-3)


def test_with_many_seeds_and_prompts_it_is_2_8_standard_errors() -> None:
    assert least_shown((0.16, 0.04, 0.32), 100_000, 10_000) == pytest.approx(
        2.802 * (0.16 / 1e5 + 0.04 / 1e4 + 0.32 / 1e9) ** 0.5, rel=1e-3
    )


def test_a_rate_is_written_in_percent_with_its_interval() -> None:
    assert interval({"value": 0.523, "low": 0.401, "high": 0.64}) == "52.3 [40.1, 64.0]"
    assert interval({"value": 0.05, "low": -0.01, "high": 0.11}, signed=True) == "+5.0 [-1.0, +11.0]"
    assert interval(None) == "–"


def _comparison(folder: Path) -> Path:
    (folder / "judged").mkdir(parents=True)
    trainings = []
    wins = {"raw": [0.0, 0.0, 0.0], "poet": [0.0, 1.0, 0.5]}
    for variant, won in wins.items():
        for seed in (0, 1):
            key = f"{variant}-seed-{seed}"
            trainings.append({"variant": variant, "seed": seed, "folder": f"trainings/{key}"})
            judged = {"prompts": ["a", "b", "b"], "wins": won}
            (folder / "judged" / f"{key}.answers.json").write_text(json.dumps(judged))
    (folder / "comparison.json").write_text(json.dumps({"trainings": trainings}))
    return folder


def test_several_answers_to_a_prompt_are_one_share_of_it(tmp_path: Path) -> None:
    found = outcomes(_comparison(tmp_path / "compare"))
    assert found["poet"] == {0: {"a": 0.0, "b": 0.75}, 1: {"a": 0.0, "b": 0.75}}


def test_more_prompts_show_less(tmp_path: Path) -> None:
    """(0.75/2)² · 2 = 0.28125 over prompts; with many of them 2.802 · √(0.28125 / p)."""
    lines = power(_comparison(tmp_path / "compare"), [(2, 2), (1000, 2)])
    assert lines[0] == "variances of a difference from raw: prompts 0.2812, seeds 0.0000, rest 0.0000"
    assert lines[-1] == "| 1,000 | 2 | 4.7 points |"
    assert float(lines[-2].split("|")[3].split()[0]) > 105


def test_a_training_without_answers_is_in_no_spread(tmp_path: Path) -> None:
    folder = _comparison(tmp_path / "compare")
    (folder / "judged" / "poet-seed-1.answers.json").unlink()
    assert set(outcomes(folder)["poet"]) == {0}
    assert power(folder, [(2, 2)]) == [
        "no two seeds of raw and another variant answered: nothing is known of the spread"
    ]


def test_a_table_has_what_is_there_and_says_what_failed() -> None:
    rate = {"value": 0.5, "low": 0.25, "high": 0.75}
    found = {
        "standings": [
            {"variant": "raw", "trainings": 2, "accuracy": rate, "difference": None},
            {"variant": "poet", "trainings": 1, "accuracy": {**rate, "low": None}, "difference": {"accuracy": rate}},
        ],
        "answers": None,
        "trainings": [{"variant": "poet", "seed": 1, "error": "no memory", "answers_error": None}],
    }
    lines = table("dpo", found).splitlines()
    assert lines[2] == "| dpo, raw | 2 | – | – | – | – | – | – | 50.0 [25.0, 75.0] | – |"
    assert lines[3] == "| dpo, poet | 1 | – | – | – | – | – | – | 50.0 [–, 75.0] | +50.0 [+25.0, +75.0] |"
    assert lines[-1] == "poet, seed 1: no memory"


def test_the_picture_has_a_row_a_variant_in_percent_and_no_interval_that_is_not_known() -> None:
    raw = {"variant": "raw", "rate": {"value": 0.5, "low": 0.25, "high": 0.75}, "difference": None}
    rate = {"value": 0.625, "low": None, "high": None}
    poet = {"variant": "poet", "rate": rate, "difference": {"rate": {"value": 0.125, "low": -0.5, "high": 0.75}}}
    left, right = picture({"dpo": {"answers": {"standings": [raw, poet]}}, "simpo": {"answers": None}}).axes
    assert [one.get_text() for one in left.get_yticklabels()] == ["dpo, raw", "dpo, poet"]
    (nothing, *rates), (zero, *differences) = left.lines, right.lines
    assert (list(nothing.get_xdata()), list(zero.get_xdata())) == ([50, 50], [0, 0])
    assert [(list(one.get_xdata()), set(one.get_ydata())) for one in rates] == [
        ([25, 75], {0}),
        ([50], {0}),
        ([62.5], {1}),
    ]
    assert [(list(one.get_xdata()), set(one.get_ydata())) for one in differences] == [([-50, 75], {1}), ([12.5], {1})]


def test_comparisons_whose_answers_ended_alike_are_counted_over_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompt a: whole 2 against whole 1 wins, cut 0 against cut 0 ties, whole against cut is none; twice, two seeds."""
    rows = [("a", "m", True, 2.0), ("a", "m", False, 0.0), ("a", "start", True, 1.0), ("a", "start", False, 0.0)]
    rows += [("b", "m", True, 3.0), ("b", "start", False, 1.0), ("c", "m", True, None), ("c", "start", True, 1.0)]
    names = ("prompt_id", "policy", "finished", "score")
    responses = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])
    monkeypatch.setattr(does_it_help, "responses_in", lambda folder, manifest: [responses])
    monkeypatch.setattr(does_it_help, "labels_of", lambda manifest: Labels("start", "m"))
    monkeypatch.setattr(does_it_help.GenerationManifest, "model_validate_json", lambda text: None)
    trainings = [
        {"variant": variant, "folder": f"trainings/{variant}-{at}"} for variant in ("raw", "poet") for at in (0, 1)
    ]
    (tmp_path / "comparison.json").write_text(json.dumps({"trainings": trainings}))
    for one in ("raw-0", "raw-1", "poet-0"):
        (tmp_path / "answers" / one).mkdir(parents=True)
        (tmp_path / "answers" / one / "manifest.json").write_text("{}")
    found = written(tmp_path)
    assert [one.variant for one in found] == ["raw", "raw", "poet"]
    assert ended_alike(found) == {
        "raw": {"a": Alike(3.0, 4), "b": Alike(0.0, 0), "c": Alike(0.0, 0)},
        "poet": {"a": Alike(1.5, 2), "b": Alike(0.0, 0), "c": Alike(0.0, 0)},
    }


def test_what_an_end_is_worth_is_told_within_prompts_and_the_start_counts_once() -> None:
    """Prompt a: ended 1 and 3 (2), cut 0 → +2; b: ended 1 (start), cut 1 → 0; c has ended ones alone: 1 ± t₁ · 1."""
    start = {"a": [Scored(True, 1.0)], "b": [Scored(True, 1.0)], "c": [Scored(True, 9.0)]}
    one = Wrote("raw", {"a": [Scored(True, 3.0)], "b": [Scored(False, 1.0)], "c": [Scored(True, 0.0)]}, start)
    other = Wrote("poet", {"a": [Scored(False, 0.0)]}, {"b": [Scored(True, 100.0)]})
    assert worth_of_an_end([one, other]) == (
        "answers that ended score +1.00 [-11.71, +13.71] against others to the same prompt (2 prompts)"
    )
    assert worth_of_an_end([one._replace(model={})]).startswith("no two prompts have both")


def test_a_rate_of_such_comparisons_counts_each_once_and_has_an_interval_over_prompts() -> None:
    """Rates 1, 0 and ½ of one comparison each: without one of them ¼, ¾ and ½, so a standard error of √(⅔ · ⅛)."""
    raw = {"a": Alike(1.0, 1), "b": Alike(0.0, 1), "c": Alike(0.5, 1), "d": Alike(0.0, 0)}
    same = {name: Alike(one.won * 2, one.compared * 2) for name, one in raw.items()}
    lines = alike_table({"raw": raw, "poet": same})
    half = 4.302653 * (2 / 3 / 8) ** 0.5 * 100
    assert lines[2] == f"| raw | 3 | 50.0 [{50 - half:.1f}, {50 + half:.1f}] | – |"
    assert lines[3] == f"| poet | 6 | 50.0 [{50 - half:.1f}, {50 + half:.1f}] | +0.0 [+0.0, +0.0] |"

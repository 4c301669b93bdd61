"""The experiment's arithmetic: the parts of a difference's variance, and what sizes could show."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.does_it_help import (
    interval,
    least_shown,
    outcomes,
    picture,
    power,
    spread,
    table,
)

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


@pytest.mark.parametrize(("variances", "prompts", "seeds"), [((0.16, 0.04, 0.32), 4, 2), ((0.0, 0.0, 0.12), 72, 3)])
def test_the_least_difference_is_shown_by_four_of_five_experiments(
    variances: tuple[float, float, float], prompts: int, seeds: int
) -> None:
    """Rounds with variances as estimated from so few: t of seeds and prompts, and (G + 2)⁻² between prompts."""
    of_prompts, of_seeds, rest = variances
    by_seed, by_prompt = of_seeds / seeds + rest / (prompts * seeds), of_prompts / prompts
    rng, rounds = np.random.default_rng(0), 200_000
    widths = [rng.chisquare(count - 1, rounds) / (count - 1) for count in (seeds, prompts)]
    t_s, t_g = (float(stats.t.ppf(0.975, count - 1)) for count in (seeds, prompts))
    half = np.sqrt(t_s**2 * by_seed * widths[0] + t_g**2 * (by_prompt * widths[1] + (prompts + 2) ** -2))
    difference = least_shown(variances, prompts, seeds)
    found = difference + np.sqrt(by_seed + by_prompt) * rng.standard_normal(rounds)
    assert float((found > half).mean()) == pytest.approx(0.8, abs=0.005)


def test_without_any_spread_it_is_half_an_interval() -> None:
    """(G + 2)⁻² between prompts alone: t₃ / 6 with four."""
    assert least_shown((0.0, 0.0, 0.0), 4, 2) == pytest.approx(3.182446 / 6)


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
        "no two seeds of raw and another variant answered two prompts: nothing is known of the spread"
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

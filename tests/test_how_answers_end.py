"""Whether a win rate is about ends: what an end is worth to a judge, and comparisons whose answers ended alike."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import benchmarks.how_answers_end as how_answers_end
from benchmarks.how_answers_end import Scored, Wrote, alike_table, ended_alike, worth_of_an_end, written
from flows.answers.generations import Labels


def test_comparisons_whose_answers_ended_alike_are_counted_over_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompt a: whole 2 against whole 1 wins, cut 0 against cut 0 ties, whole against cut is none; twice, two seeds."""
    rows = [("a", "m", True, 2.0), ("a", "m", False, 0.0), ("a", "start", True, 1.0), ("a", "start", False, 0.0)]
    rows += [("b", "m", True, 3.0), ("b", "start", False, 1.0), ("c", "m", True, None), ("c", "start", True, 1.0)]
    names = ("prompt_id", "policy", "finished", "score")
    responses = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])
    monkeypatch.setattr(how_answers_end, "responses_in", lambda folder, manifest: [responses])
    monkeypatch.setattr(how_answers_end, "labels_of", lambda manifest: Labels("start", "m"))
    monkeypatch.setattr(how_answers_end.GenerationManifest, "model_validate_json", lambda text: None)
    names_of = {"raw-0": "raw", "raw-1": "raw", "poet-0": "poet", "poet-1": "poet"}
    trainings = [{"variant": variant, "folder": f"trainings/{name}"} for name, variant in names_of.items()]
    (tmp_path / "comparison.json").write_text(json.dumps({"trainings": trainings}))
    for one in ("raw-0", "raw-1", "poet-0"):
        (tmp_path / "answers" / one).mkdir(parents=True)
        (tmp_path / "answers" / one / "manifest.json").write_text("{}")
    found = written(tmp_path)
    assert [one.variant for one in found] == ["raw", "raw", "poet"]
    alike = ended_alike(found)
    counted = {name: {prompt: one.tolist() for prompt, one in each.items()} for name, each in alike.items()}
    nothing = [[0, 0], [0, 0]]
    assert counted == {
        "raw": {"a": [[1, 2], [2, 2]], "b": nothing, "c": nothing},
        "poet": {"a": [[0.5, 1], [1, 1]], "b": nothing, "c": nothing},
    }


def test_what_an_end_is_worth_is_told_within_a_writer_and_a_prompt() -> None:
    """Of the start: a 1 − 0 = 1, b 0 − 2 = −2. Of raw, two seeds: a 3 − 0 = 3; b and c have one kind. So a is
    (1 + 3) / 2 = 2 and b −2, mean 0 ± t₁ · 2; the start's alone −½ ± t₁ · 1½."""
    start = {"a": [Scored(True, 1.0), Scored(False, 0.0)], "b": [Scored(True, 0.0), Scored(False, 2.0)]}
    one = Wrote("raw", {"a": [Scored(True, 3.0)], "b": [Scored(True, 1.0)], "c": [Scored(True, 0.0)]}, start)
    other = Wrote("raw", {"a": [Scored(False, 0.0)]}, {"b": [Scored(True, 100.0)]})
    assert worth_of_an_end([one, other]) == (
        "answers that ended score +0.00 [-25.41, +25.41] (2 prompts) against cut ones of the same writer and prompt; "
        "the start's alone -0.50 [-19.56, +18.56] (2 prompts)"
    )
    assert "fewer than two prompts have both against cut" in worth_of_an_end([one._replace(start={})])


def side(*prompts: tuple[tuple[float, float], tuple[float, float]]) -> dict[str, np.ndarray]:
    return {name: np.array(one, float) for name, one in zip("abc", prompts, strict=False)}


def test_a_rate_of_such_comparisons_has_an_interval_over_prompts() -> None:
    """Rates 1, 0 and ½ of one comparison each: without one of them ¼, ¾ and ½, so a standard error of √(⅔ · ⅛)."""
    raw = side(((1, 1), (0, 0)), ((0, 1), (0, 0)), ((0.5, 1), (0, 0)))
    lines = alike_table({"raw": raw, "poet": {name: one * 2 for name, one in raw.items()}})
    half = 4.302653 * (2 / 3 / 8) ** 0.5 * 100
    together = f"50.0 [{50 - half:.1f}, {50 + half:.1f}]"
    assert lines[2] == f"| raw | 50.0 of 3 | – | {together} | – |"
    assert lines[3] == f"| poet | 50.0 of 6 | – | {together} | +0.0 [+0.0, +0.0] |"


def test_both_kinds_have_the_same_weights_in_all_variants() -> None:
    """Cut: raw 1 of 1, poet 6 of 6; ended: raw 0 of 6, poet 0 of 1. Over all 1/7 and 6/7; here ½ each."""
    raw, poet = side(((1, 1), (0, 6))), side(((6, 6), (0, 1)))
    lines = alike_table({"raw": raw, "poet": poet})
    assert lines[2:] == [
        "| raw | 100.0 of 1 | 0.0 of 6 | 50.0 [–, –] | – |",
        "| poet | 100.0 of 6 | 0.0 of 1 | 50.0 [–, –] | +0.0 [–, –] |",
    ]


def test_a_kind_that_a_variant_lacks_leaves_it_without_a_rate() -> None:
    raw, poet = side(((1, 2), (1, 2)), ((1, 2), (1, 2))), side(((1, 2), (0, 0)), ((1, 2), (0, 0)))
    lines = alike_table({"raw": raw, "poet": poet})
    assert lines[3] == "| poet | 50.0 of 4 | – | – | – |"
    assert alike_table({}) == ["no trained model answered"]
    assert alike_table({"raw": {}, "poet": {}})[2:] == ["| raw | – | – | – | – |", "| poet | – | – | – | – |"]

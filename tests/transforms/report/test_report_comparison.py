"""The page about a comparison: numbers as in the comparison, sentences no stronger than intervals, hostile names."""

import re
from typing import Any

import pytest
from report_support import HOSTILE, Tags, manifest, words

from transforms.evaluation.standings import verdict
from transforms.records.answers import AnswersRecord, LengthsRecord
from transforms.records.comparison import (
    AnswersCompared,
    AnswersStanding,
    Comparison,
    Difference,
    HeldOutRecord,
    Standing,
    TrainingResult,
    VariantRecord,
)
from transforms.report.comparison_page import difference_forest, render_comparison, share_forest
from transforms.report.comparison_words import caveats, difference_in_words, headline, undetectable
from transforms.statistics.intervals import MeanRecord


def mean(value: float, half: float | None = 0.05) -> MeanRecord:
    if half is None:
        return MeanRecord(value=value, low=None, high=None)
    return MeanRecord(value=value, low=value - half, high=value + half)


def standing(variant: str, gain: float | None, budget: Any = "steps", half: float | None = 0.05) -> Standing:
    accuracy = mean(gain or 0.0, half)
    return Standing(
        budget=budget,
        variant=variant,
        trainings=3,
        steps=4,
        tokens=12345.6,
        passes=0.5,
        accuracy=mean(0.6 + (gain or 0.0), 0.08),
        margin=mean(1.25, 0.5),
        chosen=mean(-0.125),
        rejected=mean(-0.25),
        difference=None
        if gain is None
        else Difference(trainings=3, accuracy=accuracy, margin=mean(0.5), chosen=mean(0.1), verdict=verdict(accuracy)),
    )


def training(variant: str, seed: int, **changes: Any) -> TrainingResult:
    fields = {
        "variant": variant, "seed": seed, "steps": 4, "budgets": ["steps"], "examples": 32, "tokens": 12345,
        "folder": f"trainings/{variant}-4-steps-seed-{seed}", "seconds": 61.0, "accuracy": 0.6, "margin": 1.25,
        "chosen": -0.125, "rejected": -0.25,
    }  # fmt: skip
    return TrainingResult(**(fields | changes))


def comparison(**changes: Any) -> Comparison:
    variants = [
        ("raw", "all", "full"),
        ("poet", "all", "poet"),
        ("ratio 0.33", "all", 0.33),
        ("curated", "kept", "truncated"),
    ]
    fields: dict[str, Any] = {
        "name": "unit",
        "fingerprint": "f" * 16,
        "config": {"budgets": ["steps"], "seeds": 3, "measure": "log_ratio", "training": "train/dpo.yaml"},
        "training": {"objective": {"name": "dpo"}, "optimisation": {"pairs_per_step": 8}},
        "judge": "policy",
        "run": "./runs/unit",
        "run_name": "unit-run",
        "version": "0" * 16,
        "cut": "both responses are cut to the length of the shorter one (POET)",
        "model": manifest().policy,
        "test": HeldOutRecord(pairs=120, prompts=80, dropped=7, left_out=0, cut_by_context=0, unread=0, tokens=54321),
        "variants": [
            VariantRecord(name=name, pairs=pairs, kept=kept, examples=800 - at, tokens=320000 - at)
            for at, (name, pairs, kept) in enumerate(variants)
        ],
        "trainings": [training(name, seed) for seed in range(3) for name, _, _ in variants],
        "standings": [
            standing("raw", None), standing("poet", 0.01), standing("ratio 0.33", -0.08), standing("curated", 0.07),
        ],
        "packages": {"torch": "2.13.0"},
        "git_commit": "a" * 40,
        "device": "cpu",
        "seconds": 700.0,
        "finished_at": "2026-11-21T00:00:00+00:00",
    }  # fmt: skip
    return Comparison(**(fields | changes))


def of(*standings: Standing, **changes: Any) -> Comparison:
    budgets = list(dict.fromkeys(one.budget for one in standings))
    return comparison(standings=list(standings), config=comparison().config | {"budgets": budgets} | changes)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (comparison(), "Curated data trained more accurate models than raw data"),
        (
            of(standing("raw", None), standing("curated", -0.2)),
            "Curated data trained less accurate models than raw data",
        ),
        (
            of(standing("raw", None), standing("curated", 0.04)),
            "No difference between curated and raw data could be shown",
        ),
        (
            of(
                standing("raw", None),
                standing("curated", 0.2),
                standing("raw", None, "tokens"),
                standing("curated", 0.01, "tokens"),
            ),
            "Curated against raw data: more accurate at equal steps, no difference shown at equal tokens",
        ),
        (
            of(standing("raw", None), standing("curated", 0.2), budgets=["steps", "tokens"]),
            "Curated against raw data: more accurate at equal steps, no result at equal tokens",
        ),
        (of(standing("raw", None), standing("poet", 0.2)), "Curated against raw data: no result at equal steps"),
        (of(standing("raw", None)), "Nothing can be held against raw"),
    ],
)
def test_the_headline_says_what_the_intervals_of_curated_data_say(found: Comparison, said: str) -> None:
    assert headline(found) == said


def test_without_curated_data_the_headline_counts_variants() -> None:
    some = comparison().variants[:3]
    rows = [standing("raw", None), standing("poet", 0.01), standing("ratio 0.33", -0.08)]
    assert headline(comparison(variants=some, standings=rows)) == "1 of 2 versions differ from raw"
    assert headline(comparison(variants=some, standings=rows[:2])) == "No difference from raw could be shown"


def test_a_difference_that_holds_zero_is_called_open_with_all_that_fits() -> None:
    assert difference_in_words(standing("poet", 0.01), "raw") == (
        "Not distinguishable from raw: +1.0 points were measured, and everything between −4.0 and +6.0 points fits "
        "these trainings."
    )
    assert difference_in_words(standing("poet", -0.08), "raw").startswith(
        "Fewer pairs ordered as labelled than with raw"
    )
    assert "how far another seed would be off is not known" in difference_in_words(standing("p", 0.1, half=None), "raw")
    assert difference_in_words(standing("raw", None), "raw").startswith("No training of raw ended with the same seed")


def test_numbers_on_the_page_are_those_of_the_comparison() -> None:
    text = words(render_comparison(comparison()))
    for part in (
        "Curated data trained more accurate models than raw data",
        "curated minus raw +7.0 points of accuracy at equal steps 95 % interval +2.0 to +12.0",
        "Held-out pairs 120 of 80 prompts",
        "Trainings 12 3 seeds each",
        "Budget 4 steps of 8 pairs, 12 min 12 s in all",
        "ratio 0.33 The same pairs as raw; of each response the first 33 %. 798 401",
        "curated Only the pairs that curation kept; both responses are cut to the length",
        "of the shorter one (POET). 797 402",
        "curated 67.0 % [59.0, 75.0] +7.0 [+2.0, +12.0] 3 4 12,346 0.50",
        "curated +1.250 [+0.750, +1.750] +0.500 [+0.450, +0.550] −0.125 [−0.175, −0.075] −0.250",
        "7 of the 120 held-out pairs are ones that curation would drop",
        "There are 3 differences here",
        "poet no clear difference",
    ):
        assert part in text, part


def test_caveats_name_what_this_comparison_has() -> None:
    plain = " ".join(caveats(comparison()))
    assert "could not have told a difference of less than 5.0 points from none" in plain
    assert not any(word in plain for word in ("Two seeds", "more than once", "longer than the model", "left out"))
    test = comparison().test.model_copy(update={"cut_by_context": 3, "unread": 2, "left_out": 1})
    rows = [standing("raw", None), standing("poet", 0.1).model_copy(update={"passes": 1.5})]
    config = comparison().config | {"seeds": 2}
    said = " ".join(caveats(comparison(test=test, standings=rows, config=config, judge="reward")))
    for part in ("gets the higher reward", "Two seeds", "more than once for poet", "3 held-out responses are longer"):
        assert part in said
    assert "2 held-out pairs are left out" in said
    assert "1 held-out pairs are left out because their prompt" in said
    assert undetectable(of(standing("raw", None))) is None


def test_caveats_name_variants_whose_answers_end_less_often_than_the_starts() -> None:
    rate = mean(0.5)
    written = [
        AnswersStanding(
            budget=budget, variant=variant, trainings=3, rate=rate, at_equal_length=None, not_fitted="separated",
            characters=400.0, ended=ended, difference=None,
        )
        for budget, variant, ended in (("steps", "raw", 0.5), ("steps", "curated", 0.125), ("tokens", "raw", 0.5))
    ]  # fmt: skip
    lengths = LengthsRecord(mean=1.0, quantiles=[1.0] * 5)
    start = AnswersRecord(
        label="start", model=manifest().policy, responses=8, ends={"ended": 2, "out_of_room": 6}, tokens=lengths,
        characters=lengths, score=None,
    )  # fmt: skip
    found = AnswersCompared(
        judge=manifest().policy, judge_kind="reward", compares=False, samples=1, asked=8, compared=8, trained_on=0,
        unasked=0, left_out={}, baseline=start, standings=written, completions=0, judgements=0,
    )  # fmt: skip
    [said] = [one for one in caveats(comparison(answers=found)) if "ended by themselves" in one]
    assert "start 25.0\u00a0%, raw 50.0\u00a0%, curated 12.5\u00a0%." in said
    alike = found.model_copy(update={"standings": written[:0]})
    assert not any("ended by themselves" in one for one in caveats(comparison(answers=alike)))


def test_what_failed_stands_above_everything_else() -> None:
    broken = [training("poet", 1, error="loss is nan at step 2", accuracy=None, margin=None, seconds=None)]
    variants = [
        *comparison().variants,
        VariantRecord(name="ratio 0.1", pairs="all", kept=0.1, examples=None, tokens=None, error="no room"),
    ]
    text = words(render_comparison(comparison(trainings=broken, variants=variants)))
    assert "2 failed" in text
    assert "ratio 0.1 : no room poet, seed 1 : loss is nan at step 2" in text
    assert "Without a result: ratio 0.1" in text
    assert "failed: loss is nan at step 2" in text


def test_a_comparison_in_which_everything_failed_still_has_a_page() -> None:
    broken = [training("raw", 0, error="out of memory", accuracy=None, margin=None, seconds=None)]
    text = words(render_comparison(comparison(trainings=broken, standings=[], judge=None)))
    assert "Nothing can be held against raw" in text
    assert "No training of this kind came to an end" in text


def test_figures_hold_every_interval_and_say_where_zero_and_chance_are() -> None:
    rows = comparison().standings
    differences = difference_forest([(row.variant, row.difference.accuracy) for row in rows if row.difference])
    assert differences is not None
    assert [row.name for row in differences.rows] == ["poet", "ratio 0.33", "curated"]
    assert all(0 <= row.low < row.at < row.high <= 100 for row in differences.rows)
    assert differences.rows[1].high < differences.zone < differences.rows[2].low
    accuracy = share_forest([(row.variant, row.accuracy) for row in rows])
    assert accuracy.zone < accuracy.rows[0].low or accuracy.rows[0].at > accuracy.zone
    assert difference_forest([]) is None


def test_hostile_names_and_errors_are_text() -> None:
    model = manifest().policy.model_copy(update={"name": HOSTILE})
    page = render_comparison(
        comparison(
            model=model,
            run=HOSTILE,
            run_name=HOSTILE,
            cut=HOSTILE,
            device=HOSTILE,
            config=comparison().config | {"training": HOSTILE},
            training={"objective": {"name": HOSTILE}, "optimisation": {"pairs_per_step": 8}},
            trainings=[training("raw", 0, error=HOSTILE, accuracy=None, margin=None, seconds=None, folder=HOSTILE)],
        )
    )
    tags = Tags(page)
    assert not {"script", "img", "iframe", "object", "form", "link"} & set(tags.names)
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert not re.search("[\x00\u202e\u2066\ud800]", page)
    page.encode("utf-8")


def test_the_page_runs_no_script_and_loads_nothing() -> None:
    page = render_comparison(comparison())
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert not [value for name, value in Tags(page).attributes if name in ("src", "srcset", "data", "action")]
    assert render_comparison(comparison()) == page

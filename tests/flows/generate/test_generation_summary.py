"""What a finished generation prints, and what a recipe of one is refused for before anything is asked."""

import io

import pytest
from generation_report_support import annotator, counts, generation, voice
from rich.console import Console

from flows.generate.summary import print_summary
from flows.recipe.generation import Generation
from transforms.records.manifest import SpendRecord

RECIPE = {
    "name": "small",
    "prompts": [{"kind": "prompts", "path": "./prompts.jsonl"}],
    "policies": [{"model": "smollm2"}],
    "annotators": [{"kind": "reward", "model": "starter"}, {"kind": "rule", "function": "rules.py:short"}],
    "aggregate": "mean_rank",
    "output": {"dir": "out"},
}


def printed(tmp_path, manifest):
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json())
    out = io.StringIO()
    print_summary(Console(file=out, width=200), tmp_path, seconds=4.0, unchanged=False)
    return out.getvalue()


def test_a_run_without_pairs_says_why_and_what_to_do(tmp_path):
    lost = counts(with_pair=0, pairs=0, without_pair={"unfinished": 3})
    text = printed(tmp_path, generation(counts=lost, voices=[voice(finished=0)]))
    assert "3 │ no pair: too few of its responses ended (pairing.unfinished)" in text
    assert "note         There is no pair: the funnel says what became of the prompts.\n" in text
    assert "A larger max_new_tokens lets more responses end.\n" in text


def test_what_reads_no_tokens_is_shown_without_any(tmp_path):
    rule = annotator(
        "short", "rule", spend=SpendRecord(requests=6, generated=4, reused=2, tokens_generated=0, tokens_reused=0)
    )
    text = printed(tmp_path, generation(annotators=[annotator(), rule]))
    assert "reward       4 made (400 tokens), 2 reused from the ledger (200 tokens)\n" in text
    assert "short        4 made, 2 reused from the ledger\n" in text


@pytest.mark.parametrize("change", [{}, {"aggregate": "mean_z"}, {"annotators": RECIPE["annotators"][:1]}])
def test_a_margin_that_no_difference_of_ranks_reaches_is_refused(change):
    recipe = RECIPE | {"pairing": {"min_margin": 1.5}} | change
    if change:  # of z-scores, or of a single annotator's own points
        assert Generation.model_validate(recipe).pairing.min_margin == 1.5
        return
    with pytest.raises(ValueError, match=r"pairing.min_margin is 1.5, and ranks differ by 1 at most: no pair is left"):
        Generation.model_validate(recipe)
    assert Generation.model_validate(RECIPE | {"pairing": {"min_margin": 1.0}})
    assert Generation.model_validate(RECIPE | {"pairing": {"min_margin": 1.5, "length_controlled": True}})

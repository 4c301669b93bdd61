"""`flows.audit` with tiny real models: what it measures, prints and writes."""

from io import StringIO

import pytest
from flows_support import call_plainly, model_folders, pair, sampling_recipe
from rich.console import Console
from tests_support import tiny_tokenizer

import flows.audit.__main__ as command
import flows.audit.flow as flow_module
from flows.audit.artifacts import show_audit
from flows.models import recipe_models as flow_models
from transforms.engines.fakes import FakeRewards
from transforms.engines.protocol import no_progress
from transforms.errors import SourceError
from transforms.records.audit import Audit, AuditSettings
from transforms.statistics.intervals import wilson

pytestmark = pytest.mark.slow
ROWS = [pair(i, chosen=f"the cat sat on the mat {i}", rejected="dog and cat") for i in range(8)]
WORDS = ["cat", "dog", "the", "mat", "and", "sat"]
ROWS += [{"prompt": "bad", "chosen": "", "rejected": "x"}]


@pytest.fixture(scope="module", autouse=True)
def without_prefect():
    patch = pytest.MonkeyPatch()
    call_plainly(patch, flow_module)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return model_folders(tmp_path_factory.mktemp("models"))


def audit(folder, models, rows=ROWS, *, settings=None, **changes) -> Audit:
    recipe = sampling_recipe(folder, models, rows, **changes)
    return flow_module.audit.fn(recipe, folder / "audit", AuditSettings(**(settings or {})))


@pytest.fixture(scope="module")
def found(tmp_path_factory, models):
    folder = tmp_path_factory.mktemp("audit")
    return audit(folder, models), folder / "audit"


def test_poet_and_four_ratios_are_measured_on_all_pairs_there_are(found):
    result, _ = found
    assert [m.name for m in result.methods] == ["poet", "ratio 0.5", "ratio 0.4", "ratio 0.33", "ratio 0.25"]
    assert (result.pairs, result.audited) == (8, 8)
    assert {m.consistency.count for m in result.methods} == {8}


def test_tokens_saved_are_those_beyond_the_shorter_response(found):
    result, _ = found
    tokenizer = tiny_tokenizer()
    lengths = [
        [len(tokenizer(row[side], add_special_tokens=False)["input_ids"]) + 1 for side in ("chosen", "rejected")]
        for row in ROWS[:8]
    ]
    kept = sum(2 * min(pair) for pair in lengths)
    assert result.methods[0].tokens_saved == pytest.approx(1 - kept / sum(map(sum, lengths)))


def test_the_json_is_the_audit_and_the_page_begins_with_its_advice(found):
    result, folder = found
    assert Audit.model_validate_json((folder / "audit.json").read_text()) == result
    page = (folder / "audit.html").read_text()
    assert result.advice[0].split(":")[0] in page
    assert not list(folder.glob(".work*"))


def test_curves_cover_tokens_ratios_and_positions(found):
    result, _ = found
    assert [point.at for point in result.quality_by_tokens] == [4.0, 8.0]
    assert [point.at for point in result.quality_by_ratio] == [0.25, 0.33, 0.4, 0.5, 1.0]
    assert {curve.side for curve in result.positions} == {"chosen", "rejected"}
    first = result.positions[0].entropy[0]
    assert (first.at, first.pairs) == (1.0, 8)
    assert first.mean > 0 > result.positions[0].log_prob[0].mean


def test_values_of_prefixes_are_read_for_more_pairs_than_are_audited_and_held_against_completions(tmp_path, models):
    asked = {"pairs": 2, "n": 1, "curve_pairs": 2, "value_pairs": 8, "position_pairs": 0}
    result = audit(tmp_path, models, settings=asked)
    assert (result.audited, result.curve_pairs, result.value_pairs) == (2, 2, 8)
    assert [(point.at, point.pairs) for point in result.values_by_tokens] == [(4.0, 8), (8.0, 8)]
    none = audit(tmp_path, models, settings=asked | {"value_pairs": 0})
    assert (none.value_pairs, none.values_by_tokens, none.values_agree) == (0, [], None)


HEADER = tiny_tokenizer()("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]


class ByFirstToken(FakeRewards):
    """The first token of the answer decides, so no completion changes anything."""

    def score(self, requests, progress=no_progress):
        return [float(self.first_of(list(request.token_ids))) for request in requests]

    @staticmethod
    def first_of(ids):
        size = len(HEADER)
        return next(ids[at + size] for at in range(len(ids) - size, -1, -1) if ids[at : at + size] == HEADER)


def test_values_agree_wholly_with_completions_that_change_nothing(tmp_path, models, monkeypatch):
    monkeypatch.setattr(flow_models, "open_reward", lambda *_: ByFirstToken())
    rows = [pair(i, chosen=f"{word} sat on the mat", rejected="dog and cat on the mat") for i, word in enumerate(WORDS)]
    result = audit(tmp_path, models, rows, settings={"n": 1})
    assert result.values_agree.value == pytest.approx(1.0)
    assert result.values_by_tokens == result.quality_by_tokens
    assert "rank correlation of +1.00 [" in (tmp_path / "audit" / "audit.html").read_text()


def test_at_ratio_one_the_quality_gap_is_that_of_the_full_responses(found):
    result, _ = found
    whole = result.quality_by_ratio[-1]
    assert whole.pairs == 8
    assert (whole.mean > 0) == (result.reward_agrees.value > 0.5)


def test_a_second_audit_pays_for_nothing(tmp_path, models, monkeypatch):
    first = audit(tmp_path, models)
    monkeypatch.setattr(flow_models, "open_policy", lambda *_: pytest.fail("a model was opened"))
    monkeypatch.setattr(flow_models, "open_reward", lambda *_: pytest.fail("a model was opened"))
    again = audit(tmp_path, models)
    assert again.methods == first.methods
    assert again.quality_by_tokens == first.quality_by_tokens


def test_a_sample_is_random_and_does_not_depend_on_the_order_of_the_rows(tmp_path, models):
    one = audit(tmp_path, models, settings={"pairs": 3})
    other = audit(tmp_path, models, ROWS[::-1], settings={"pairs": 3})
    assert (one.audited, one.pairs) == (3, 8)
    assert one.methods == other.methods


def test_the_budget_decides_how_many_pairs_are_audited(tmp_path, models):
    # Below 32 pairs, one costs at most n · (1 + 2·4 ratios + 2·7 token counts) = 46 completions with n = 2.
    assert audit(tmp_path, models, budget={"completions": 46 * 3 + 45}).audited == 3
    # Of ΔQ(4) alone it is 2 · (1 + 8 + 2) = 22 for the first two pairs, and 18 for each of the others.
    few = {"curve_pairs": 2, "curve_tokens": 4}
    assert audit(tmp_path, models, settings=few, budget={"completions": 4 * 2 + 18 * 5 + 17}).audited == 5


def test_each_figure_looks_at_as_many_pairs_as_it_is_told_and_the_audit_says_so(tmp_path, models):
    asked = {"pairs": 6, "n": 1, "curve_pairs": 4, "curve_tokens": 4, "position_pairs": 3}
    result = audit(tmp_path, models, settings=asked)
    assert result.settings.model_dump() == {"value_pairs": None} | asked
    assert result.value_pairs == 4 and [(point.at, point.pairs) for point in result.values_by_tokens] == [(4.0, 4)]
    assert (result.audited, result.prompts, result.curve_pairs, result.position_pairs) == (6, 6, 4, 3)
    assert [(point.at, point.pairs) for point in result.quality_by_tokens] == [(4.0, 4)]
    assert {point.pairs for point in result.quality_by_ratio} == {6}
    assert [curve.entropy[0].pairs for curve in result.positions] == [3, 3]
    assert {method.consistency.count for method in result.methods} == {6}
    fewer = audit(tmp_path, models, settings={"pairs": 6, "n": 1, "curve_pairs": 0, "position_pairs": 0})
    assert (fewer.quality_by_tokens, fewer.positions) == ([], [])
    assert (fewer.curve_pairs, fewer.position_pairs) == (0, 0)
    assert fewer.methods == result.methods


def test_k_doubles_up_to_the_largest_that_is_asked_for():
    assert AuditSettings().curve_at == [4, 8, 16, 32, 64, 128, 256]
    assert AuditSettings(curve_tokens=100).curve_at == [4, 8, 16, 32, 64]
    assert AuditSettings(curve_tokens=4).curve_at == [4]


def test_the_first_pairs_of_a_sample_are_random_ones_and_not_those_of_one_prompt(tmp_path, models):
    # Ids begin with the prompt's hash, so by id ten pairs of a prompt stand side by side.
    words = ("the cat", "dog", "and", "on the mat", "sat", "cat dog", "the dog", "mat", "cat and", "on")
    rows = [
        {"prompt": f"question {prompt}", "chosen": f"{one} sat", "rejected": f"{one} and dog sat"}
        for prompt in range(4)
        for one in words
    ]
    asked = {"pairs": 40, "n": 1, "curve_pairs": 8, "curve_tokens": 4, "position_pairs": 0}
    result = audit(tmp_path, models, rows, settings=asked)
    assert (result.audited, result.prompts, result.curve_pairs) == (40, 4, 8)
    # Eight pairs of one prompt would be a point without an interval, and so none.
    assert [point.pairs for point in result.quality_by_tokens] == [8]


def test_intervals_are_over_prompts(tmp_path, models):
    # Sides of equal lengths: POET cuts nothing, so all nine pairs of the three prompts keep their order.
    sides = (("the cat sat", "the dog sat"), ("cat and dog", "dog and cat"), ("on the mat", "on the cat"))
    rows = [{"prompt": f"question {n}", "chosen": one, "rejected": other} for n in range(3) for one, other in sides]
    result = audit(tmp_path, models, rows, settings={"n": 1, "curve_pairs": 0, "position_pairs": 0})
    poet = result.methods[0]
    assert (result.audited, result.prompts, poet.completions) == (9, 3, 0)
    assert (poet.consistency.value, poet.consistency.count) == (1.0, 9)
    assert (poet.consistency.low, poet.consistency.high) == pytest.approx(wilson(3, 3)[1:])


def test_nothing_to_audit_is_one_message(tmp_path, models):
    with pytest.raises(SourceError, match="no pair is left to audit"):
        audit(tmp_path, models, [{"prompt": "bad", "chosen": "", "rejected": "x"}])


def test_the_terminal_shows_advice_rates_and_where_the_report_is(found):
    result, folder = found
    out = StringIO()
    command.print_audit(Console(file=out, width=160), result, folder, seconds=1.0)
    text = out.getvalue()
    assert text.startswith(result.advice[0][:40])
    for word in ("poet", "ratio 0.25", "tokens saved", "audit.html", "before any cut"):
        assert word in text
    assert (
        "rests on     8 pairs of 8 prompts, 2 completions a prefix; ΔQ(k) on 8 pairs, k up to 256, "
        "values of 8 pairs, positions of 8" in text
    )


def test_the_artifact_is_silent_outside_a_flow(found):
    show_audit(*found)

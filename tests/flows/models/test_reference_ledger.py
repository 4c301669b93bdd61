"""Reference log-probs through the ledger: paid for once, whatever is kept, and never another model's."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from flows.models import log_probs as flow_log_probs
from flows.models.log_probs import Causal, LogProbReader, find_causal
from flows.runtime.progress import Progress
from flows.train.reference_log_probs import reference_log_probs
from trainers.batches.logprobs import log_probs
from trainers.batches.tensors import packed
from trainers.policies.token_readings import FrozenModel
from trainers.reading.examples import Example, group_by_prompt
from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import ModelIdentity
from transforms.errors import EngineError, SchemaError
from transforms.records.manifest import SpendRecord

VOCAB, CONTEXT = 53, 64
IDENTITY = ModelIdentity("org/sft", "a" * 40, "a" * 40, "float32", "transformers")


def reference(**changes: str) -> Causal:
    identity = ModelIdentity(**{name: getattr(IDENTITY, name) for name in IDENTITY.__slots__} | changes)
    return Causal(ResolvedModel(identity, identity.name, None), CONTEXT, VOCAB, trust_remote_code=False)


@pytest.fixture(scope="module")
def model() -> Any:
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return LlamaForCausalLM(config).eval()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, model: Any) -> list[str]:
    """Names of the models that were loaded."""
    names: list[str] = []

    def load(resolved: ResolvedModel, *, trust_remote_code: bool) -> Any:
        names.append(resolved.identity.name)
        return model

    monkeypatch.setattr(flow_log_probs, "load_causal", load)
    return names


def ids(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([*shape, seed]).integers(VOCAB, size=shape[-1], dtype=np.int32)


WHOLE = [
    Example("a", ids(6), (ids(1, 9), ids(2, 5))),
    Example("b", ids(6), (ids(3, 7), ids(2, 5))),  # the prompt and a response of a
    Example("c", ids(1), (ids(4, 1), ids(5, 12))),  # a prompt of one token
]


def cut(keep: int) -> list[Example]:
    return [Example(one.name, one.prompt, tuple(r[:keep] for r in one.responses)) for one in WHOLE]


def pay(name: str, work: Any) -> None:
    work()


def found(tmp_path: Any, examples: Any, *, of: Causal | None = None, whole: Any = WHOLE, **options: Any) -> Any:
    options = {"pay": pay, "progress": Progress()} | options
    return reference_log_probs(examples, whole, of or reference(), ledger=str(tmp_path / "ledger"), **options)


def direct(model: Any, examples: list[Example]) -> tuple[list[float], list[float]]:
    with torch.no_grad():
        read = [log_probs(model, packed([example]), prompts=True) for example in examples]
    return [x for one in read for x in one.responses.tolist()], [one.prompts.item() for one in read]


@pytest.mark.parametrize("keep", [1, 4, 99])
def test_sums_over_kept_tokens_are_those_of_the_kept_responses(
    tmp_path: Any, opened: list[str], model: Any, keep: int
) -> None:
    examples = cut(keep)
    log_prob = found(tmp_path, examples, prompts=True).log_probs
    responses, prompts = direct(model, examples)
    assert [len(row) for row in log_prob.responses] == [2, 2, 2]
    assert [x for row in log_prob.responses for x in row] == pytest.approx(responses, abs=1e-4)
    assert log_prob.prompts == pytest.approx(prompts, abs=1e-4)
    assert log_prob.prompts[2] == 0.0  # a prompt of one token leaves nothing to read


def test_another_truncation_costs_nothing_and_opens_no_model(tmp_path: Any, opened: list[str], model: Any) -> None:
    first = found(tmp_path, cut(4)).spend
    assert (first.generated, first.reused, opened) == (5, 0, ["org/sft"])
    opened.clear()
    for keep in (1, 3, 7, 99):
        again = found(tmp_path, cut(keep))
        assert (again.spend.generated, again.spend.reused) == (0, 5)
        assert [x for row in again.log_probs.responses for x in row] == pytest.approx(
            direct(model, cut(keep))[0], abs=1e-4
        )
    assert opened == []


def test_responses_that_share_what_is_kept_of_them_are_each_found_again_later(tmp_path: Any, opened: list[str]) -> None:
    start = ids(8, 4)
    whole = [Example("a", ids(6), (np.append(start, [1, 2]), np.append(start, [3])))]
    whole = [Example("a", one.prompt, tuple(r.astype(np.int32) for r in one.responses)) for one in whole]
    alike = found(tmp_path, [Example("a", ids(6), (start, start))], whole=whole)
    assert alike.log_probs.responses[0][0] == alike.log_probs.responses[0][1]
    assert alike.spend.generated == 2
    assert found(tmp_path, whole, whole=whole).spend.generated == 0


def test_prompts_are_paid_for_when_they_are_first_asked(tmp_path: Any, opened: list[str]) -> None:
    found(tmp_path, cut(2))
    more = found(tmp_path, cut(2), prompts=True).spend
    # Two examples have one prompt, the third one's has a single token.
    assert (more.generated, more.reused) == (1, 5)
    assert found(tmp_path, cut(5)).log_probs.prompts is None


def test_examples_grouped_by_prompt_read_the_same_rows(tmp_path: Any, opened: list[str], model: Any) -> None:
    found(tmp_path, cut(3), prompts=True)
    grouped = group_by_prompt(cut(3))
    again = found(tmp_path, grouped, prompts=True)
    assert again.spend.generated == 0
    assert [len(row) for row in again.log_probs.responses] == [3, 2]
    assert [x for row in again.log_probs.responses for x in row] == pytest.approx(direct(model, grouped)[0], abs=1e-4)


@pytest.mark.parametrize("change", [{"revision": "b" * 40}, {"fingerprint": "b" * 40}, {"dtype": "bfloat16"}])
def test_another_revision_weights_or_dtype_is_not_reused(
    tmp_path: Any, opened: list[str], change: dict[str, str]
) -> None:
    found(tmp_path, cut(2))
    assert found(tmp_path, cut(2), of=reference(**change)).spend.generated == 5
    assert len(opened) == 2


def test_a_reference_that_casts_is_another_one(tmp_path: Any, opened: list[str], model: Any) -> None:
    plain = found(tmp_path, cut(2)).log_probs.responses
    cast = found(tmp_path, cut(2), of=reference()._replace(cast_to="bfloat16"))
    assert cast.spend.generated == 5
    with torch.autocast("cpu", torch.bfloat16):
        expected, _ = direct(model, cut(2))
    assert [value for pair in cast.log_probs.responses for value in pair] == pytest.approx(expected, abs=0.05)
    assert cast.log_probs.responses != plain


def test_another_response_or_another_border_between_prompt_and_response_is_not_reused(
    tmp_path: Any, opened: list[str]
) -> None:
    tokens = ids(9)
    for prompt in (4, 5):
        one = [Example("x", tokens[:prompt], (tokens[prompt:],))]
        assert found(tmp_path, one, whole=one).spend.generated == 1


def test_an_interrupted_run_loses_one_batch(tmp_path: Any, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_log_probs, "BATCH", 2)
    read = FrozenModel.token_log_probs
    calls = 0

    def killed(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return read(*arguments)

    monkeypatch.setattr(FrozenModel, "token_log_probs", killed)
    with pytest.raises(KeyboardInterrupt):
        found(tmp_path, cut(2))
    monkeypatch.setattr(FrozenModel, "token_log_probs", read)
    spend = found(tmp_path, cut(2)).spend
    assert (spend.generated, spend.reused, spend.batches, spend.batches_paid_again) == (1, 4, 1, 1)


def test_a_model_that_failed_is_opened_anew(tmp_path: Any, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read, failures = FrozenModel.token_log_probs, [EngineError("hiccup")]

    def once(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return read(*arguments)

    def twice(name: str, work: Any) -> None:
        try:
            work()
        except EngineError:
            work()

    monkeypatch.setattr(FrozenModel, "token_log_probs", once)
    assert found(tmp_path, cut(2), pay=twice).spend.batches_failed == 1
    assert len(opened) == 2


def test_a_whole_response_beyond_what_the_model_reads_is_read_as_far_as_it_reads(
    tmp_path: Any, opened: list[str], model: Any
) -> None:
    long = [Example("long", ids(10), (ids(CONTEXT),))]
    kept = [Example("long", ids(10), (ids(CONTEXT)[:20],))]
    result = found(tmp_path, kept, whole=long)
    assert result.spend.tokens_generated == CONTEXT - 10
    assert result.log_probs.responses[0][0] == pytest.approx(direct(model, kept)[0][0], abs=1e-4)
    assert found(tmp_path, kept, whole=long, longest=40).spend.tokens_generated == 40 - 10


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (Example("pair-1", ids(10), (ids(CONTEXT - 9),)), rf"more than the {CONTEXT} tokens .*pair-1"),
        (Example("pair-2", ids(2), (np.array([VOCAB], np.int32),)), rf"token ids outside 0…{VOCAB - 1}.*pair-2"),
    ],
)
def test_what_the_reference_cannot_read_is_refused_before_it_is_loaded(
    tmp_path: Any, opened: list[str], example: Example, message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        found(tmp_path, [example])
    assert opened == []


def broken(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the model gives no number for the last token of responses of nine."""
    read = FrozenModel.token_log_probs

    def hiccup(*arguments: Any) -> Any:
        found = read(*arguments)
        for tokens in (tokens for example in found for tokens in example):
            tokens[8:] = np.nan
        return found

    monkeypatch.setattr(FrozenModel, "token_log_probs", hiccup)


def test_log_probs_that_are_not_finite_stop_a_training_and_are_asked_again(
    tmp_path: Any, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        broken(tmp_path, patch)
        with pytest.raises(EngineError, match=r"not finite for 2 examples: a, c. Try dtype float32"):
            found(tmp_path, cut(3))
    assert (again := found(tmp_path, cut(3)).spend).generated == 2
    assert again.reused == 3


def test_an_evaluation_reads_the_rows_of_a_training(tmp_path: Any, opened: list[str], model: Any) -> None:
    found(tmp_path, cut(3))
    opened.clear()
    spend = SpendRecord.nothing()
    reader = LogProbReader(reference(), "policy", ledger_root=str(tmp_path / "ledger"), spend=spend)
    read = reader.read_whole(WHOLE, pay=pay, progress=Progress())
    assert (spend.generated, spend.reused, spend.tokens_reused, opened) == (0, 5, 34, [])
    assert [[len(tokens) for tokens in one] for one in read] == [[9, 5], [7, 5], [1, 12]]
    assert [float(tokens.sum()) for one in read for tokens in one] == pytest.approx(direct(model, WHOLE)[0], abs=1e-4)


def test_a_whole_response_without_a_number_is_nan_for_an_evaluation(
    tmp_path: Any, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(tmp_path, monkeypatch)
    reader = LogProbReader(reference(), "policy", ledger_root=str(tmp_path / "ledger"), spend=SpendRecord.nothing())
    read = reader.read_whole(WHOLE, pay=pay, progress=Progress())
    reader.calls.close()
    assert [[bool(np.isnan(tokens).any()) for tokens in one] for one in read] == [
        [True, False],
        [False] * 2,
        [False, True],
    ]
    assert [len(tokens) for tokens in read[2]] == [1, 12]


@pytest.mark.slow
def test_a_folder_is_pinned_by_its_content(tmp_path: Any) -> None:
    from flows_support import model_folders
    from tests_support import tiny_tokenizer

    folder, _ = model_folders(tmp_path / "models")
    one = find_causal(folder, dtype="float32")
    assert (one.context, one.vocabulary) == (128, len(tiny_tokenizer()))
    assert found(tmp_path, cut(2), of=one).spend.generated == 5
    assert found(tmp_path, cut(2), of=find_causal(folder, dtype="float32")).spend.generated == 0
    config = folder / "generation_config.json"
    config.write_text(config.read_text() + " ")
    assert found(tmp_path, cut(2), of=find_causal(folder, dtype="float32")).spend.generated == 5

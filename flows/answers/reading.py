"""What a generation of two models wrote: how answers ended, their lengths and scores, and who won which comparison."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.answers.generations import JUDGE, labels_of
from flows.recipe.generation import AnnotatorConfig
from flows.recipe.judge import JudgeConfig
from flows.recipe.pair_ranker import PairRankerConfig
from transforms.asking.answers import shown
from transforms.chat.conversation import Asked, Turn, asked_of
from transforms.choices import Thinking
from transforms.errors import SourceError
from transforms.judging.shown import text
from transforms.pairing.win_rate import Comparisons, Samples, crossed
from transforms.records.answers import QUANTILES, AnswersRecord, End, HistogramRecord, LengthsRecord
from transforms.records.generation import GenerationManifest
from transforms.records.manifest import ModelRecord
from transforms.statistics.intervals import Floats, Ints

UNUSABLE: Final = "an answer holds what no dataset takes"
UNJUDGED: Final = "the judge gave no score"
_NOTHING: Final = ("empty", "no_answer")
BINS: Final = 24
_NO_COMPARISON: Final = -2.0  # below what any comparison gives, [−1, 1]


class Written(NamedTuple):
    """A model's answers, in the order in which the generation has them; (N,) each."""

    prompt: Ints  # `prompt_number`
    score: Floats  # NaN where there is none
    tokens: Ints
    characters: Ints
    ends: list[End]
    texts: list[str]


class AskedAnswer(NamedTuple):
    """An answer that a dataset could take, with its prompt."""

    prompt_id: str
    asked: Asked
    turn: Turn  # as the judge reads it
    finished: bool
    prompt_ids: list[int]  # the model's own
    response_ids: list[int]


class Answered(NamedTuple):
    """What two models wrote to the same prompts; lengths and texts are as the judge reads them."""

    model: Written
    baseline: Written
    instructions: dict[int, str | None]  # prompt → its text, None where it is more than one user turn
    names: Sequence[str] = ()  # `prompt_id` of each prompt
    read_as: Mapping[str, str] = {}  # `prompt_id` → `tokens_key` of what the baseline was given to answer


def tokens_key(token_ids: npt.NDArray[np.int64] | npt.NDArray[np.int32]) -> str:
    """What tokens are known by: two prompts may differ in messages and be one to a model."""
    return blake2b(token_ids.astype("<i4").tobytes(), digest_size=16).hexdigest()


def prompt_number(prompt_id: str) -> int:
    """A prompt's number, the same in every generation: an int64 of 16 hex digits."""
    return int(prompt_id, 16) - 2**63


def reading_of(judge: AnnotatorConfig) -> Callable[[Turn], str]:
    """The text of an answer as a judge is shown it."""
    if isinstance(judge, JudgeConfig):
        return partial(text, shows_reasoning=judge.shows_reasoning)
    if isinstance(judge, PairRankerConfig):
        return partial(text, shows_reasoning=False)
    return lambda turn: str(turn["content"])


def responses_in(folder: Path, manifest: GenerationManifest) -> Iterator[pa.Table]:
    """The responses of a finished generation, a table a shard."""
    for file in manifest.files:
        if file.path.startswith("responses/") and file.path.endswith(".arrow"):
            with pa.memory_map(str(folder / file.path)) as source:
                yield pa.ipc.open_stream(source).read_all()


def read_answered(folder: Path, manifest: GenerationManifest, judge: AnnotatorConfig) -> Answered:
    """Read the responses of a finished generation of a model and the baseline.

    Args:
        folder: of it.
        manifest: of it.
        judge: whose reading of them is compared and measured.

    Raises:
        SourceError: it wrote no responses.
    """
    tables = list(responses_in(folder, manifest))
    if not tables:
        message = f"{folder} holds no answers: none of its {manifest.counts.prompts:,} prompts could be asked"
        raise SourceError(message)
    table = pa.concat_tables(tables)
    numbers = [prompt_number(one) for one in table["prompt_id"].to_pylist()]
    policies = np.array(table["policy"].to_pylist(), object)
    instructions = {
        number: _instruction(turns) for number, turns in zip(numbers, table["prompt"].to_pylist(), strict=True)
    }
    prompt = np.array(numbers, np.int64)
    thinking, labels = {one["label"]: one["thinking"] for one in manifest.config["policies"]}, labels_of(manifest)
    model, baseline = (
        _written(
            table.filter(pa.array(policies == label)), prompt[policies == label], thinking[label], reading_of(judge)
        )
        for label in (labels.model, labels.baseline)
    )
    given = table.filter(pa.array(policies == labels.baseline)).select(["prompt_id", "prompt_ids"])
    read_as = {
        name: tokens_key(np.array(ids, np.int64))
        for name, ids in zip(given["prompt_id"].to_pylist(), given["prompt_ids"].to_pylist(), strict=True)
    }
    return Answered(model, baseline, instructions, sorted(set(table["prompt_id"].to_pylist())), read_as)


class BothAnswers(NamedTuple):
    """Usable answers, in the order in which the generation has them."""

    model: list[AskedAnswer]
    baseline: list[AskedAnswer]


def asked_answers(folder: Path, manifest: GenerationManifest) -> BothAnswers:
    """What both wrote that a dataset could take."""
    thinking = {one["label"]: one["thinking"] for one in manifest.config["policies"]}
    found: dict[str, list[AskedAnswer]] = {label: [] for label in thinking}
    for table in responses_in(folder, manifest):
        names = ("prompt_id", "policy", "response", "reasoning", "finished", "prompt_ids", "response_ids", "status")
        rows = zip(asked_of(table), *(table[column].to_pylist() for column in names), strict=True)
        for asked, prompt_id, policy, said, reasoning, finished, prompt_ids, response_ids, status in rows:
            if status in ("usable", "unscored"):
                turn = shown(said, reasoning, thinking[policy])
                found[policy].append(AskedAnswer(prompt_id, asked, turn, finished, prompt_ids, response_ids))
    labels = labels_of(manifest)
    return BothAnswers(found[labels.model], found[labels.baseline])


def of_prompts(answered: Answered, prompts: set[int]) -> Answered:
    """Those to some prompts."""

    def some(side: Written) -> Written:
        rows = np.array([row for row, one in enumerate(side.prompt.tolist()) if one in prompts], np.int64)
        arrays = (side.prompt[rows], side.score[rows], side.tokens[rows], side.characters[rows])
        return Written(*arrays, [side.ends[row] for row in rows], [side.texts[row] for row in rows])

    return answered._replace(
        model=some(answered.model),
        baseline=some(answered.baseline),
        names=[name for name in answered.names if prompt_number(name) in prompts],
    )


def comparisons(answered: Answered, *, compares: bool) -> Comparisons:
    """Every answer of the model with every one of the baseline's to the prompt. Lengths are characters.

    An answer without a text loses to one with a text and ties with another without. Where the judge compares, answers
    of equal text were not shown to it, and tie.

    Args:
        answered: what both wrote.
        compares: whether scores come of comparing the two, so that one answer alone has none.
    """
    ours, theirs = answered.model, answered.baseline
    scores = [ours.score.copy(), theirs.score.copy()]
    empty = [np.array([end in _NOTHING for end in side.ends], bool) for side in (ours, theirs)]
    if compares:
        for mine, their in ((0, 1), (1, 0)):
            sides = (ours, theirs)
            with_empty = np.isin(sides[mine].prompt, sides[their].prompt[empty[their]])
            usable = np.array([end in ("ended", "out_of_room") for end in sides[mine].ends], bool)
            scores[mine][with_empty & usable] = 0.0
        other = dict(zip(theirs.prompt.tolist(), range(len(theirs.prompt)), strict=True))
        for at, (prompt, text) in enumerate(zip(ours.prompt.tolist(), ours.texts, strict=True)):
            place = other.get(prompt)
            if place is not None and theirs.texts[place] == text and not empty[0][at]:
                scores[0][at] = scores[1][place] = 0.0
    finite = np.concatenate([one[np.isfinite(one)] for one in scores])
    lowest = _NO_COMPARISON if compares else float(finite.min(initial=0.0)) - 1.0
    for score, nothing in zip(scores, empty, strict=True):
        score[nothing] = lowest
    return crossed(
        Samples(ours.prompt, scores[0], ours.characters), Samples(theirs.prompt, scores[1], theirs.characters)
    )


def left_out(answered: Answered, compared: Comparisons) -> dict[str, int]:
    """Why prompts could not be compared → how many."""
    sides = (answered.model, answered.baseline)
    unusable = {
        prompt
        for side in sides
        for prompt, end in zip(side.prompt.tolist(), side.ends, strict=True)
        if end == "unusable"
    }
    there = {prompt for side in sides for prompt in side.prompt.tolist()}
    missing = there - set(compared.prompts.tolist())
    found = Counter(UNUSABLE if prompt in unusable else UNJUDGED for prompt in missing)
    return dict(found.most_common())


def record_of(written: Written, *, label: str, model: ModelRecord, compares: bool) -> AnswersRecord:
    """What is said of a model's answers by themselves."""
    scored = written.score[np.isfinite(written.score)]
    return AnswersRecord(
        label=label,
        model=model,
        responses=len(written.prompt),
        ends=dict(Counter(written.ends).most_common()),
        tokens=_lengths(written.tokens),
        characters=_lengths(written.characters),
        score=None if compares or not len(scored) else float(scored.mean()),
    )


def histogram(values: Mapping[str, Floats]) -> HistogramRecord:
    """Common bins over the middle 98 % of all finite values, so that models can be laid over each other."""
    known = {label: one[np.isfinite(one)] for label, one in values.items()}
    together = np.concatenate(list(known.values()))
    low, high = np.percentile(together, [1, 99]) if len(together) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    found = {label: np.histogram(np.clip(one, edges[0], edges[-1]), edges)[0] for label, one in known.items()}
    return HistogramRecord(edges=edges.tolist(), counts={label: one.tolist() for label, one in found.items()})


def _lengths(values: Ints) -> LengthsRecord:
    if not len(values):
        return LengthsRecord(mean=0.0, quantiles=[0.0] * len(QUANTILES))
    return LengthsRecord(mean=float(values.mean()), quantiles=np.percentile(values, QUANTILES).tolist())


def _written(table: pa.Table, prompt: Ints, thinking: Thinking, read: Callable[[Turn], str]) -> Written:
    said = zip(table["response"].to_pylist(), table["reasoning"].to_pylist(), strict=True)
    texts = [read(shown(written or "", reasoning, thinking)) for written, reasoning in said]
    scores: Sequence[float | None] = table[f"score_{JUDGE}"].to_pylist()
    return Written(
        prompt=prompt,
        score=np.array([np.nan if score is None else score for score in scores], np.float64),
        tokens=np.array([len(ids) for ids in table["response_ids"].to_pylist()], np.int64),
        characters=np.array([len(text) for text in texts], np.int64),
        ends=[_end(*row) for row in zip(table["status"].to_pylist(), table["finished"].to_pylist(), strict=True)],
        texts=texts,
    )


def _end(status: str, finished: bool) -> End:
    if status == "empty":
        return "empty"
    if status == "no_answer":
        return "no_answer"
    if status == "unusable":
        return "unusable"
    return "ended" if finished else "out_of_room"


def _instruction(turns: Sequence[dict[str, Any]]) -> str | None:
    if len(turns) != 1 or turns[0]["role"] != "user":
        return None
    text: str = turns[0]["content"]
    return text

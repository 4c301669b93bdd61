"""What distilabel's pipelines write: n generations of a prompt with ratings, and the pairs that were made of them.

Raw rows: of the task `UltraFeedback`, of `FormatTextGenerationDPO` behind it, of `PairRM`, of
argilla/distilabel-capybara-dpo-7k-binarized, of argilla/distilabel-math-preference-dpo, of argilla/magpie-ultra-v0.1::

    {"instruction": "Name three rivers.", "generations": ["Nile, Rhine, Po.", "Nile."],
     "generation_models": ["a-7b", "b-7b"], "ratings": [5, 2], "rationales": ["Three.", "One."],
     "model_name": "the-judge", "distilabel_metadata": {"raw_output_ultra_feedback_0": "Rating: 5 …"}}
    {"instruction": "Name three rivers.", "generations": ["Nile, Rhine, Po.", "Nile."], "ratings": [5, 2],
     "prompt": "Name three rivers.", "prompt_id": "5850c6…", "chosen_rating": 5, "rejected_rating": 2,
     "chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "Nile, Rhine, Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."}, {"role": "assistant", "content": "Nile."}]}
    {"input": "Name three rivers.", "candidates": ["Nile.", "Nile, Rhine, Po."], "ranks": [2, 1],
     "ranked_candidates": ["Nile, Rhine, Po.", "Nile."], "model_name": "llm-blender/PairRM"}
    {"source": "Airoboros", "conversation": [{"input": "Name three rivers.", "output": null}],
     "original_response": "Nile, Rhine, Po.", "prompt": "Name three rivers.", "new_generations": ["Nile."],
     "chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "Nile, Rhine, Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."}, {"role": "assistant", "content": "Nile."}],
     "rating_chosen": 5, "rating_rejected": 2, "chosen_model": "gpt-4", "rejected_model": "b-7b"}
    {"instruction": "Name three rivers.", "chosen_response": "Nile, Rhine, Po.", "chosen_rating": 9.0,
     "rejected_response": "Nile.", "rejected_rating": 7.0, "metadata": "{}"}
    {"instruction": "Name three rivers.", "response": "Nile, Rhine, Po.", "score": 0.9, "response_base": "Nile.",
     "score_base": 0.2, "model_name_response_base": "a-base-model"}
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import Row, SourceKind
from transforms.sources.canonical import Adapted, Pair, Prompt, Response, check_score, content_hash
from transforms.sources.endings import finished_responses
from transforms.sources.fields import number, pair, row_id
from transforms.sources.kinds.ultrafeedback import ULTRAFEEDBACK
from transforms.sources.messages import asked, holds_messages, replies, said, split
from transforms.sources.options import SourceOptions
from transforms.sources.pairing import Candidate, Completion, Pairing, is_usable, paired
from transforms.sources.rows import Fields, kind_of, opened

# Of several the first that the row has. `grouped_…` is what GroupColumns calls its columns, `input` and `rating` are
# distilabel 0.x's and PairRM's, `responses` and `scores` QualityScorer's.
PROMPTS: Final = ("instruction", "messages", "input", "prompt")
GENERATIONS: Final = ("generations", "grouped_generation", "candidates", "responses")
RATINGS: Final = ("ratings", "rating", "scores")
MODELS: Final = ("generation_models", "model_names", "grouped_model_name", "generation_model")
SIDES: Final = (("chosen", "rejected"), ("chosen_response", "rejected_response"))
NO_TEXT: Final = "generations without text: no candidates"
UNKNOWN_END: Final = "responses that are none of the generations: how they ended is not known"
NO_RATING: Final = "generations without a rating: no candidates"
_RELATIVE: Final = {"A": (1.0, 0.0), "B": (0.0, 1.0)}  # what PrometheusEval(mode="relative") calls the better of two


class DistilabelOptions(SourceOptions):
    """Pipelines rename columns as they like (`output_mappings`): each may be named.

    Attributes:
        pairing: `given` takes the row's own chosen and rejected, and pairs generations that have none as distilabel's
            formatters do, best against worst. The others pair the generations, whatever the row has beside them.
        prompt: column of the prompt, text or messages; by default the first of `instruction`, `messages`, `input` and
            `prompt`.
        generations: column of the n responses; by default the first of `generations`, `grouped_generation`,
            `candidates` and `responses`.
        ratings: column of their ratings, such as one of several aspects; by default the first of `ratings`, `rating`
            and `scores`, else PairRM's `ranks`, else PrometheusEval's `result`.
        models: column of the models that said them; by default the first of `generation_models`, `model_names`,
            `grouped_model_name` and `generation_model`. `model_name` is the judge.
    """

    kind: Literal["distilabel"]
    pairing: Literal["given"] | Pairing = "given"
    prompt: str | None = None
    generations: str | None = None
    ratings: str | None = None
    models: str | None = None


class _Generation(NamedTuple):
    response: Response
    ended: bool | None  # None where the row does not say


def adapt(row: Fields, options: DistilabelOptions) -> Adapted:
    """The row's own pair, or those of its generations; all generations are responses, with their ratings.

    Raises:
        RowError: fewer than two generations with text and a rating; not as many ratings as generations; neither
            generations nor a pair.
    """
    generations = _generations(row, options)
    sides = _sides(row)
    if options.pairing == "given" and sides:
        found = [_given(row, options, generations or (), *sides)]
    elif generations is not None:
        found = _paired(row, options, generations)
    else:
        advice = (
            "the row has its own pair: set pairing: given" if sides else "the row has no chosen and rejected either"
        )
        message = f"no {' or '.join(GENERATIONS)} to pair; {advice}, or name the column (generations)"
        raise RowError(message)
    return Adapted(found, found[0].prompt, [one.response for one in generations or ()])


def _sides(row: Fields) -> tuple[str, str] | None:
    return next((names for names in SIDES if all(row.peek(name) is not None for name in names)), None)


def _given(
    row: Fields, options: DistilabelOptions, generations: Sequence[_Generation], chosen: str, rejected: str
) -> Pair:
    better, worse = said(row, chosen), said(row, rejected)
    if len(better.turns) > 1 or len(worse.turns) > 1:
        # A conversation holds its prompt: FormatChatGenerationDPO's `prompt` is no more than its first question.
        sides = split(better, worse)
        _repeated(row, sides.prompt, row.peek(chosen))
    else:
        sides = replies(_prompt(row, options), better, worse)
    ended = [
        _ended(row, generations, text, side)
        for text, side in ((sides.chosen.content, chosen), (sides.rejected.content, rejected))
    ]
    return pair(row, options, sides, source_id=row_id(row, "id", "prompt_id"), finished=(ended[0], ended[1]))


def _ended(row: Fields, generations: Sequence[_Generation], text: str, side: str) -> bool | None:
    """How a side ended, by the generation that it is."""
    ends = {one.ended for one in generations if one.response.text == text}
    if not ends and any(one.ended is not None for one in generations):
        row.note(UNKNOWN_END)
    if len(ends) > 1:
        message = f"{side} is several generations, of which some ended and some did not"
        raise RowError(message)
    return ends.pop() if ends else None


def _repeated(row: Fields, prompt: Prompt, chosen: Any) -> None:
    """Count columns as read that only say once more what the conversation says; what says else stays unread."""
    said_there = {turn.content for turn in prompt}
    for name in PROMPTS:
        value = row.peek(name)
        if (isinstance(value, str) and value in said_there) or (isinstance(value, list) and value == chosen[:-1]):
            row.get(name)


def _paired(row: Fields, options: DistilabelOptions, generations: Sequence[_Generation]) -> list[Pair]:
    prompt = _prompt(row, options)
    asking = prompt[-1].content if prompt else ""
    candidates = []
    for one, ended in generations:
        if not is_usable(one.text):
            row.note(NO_TEXT)
        elif one.score is None:
            row.note(NO_RATING)
        else:
            candidates.append(Candidate(one.score, content_hash(asking, one.text), Completion(one.text, ended)))
    if len(candidates) < 2:
        message = f"{len(candidates)} generations have text and a rating, expected at least two"
        raise RowError(message)
    pairing = "best_vs_worst" if options.pairing == "given" else options.pairing
    source_id = row_id(row, "id", "prompt_id")
    return paired(row, options, prompt, candidates, pairing, source_id=source_id)


def _prompt(row: Fields, options: DistilabelOptions) -> Prompt:
    names = (options.prompt,) if options.prompt else PROMPTS
    name = next((name for name in names if row.peek(name) is not None), None)
    if name is None:
        message = f"{' and '.join(names)} hold no prompt; name its column (prompt)"
        raise RowError(message)
    return asked(row, name)


def _generations(row: Fields, options: DistilabelOptions) -> list[_Generation] | None:
    """All of the row's generations but those that are null; None for a row without a list of them."""
    there = [name for name in GENERATIONS if row.peek(name) is not None]
    based = row.peek("response_base") is not None or ("response_base" in row and not there and not _sides(row))
    if based and options.generations is None:  # magpie-ultra: a chat model and its base model
        texts = [row.get("response"), row.get("response_base")]
        scores = [_score(row.get(name), name) for name in ("score", "score_base")]
        models = [None, row.get("model_name_response_base")]
    else:
        name = options.generations or next(iter((*there, *(name for name in GENERATIONS if name in row))), None)
        if name is None or (_sides(row) and row.peek(name) is None):
            return None
        texts = _listed(row, name)
        scores = _scores(row, options, len(texts))
        models = _models(row, options, len(texts))
    found = []
    ends = finished_responses(row, len(texts))
    for at, (text, model, score) in enumerate(zip(texts, models, scores, strict=True)):
        if text is None:  # the model failed
            row.note(NO_TEXT)
        elif isinstance(text, str):
            named = model if isinstance(model, str) else None
            found.append(_Generation(Response(at, text, named, score, finished=ends[at] is not False), ends[at]))
        else:
            message = f"generation {at} is {kind_of(text)}, expected text or null"
            raise RowError(message)
    return found


def _scores(row: Fields, options: DistilabelOptions, count: int) -> list[float | None]:
    name = options.ratings or next((name for name in RATINGS if isinstance(opened(row.peek(name)), list)), None)
    if name is not None:
        return [_score(value, f"{name}[{at}]") for at, value in enumerate(_listed(row, name, count))]
    # The best has 1. `ranked_candidates` is not read: it is in that order only for some rankings.
    if row.peek("ranks") is not None:
        ranks = [_score(value, f"ranks[{at}]") for at, value in enumerate(_listed(row, "ranks", count))]
        return [None if rank is None else -rank for rank in ranks]
    if "result" in row and count == 2:
        result = row.get("result")
        if result is None:
            return [None, None]
        if not isinstance(result, str) or result not in _RELATIVE:
            message = f"result is {kind_of(result)}, expected A or B for the better of two generations"
            raise RowError(message)
        return list(_RELATIVE[result])
    for name in RATINGS:  # null: the judge gave no answer
        if name in row and row.peek(name) is None:
            row.get(name)
    return [None] * count


def _models(row: Fields, options: DistilabelOptions, count: int) -> list[Any]:
    name = options.models or next((name for name in MODELS if isinstance(opened(row.peek(name)), list)), None)
    return _listed(row, name, count) if name is not None else [None] * count


def _listed(row: Fields, name: str, count: int | None = None) -> list[Any]:
    value = opened(row.get(name))
    if not isinstance(value, list):
        message = f"{name} is {kind_of(value) if name in row else 'missing'}, expected a list"
        raise RowError(message)
    if count is not None and len(value) != count:
        message = f"{len(value)} {name} for {count} generations, expected equally many"
        raise RowError(message)
    return value


def _score(value: object, what: str) -> float | None:
    score = number(value, what)
    check_score(score, what)
    return score


def _looks_like(row: Row) -> bool:
    """Lists that lie beside one another, or a pair with what only distilabel's sets have beside it."""
    rated = isinstance(row.get("generations"), list) and ("ratings" in row or "result" in row)
    # 0.x's; a set with chosen and rejected beside these has an order of its own, and says so.
    old = isinstance(row.get("generations"), list) and isinstance(row.get("rating"), list) and "chosen" not in row
    ranked = isinstance(row.get("candidates"), list) and "ranks" in row
    scored = isinstance(row.get("responses"), list) and isinstance(row.get("scores"), list) and "instruction" in row
    based = "response_base" in row and "score_base" in row
    formatted = holds_messages(row.get("chosen")) and (
        row.keys() >= {"prompt_id", "chosen_rating", "rejected_rating"} or "original_response" in row
    )
    texts = row.keys() >= {"chosen_response", "rejected_response", "chosen_rating"}
    return rated or old or ranked or scored or based or formatted or texts


KIND: Final = SourceKind(
    options=DistilabelOptions,
    required=frozenset(),
    looks_like=_looks_like,
    adapt=adapt,
    about=About(
        sets={
            "argilla/distilabel-capybara-dpo-7k-binarized": "apache-2.0",
            "argilla/distilabel-math-preference-dpo": "apache-2.0",
        },
        terms="that of the set in question",
        papers=(ULTRAFEEDBACK,),
        any_set=True,
    ),
)

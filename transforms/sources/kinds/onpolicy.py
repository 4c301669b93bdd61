"""princeton-nlp's on-policy sets (SimPO): five sampled responses, best against worst by a reward model.

A raw row::

    {"prompt": "Name three rivers.", "prompt_id": "5850c6…", "all_rm_scores": [0.17, 0.12, 0.11, 0.15, 0.16],
     "all_generated_responses": ["The Nile, the Rhine and the Po.", "Nile.", "…", "…", "…"],
     "chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "The Nile, the Rhine and the Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."},
                  {"role": "assistant", "content": "Nile."}]}

Lists beside the responses may say how each ended (`all_finish_reasons`, `all_finished`) and hold its token ids
(`all_token_ids`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted, Response, check_score
from transforms.sources.endings import finished_responses
from transforms.sources.fields import Given, number, pair, row_id, token_ids
from transforms.sources.kinds.ultrafeedback import ULTRAFEEDBACK
from transforms.sources.messages import messages, split
from transforms.sources.options import SourceOptions
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields, kind_of, opened


class OnpolicyOptions(SourceOptions):
    """No keys of its own."""

    kind: Literal["onpolicy"]


# Token ids of all responses, in their order.
RESPONSE_IDS: Final = (
    "all_generated_token_ids", "all_token_ids", "all_generated_response_ids", "all_response_ids", "all_generated_ids",
    "all_output_token_ids", "response_token_ids", "response_ids", "output_token_ids", "token_ids",
)  # fmt: skip


UNRATED: Final = "pairs without a score or an end of a side: it is none of all_generated_responses"


class _Sampled(NamedTuple):
    """One response with what lies beside it in the row's lists."""

    response: Response
    ended: bool | None  # None where the row does not say
    ids: tuple[int, ...] | None


def adapt(row: Fields, options: OnpolicyOptions) -> Adapted:
    """One row, one pair, and all its responses with their scores.

    A pair's scores, ends and token ids are those of its texts; a side that is not among the responses has none.

    Raises:
        RowError: not as many scores as responses, or one that is not finite; a text that both ended and did not.
    """
    sides = split(messages(row, "chosen"), messages(row, "rejected"))
    sampled = _sampled(row, options)
    # bf16 reward models score the same text differently in another batch: the pair was made of the extremes.
    better = _the_one(sampled, sides.chosen.content, "chosen", max)
    worse = _the_one(sampled, sides.rejected.content, "rejected", min)
    if min(better.response.index, worse.response.index) < 0:
        row.note(UNRATED)
    found = pair(
        row,
        options,
        sides,
        source_id=row_id(row, "prompt_id"),
        scores=(better.response.score, worse.response.score),
        finished=(better.ended, worse.ended),
        given=Given(None, better.ids, worse.ids),
    )
    return Adapted([found], found.prompt, [one.response for one in sampled])


def _sampled(row: Fields, options: OnpolicyOptions) -> list[_Sampled]:
    texts, scores = opened(row.get("all_generated_responses")), opened(row.get("all_rm_scores"))
    if not isinstance(texts, list) or not isinstance(scores, list) or len(texts) != len(scores):
        counts = [len(part) if isinstance(part, list) else "none" for part in (texts, scores)]
        message = f"{counts[0]} all_generated_responses and {counts[1]} all_rm_scores, expected equally many"
        raise RowError(message)
    ends = finished_responses(row, len(texts))
    ids = _ids(row, len(texts)) if options.token_ids == "use" else [None] * len(texts)
    found = []
    for at, (text, raw) in enumerate(zip(texts, scores, strict=True)):
        score = number(raw, "all_rm_scores")
        check_score(score, "all_rm_scores")
        if text is not None and not isinstance(text, str):
            message = f"all_generated_responses[{at}] is {kind_of(text)}, expected text or null"
            raise RowError(message)
        if text is not None:
            response = Response(at, text, score=score, finished=ends[at] is not False)
            found.append(_Sampled(response, ends[at], ids[at]))
    return found


def _ids(row: Fields, count: int) -> list[tuple[int, ...] | None]:
    for name in RESPONSE_IDS:
        if isinstance(row.peek(name), list):
            values = row.get(name)
            if len(values) != count:
                message = f"{len(values)} {name} for {count} responses, expected equally many"
                raise RowError(message)
            return [token_ids(value, f"{name}[{at}]") for at, value in enumerate(values)]
    return [None] * count


def _the_one(
    sampled: Sequence[_Sampled], text: str, side: str, extreme: Callable[[Iterable[float]], float]
) -> _Sampled:
    """The response that a side is: of equal texts the one with the extreme score."""
    same = [one for one in sampled if one.response.text == text]
    scores = [one.response.score for one in same if one.response.score is not None]
    if scores:
        same = [one for one in same if one.response.score == extreme(scores)]
    if not same:
        return _Sampled(Response(-1, text), None, None)
    ends = {one.ended for one in same}
    if len(ends) > 1:
        message = f"{side} is several responses of one score, of which some ended and some did not"
        raise RowError(message)
    return next((one for one in same if one.ids), same[0])


SIMPO: Final = Paper(
    "meng2024simpo",
    "Meng, Yu and Xia, Mengzhou and Chen, Danqi",
    "SimPO: Simple Preference Optimization with a Reference-Free Reward",
    2024,
    "2405.14734",
)
KIND: Final = SourceKind(
    options=OnpolicyOptions,
    required=frozenset({"chosen", "rejected", "all_generated_responses", "all_rm_scores"}),
    looks_like=lambda row: "all_generated_responses" in row,
    adapt=adapt,
    about=About(
        sets={
            "princeton-nlp/llama3-ultrafeedback-armorm": "mit",
            "princeton-nlp/llama3-ultrafeedback": "mit",
            "princeton-nlp/mistral-instruct-ultrafeedback": None,
            "princeton-nlp/gemma2-ultrafeedback-armorm": "mit",
        },
        terms="that of the prompts, and the policy's own for what it said",
        languages=("en",),
        papers=(SIMPO, ULTRAFEEDBACK),
        any_set=True,
    ),
)

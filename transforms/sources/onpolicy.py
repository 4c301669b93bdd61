"""princeton-nlp's on-policy sets (SimPO): five sampled responses, best against worst by a reward model.

A raw row::

    {"prompt": "Name three rivers.", "prompt_id": "5850c6…", "all_rm_scores": [0.17, 0.12, 0.11, 0.15, 0.16],
     "all_generated_responses": ["The Nile, the Rhine and the Po.", "Nile.", "…", "…", "…"],
     "chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "The Nile, the Rhine and the Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."},
                  {"role": "assistant", "content": "Nile."}]}
"""

from typing import Final, Literal

from transforms.errors import RowError
from transforms.papers import Paper
from transforms.sources.about import About
from transforms.sources.adapter import (
    Row,
    SourceKind,
    messages,
    number,
    row_hash,
    split_conversations,
    text_id,
)
from transforms.sources.canonical import Adapted, Pair, Response, check_score
from transforms.sources.options import SourceOptions
from transforms.sources.ultrafeedback import ULTRAFEEDBACK


class OnpolicyOptions(SourceOptions):
    """No keys of its own."""

    kind: Literal["onpolicy"]


def adapt(row: Row, options: OnpolicyOptions) -> Adapted:
    """One row, one pair, and all its responses with their scores.

    A pair's scores are those of its texts; None where a side is not among the responses.

    Raises:
        RowError: not as many scores as responses, or one that is not finite.
    """
    prompt, chosen, rejected = split_conversations(
        messages(row.get("chosen"), "chosen"), messages(row.get("rejected"), "rejected")
    )
    texts, scores = row.get("all_generated_responses"), row.get("all_rm_scores")
    if not isinstance(texts, list) or not isinstance(scores, list) or len(texts) != len(scores):
        counts = [len(part) if isinstance(part, list) else "none" for part in (texts, scores)]
        message = f"{counts[0]} all_generated_responses and {counts[1]} all_rm_scores, expected equally many"
        raise RowError(message)
    responses = []
    for at, (text, raw) in enumerate(zip(texts, scores, strict=True)):
        score = number(raw, "all_rm_scores")
        check_score(score, "all_rm_scores")
        if isinstance(text, str):
            responses.append(Response(at, text, score=score))
    # bf16 reward models score the same text differently in another batch: the pair was made of the extremes.
    best = max((one.score for one in responses if one.text == chosen and one.score is not None), default=None)
    worst = min((one.score for one in responses if one.text == rejected and one.score is not None), default=None)
    pair = Pair(text_id(row.get("prompt_id")) or row_hash(row), prompt, chosen, rejected, best, worst)
    return Adapted([pair], prompt, responses)


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

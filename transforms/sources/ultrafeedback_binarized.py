"""HuggingFaceH4/ultrafeedback_binarized: UltraFeedback paired best-versus-random by its overall score.

A raw row::

    {"prompt": "Name three rivers.", "prompt_id": "5850c6…", "score_chosen": 8.5, "score_rejected": 6.0,
     "chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "Nile, Rhine, Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."}, {"role": "assistant", "content": "Nile."}],
     "messages": [{"role": "user", "content": "Name three rivers."}]}
"""

from typing import Final, Literal

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
from transforms.sources.canonical import Adapted, Pair
from transforms.sources.options import SourceOptions
from transforms.sources.ultrafeedback import ULTRAFEEDBACK


class UltraFeedbackBinarizedOptions(SourceOptions):
    """The Hub set has no split called `train`.

    Attributes:
        split: `train_prefs` is the one for preferences.
    """

    kind: Literal["ultrafeedback_binarized"]
    split: str = "train_prefs"


def adapt(row: Row, options: UltraFeedbackBinarizedOptions) -> Adapted:
    """One row, one pair, with the overall scores of both sides."""
    prompt, chosen, rejected = split_conversations(
        messages(row.get("chosen"), "chosen"), messages(row.get("rejected"), "rejected")
    )
    scores = (
        number(row.get("score_chosen"), "score_chosen"),
        number(row.get("score_rejected"), "score_rejected"),
    )
    return Adapted([Pair(text_id(row.get("prompt_id")) or row_hash(row), prompt, chosen, rejected, *scores)])


ZEPHYR: Final = Paper(
    "tunstall2023zephyr",
    "Tunstall, Lewis and Beeching, Edward and Lambert, Nathan and Rajani, Nazneen and others",
    "Zephyr: Direct Distillation of LM Alignment",
    2023,
    "2310.16944",
)
KIND: Final = SourceKind(
    options=UltraFeedbackBinarizedOptions,
    required=frozenset({"chosen", "rejected", "score_chosen", "score_rejected"}),
    looks_like=lambda row: isinstance(row.get("chosen"), list) and "score_chosen" in row,
    adapt=adapt,
    about=About(
        sets={"HuggingFaceH4/ultrafeedback_binarized": "mit"},
        languages=("en",),
        papers=(ULTRAFEEDBACK, ZEPHYR),
    ),
)

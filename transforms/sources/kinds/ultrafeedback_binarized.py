"""HuggingFaceH4/ultrafeedback_binarized: UltraFeedback paired best-versus-random by its overall score.

A raw row::

    {"prompt": "Name three rivers.", "prompt_id": "5850c6…", "score_chosen": 8.5, "score_rejected": 6.0,
     "chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "Nile, Rhine, Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."}, {"role": "assistant", "content": "Nile."}],
     "messages": [{"role": "user", "content": "Name three rivers."}]}
"""

from typing import Final, Literal

from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted
from transforms.sources.fields import number, pair, row_id
from transforms.sources.kinds.ultrafeedback import ULTRAFEEDBACK
from transforms.sources.messages import holds_messages, messages, split
from transforms.sources.options import SourceOptions
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields


class UltraFeedbackBinarizedOptions(SourceOptions):
    """The Hub set has no split called `train`.

    Attributes:
        split: `train_prefs` is the one for preferences.
    """

    kind: Literal["ultrafeedback_binarized"]
    split: str = "train_prefs"


def adapt(row: Fields, options: UltraFeedbackBinarizedOptions) -> Adapted:
    """One row, one pair, with the overall scores of both sides."""
    sides = split(messages(row, "chosen"), messages(row, "rejected"))
    scores = number(row.get("score_chosen"), "score_chosen"), number(row.get("score_rejected"), "score_rejected")
    return Adapted([pair(row, options, sides, source_id=row_id(row, "prompt_id"), scores=scores)])


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
    looks_like=lambda row: holds_messages(row.get("chosen")) and "score_chosen" in row,
    adapt=adapt,
    about=About(
        sets={"HuggingFaceH4/ultrafeedback_binarized": "mit"},
        languages=("en",),
        papers=(ULTRAFEEDBACK, ZEPHYR),
    ),
)

"""RLHFlow/pair_data_v2_80K_wsafety: a cleaned mix of preference sets, conversations with scores.

A raw row::

    {"chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "The Nile, the Rhine and the Po."}], "chosen_score": 5.0,
     "rejected": [{"role": "user", "content": "Name three rivers."},
                  {"role": "assistant", "content": "Nile."}],
     "rejected_score": 2.0}
"""

from typing import Final, Literal

from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted
from transforms.sources.fields import pair
from transforms.sources.messages import holds_messages, messages, split
from transforms.sources.options import SourceOptions
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields


class RlhflowOptions(SourceOptions):
    """No keys of its own."""

    kind: Literal["rlhflow"]


def adapt(row: Fields, options: RlhflowOptions) -> Adapted:
    """One row, one pair; the scores are the parts' own and compare only within one pair."""
    return Adapted([pair(row, options, split(messages(row, "chosen"), messages(row, "rejected")))])


RLHFLOW: Final = Paper(
    "dong2024rlhf",
    "Dong, Hanze and Xiong, Wei and Pang, Bo and Wang, Haoxiang and Zhao, Han and others",
    "RLHF Workflow: From Reward Modeling to Online RLHF",
    2024,
    "2405.07863",
)
KIND: Final = SourceKind(
    options=RlhflowOptions,
    required=frozenset({"chosen", "rejected", "chosen_score", "rejected_score"}),
    looks_like=lambda row: holds_messages(row.get("chosen")) and "chosen_score" in row and "prompt" not in row,
    adapt=adapt,
    about=About(
        sets={"RLHFlow/pair_data_v2_80K_wsafety": None},
        terms="its parts have their own (HH-RLHF, HelpSteer, SHP …); PKU-SafeRLHF is CC BY-NC 4.0",
        languages=("en",),
        papers=(RLHFLOW,),
    ),
)

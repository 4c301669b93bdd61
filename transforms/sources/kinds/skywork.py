"""Skywork/Skywork-Reward-Preference-80K-v0.2: conversations that differ in their last turn, without scores.

A raw row::

    {"source": "magpie_ultra",
     "chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "The Nile, the Rhine and the Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."},
                  {"role": "assistant", "content": "Nile."}]}
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


class SkyworkOptions(SourceOptions):
    """No keys of its own."""

    kind: Literal["skywork"]


def adapt(row: Fields, options: SkyworkOptions) -> Adapted:
    """One row, one pair: the common messages are the prompt."""
    return Adapted([pair(row, options, split(messages(row, "chosen"), messages(row, "rejected")))])


SKYWORK: Final = Paper(
    "liu2024skywork",
    "Liu, Chris Yuhao and Zeng, Liang and Liu, Jiacai and Yan, Rui and He, Jujie and others",
    "Skywork-Reward: Bag of Tricks for Reward Modeling in LLMs",
    2024,
    "2410.18451",
)
KIND: Final = SourceKind(
    options=SkyworkOptions,
    required=frozenset({"chosen", "rejected"}),
    # Other layouts have one of these beside the two conversations, and something to say with it.
    looks_like=lambda row: (
        holds_messages(row.get("chosen"))
        and row.keys().isdisjoint(("prompt", "conversations", "chosen_full", "all_generated_responses"))
        and row.keys().isdisjoint(("chosen_score", "score_chosen"))
    ),
    adapt=adapt,
    about=About(
        sets={"Skywork/Skywork-Reward-Preference-80K-v0.2": None},
        terms="its parts have their own, and a row's `source` names its part",
        languages=("en",),
        papers=(SKYWORK,),
    ),
)

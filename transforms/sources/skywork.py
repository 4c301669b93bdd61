"""Skywork/Skywork-Reward-Preference-80K-v0.2: conversations that differ in their last turn, without scores.

A raw row::

    {"source": "magpie_ultra",
     "chosen": [{"role": "user", "content": "Name three rivers."},
                {"role": "assistant", "content": "The Nile, the Rhine and the Po."}],
     "rejected": [{"role": "user", "content": "Name three rivers."},
                  {"role": "assistant", "content": "Nile."}]}
"""

from typing import Final, Literal

from transforms.papers import Paper
from transforms.sources.about import About
from transforms.sources.adapter import Row, SourceKind, messages, row_hash, split_conversations
from transforms.sources.canonical import Adapted, Pair
from transforms.sources.options import SourceOptions


class SkyworkOptions(SourceOptions):
    """No keys of its own."""

    kind: Literal["skywork"]


def adapt(row: Row, options: SkyworkOptions) -> Adapted:
    """One row, one pair: the common messages are the prompt."""
    prompt, chosen, rejected = split_conversations(
        messages(row.get("chosen"), "chosen"), messages(row.get("rejected"), "rejected")
    )
    return Adapted([Pair(row_hash(row), prompt, chosen, rejected)])


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
    looks_like=lambda row: isinstance(row.get("chosen"), list) and row.keys() <= {"chosen", "rejected", "source"},
    adapt=adapt,
    about=About(
        sets={"Skywork/Skywork-Reward-Preference-80K-v0.2": None},
        terms="its parts have their own, and a row's `source` names its part",
        languages=("en",),
        papers=(SKYWORK,),
    ),
)

r"""Anthropic/hh-rlhf: two transcripts of a dialogue that differ in the assistant's last turn.

A raw row::

    {"chosen": "\n\nHuman: Name three rivers.\n\nAssistant: The Nile, the Rhine and the Po.",
     "rejected": "\n\nHuman: Name three rivers.\n\nAssistant: The Nile."}

Sides are compared turn by turn: a character-wise common start would move what two answers share into the
prompt, and fails where one side is the beginning of the other.
"""

from typing import Final, Literal

from transforms.sources.about import About
from transforms.sources.adapter import SourceKind
from transforms.sources.canonical import Adapted
from transforms.sources.fields import pair
from transforms.sources.messages import is_transcript, split, transcript
from transforms.sources.options import SourceOptions
from transforms.sources.papers import Paper
from transforms.sources.rows import Fields


class HhRlhfOptions(SourceOptions):
    """No keys of its own."""

    kind: Literal["hh_rlhf"]


def adapt(row: Fields, options: HhRlhfOptions) -> Adapted:
    """One row, one pair: all turns before the last are the prompt."""
    chosen, rejected = (transcript(row.get(side), side) for side in ("chosen", "rejected"))
    return Adapted([pair(row, options, split(chosen, rejected))])


HH_RLHF: Final = Paper(
    "bai2022training",
    "Bai, Yuntao and Jones, Andy and Ndousse, Kamal and Askell, Amanda and Chen, Anna and others",
    "Training a Helpful and Harmless Assistant with Reinforcement Learning from Human Feedback",
    2022,
    "2204.05862",
)
KIND: Final = SourceKind(
    options=HhRlhfOptions,
    required=frozenset({"chosen", "rejected"}),
    looks_like=lambda row: is_transcript(row.get("chosen")),
    adapt=adapt,
    about=About(
        sets={"Anthropic/hh-rlhf": "mit"},
        languages=("en",),
        papers=(HH_RLHF,),
    ),
)

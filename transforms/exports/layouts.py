"""The layouts by name: of pairs, `kto` of responses (kto.py), and of answers to a chat benchmark's questions."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from transforms.exports.nemo_rl import nemo_rl_row
from transforms.exports.openrlhf import openrlhf_row
from transforms.exports.pairs import Pair
from transforms.exports.trl import trl_row

KTO: Final = "kto"


class Layout(NamedTuple):
    """What a tool reads.

    Attributes:
        row: a line, from a pair and whether the run has structure.
        tools: whether it has a place for tools and arguments of the chat template.
    """

    row: Callable[[Pair, bool], dict[str, Any]]
    tools: bool


PAIR_LAYOUTS: Final = {
    "trl": Layout(lambda pair, structured: trl_row(pair, structured=structured), tools=True),
    "nemo_rl": Layout(lambda pair, _: nemo_rl_row(pair), tools=False),
    "openrlhf": Layout(lambda pair, _: openrlhf_row(pair), tools=False),
}
LAYOUTS: Final = ("trl", KTO, "nemo_rl", "openrlhf")

# Answers of a generation for a chat benchmark's own tool, one at a time; the last makes prompts for flows.generate.
SECOND_TURNS: Final = "mt_bench_second_turns"
ANSWER_LAYOUTS: Final = ("alpaca_eval", "arena_hard", "mt_bench", SECOND_TURNS)

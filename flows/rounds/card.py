"""What a round's dataset card says of the round: which it is, whose answers its pairs are, and what became of it."""

import re
from pathlib import Path
from typing import Final

from flows.versions.output_folder import write_text
from transforms.records.rounds import RoundRecord, Rounds, WinRecord

_MARK: Final = "<!-- rounds -->"
_OURS: Final = re.compile(rf"\n*{re.escape(_MARK)}.*\Z", re.DOTALL)


def say_round(card: Path, found: Rounds, one: RoundRecord) -> None:
    """Write the section about the round at the end of its card, in place of the one that stood there."""
    if not card.is_file():  # somebody does not want one
        return
    text = _OURS.sub("", card.read_text(encoding="utf-8").rstrip("\n"))
    write_text(card, f"{text}\n\n{_MARK}\n{_section(found, one)}")


def _section(found: Rounds, one: RoundRecord) -> str:
    before = "the start" if one.number == 1 else f"round {one.number - 1}"
    policy = found.start.name if one.number == 1 else f"the policy of round {one.number - 1}"
    lines = [
        f"## Round {one.number}",
        "",
        f"The responses are those of {_plain(policy)} to {one.data.prompts:,} prompts. A policy that was trained on "
        f"these pairs wins, by a judge that they are not by ({_plain(found.judge.name)}, {_held(found)} held-out "
        "prompts):",
        "",
        f"- over the start {_rate(one.over_start)}",
    ]
    if one.number > 1:
        lines.append(f"- over the policy of {before} {_rate(one.over_previous)}")
    return "\n".join(lines) + "\n"


def _held(found: Rounds) -> str:
    return f"{found.prompts.held:,}" if found.prompts else "0"


def _rate(win: WinRecord) -> str:
    rate, equal = win.rate, win.at_equal_length
    text = f"{rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}]"
    return f"{text}, at equal length {equal.value:.1%} [{equal.low:.1%}, {equal.high:.1%}]" if equal else text


def _plain(name: str) -> str:
    """A model's name, which strangers choose, as nothing but text."""
    return re.sub(r"[^\w./ -]", "", name)[:96]

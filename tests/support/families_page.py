"""docs/reference/families.md: what the probes of a run's start find on every family's template, as a table.

python tests/support/families_page.py     # after a change of templates, probes or families
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from families import Family

    from transforms.chat.tokens import ChatTokens

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "reference" / "families.md"
_HEAD: Final = """# Model families, token for token

Before a run, {probes} conversations are tried on the policy's tokenizer and chat template, and the result is in
`manifest.json` (`template.probes`). A conversation is **exact** where `prompt_ids` are the tokens that a server would
generate from, and `prompt_ids + response_ids` the first tokens of the whole conversation as the family's own template
and tokenizer give it, up to and with the end-of-turn. Where that cannot be had, a row like it is **quarantined** with
the reason, and a model that cannot have plain responses is **refused** at the start of the run, with both token lists.

This page is made from a test (`python tests/support/families_page.py`), which holds every exact cell against
`tokenizer.apply_chat_template`. Templates are those that TRL ships, and those of families that it does not have;
vocabularies are real SentencePiece ones of Mistral's, SmolLM2's, and small ones that are trained in the test with the
families' ways to split text. A checkpoint of yours may hold another revision of its template: what counts is what the
run says.

✓ exact · – quarantined, for the reason below · **refused**: no plain response can be had
"""


def page() -> str:
    """The text of the page."""
    from families import families

    from transforms.chat.probes import PROBES
    from transforms.errors import ModelError

    names = list(PROBES)
    reasons: dict[str, int] = {}
    lines = [
        _HEAD.format(probes=len(names)),
        f"| template | vocabulary | {' | '.join(names)} | before the text |",
        f"| --- | --- |{' --- |' * (len(names) + 1)}",
    ]
    for family in families():
        try:
            chat = family.chat()
        except ModelError as error:
            number = _number(reasons, str(error).replace(family.name, "…"))
            lines.append(f"| {family.name} | {family.build} | **refused** [{number}] |{' |' * len(names)}")
            continue
        lines.append(f"| {family.name} | {family.build} | {_cells(family, names, reasons)} | {_lead(chat)} |")
    lines += ["", "## Reasons", "", *(f"{number}. {reason}" for reason, number in reasons.items()), ""]
    return "\n".join(lines)


def _cells(family: "Family", names: list[str], reasons: dict[str, int]) -> str:
    from transforms.chat.probes import PLAIN

    found = {one.name: one for one in family.probed()}
    cells = []
    for name in names:
        one = found[name]
        mark = "✓" if one.exact else f"– [{_number(reasons, _kind(one.why or ''))}]"
        cells.append(f"**refused** {mark[2:]}" if name == PLAIN and not one.exact else mark)
    return " | ".join(cells)


def _lead(chat: "ChatTokens") -> str:
    """What stands before the text of the plain probe in tokens of its own."""
    from transforms.chat.encoding import encode_prompts, encode_responses
    from transforms.chat.probes import PLAIN, PROBES

    probe = PROBES[PLAIN]
    found = encode_responses(chat, encode_prompts(chat, [probe.asked]), [probe.answer], np.array([True]), "chosen")
    lead = int(found.lead[0])
    if found.errors or not lead:
        return ""
    return " ".join(f"`{token}`" for token in chat.tokens(found.ids.row(0)[:lead])).replace("|", "\\|")


def _number(reasons: dict[str, int], reason: str) -> int:
    return reasons.setdefault(reason.replace("\n", " ").replace("|", "\\|"), len(reasons) + 1)


def _kind(why: str) -> str:
    """A reason without the texts and tokens of the one conversation that it is about."""
    kinds: Mapping[str, str] = {
        "are one token": "the beginning of the response and the end of the prompt are one token, or others together",
        "ends the prompt with": "the template ends the prompt otherwise for generating than where the response follows",
        "leaves out a part": "the template leaves out a part of the response",
        "does not write its reasoning": "the template does not write `reasoning_content` (`policy.reasoning: inline`)",
        "refuses the prompt": "the template refuses the prompt",
        "refuses it": "the template refuses the response",
        "leaves out turn": "the template leaves out a turn of the prompt",
        "does not write `tools`": "the template does not write `tools`",
        "does not write its tool_calls": "the template does not write `tool_calls`",
    }
    return next((words for part, words in kinds.items() if part in why), why)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    PAGE.write_text(page(), encoding="utf-8")

"""`python -m flows.explain RUN PAIR_ID`: what became of one pair of a finished run, and why."""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from flows.runtime.cli import prepare_process, run_command

if TYPE_CHECKING:  # the imports behind it take seconds, and --help needs none of them
    from flows.explain.facts import Explanation


def main() -> int:
    """Parse, gather, print."""
    parser = argparse.ArgumentParser(prog="python -m flows.explain", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run, e.g. runs/starter")
    parser.add_argument("pair_id", help="the column pair_id of dataset/ and dropped/, or the start of it")
    parser.add_argument("--no-raw", action="store_true", help="do not read the source again for the raw row")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    arguments = parser.parse_args()
    from flows.explain.facts import explain

    found = explain(arguments.run, arguments.pair_id, find_raw=not arguments.no_raw)
    if arguments.json:
        sys.stdout.write(json.dumps(_as_json(found), ensure_ascii=True, indent=2, default=str) + "\n")
    else:
        print_explanation(Console(soft_wrap=False), found)
    return 0


def print_explanation(console: Console, found: "Explanation") -> None:
    """The whole story, in the order in which it happened. Dataset text is shown, never interpreted."""
    row = found.row
    pair_id = row.get("pair_id") or row.get("source_id")
    console.print(Rule(Text(f"pair {pair_id} of {found.manifest.name}, version {found.manifest.version}")))
    _facts(console, [("where", found.place), ("source", f"{row['source']}, row {row['source_id']}")])
    if found.copies:
        _facts(console, [("copies", f"{found.copies} more with this id were dropped as duplicates")])
    _heading(console, "raw row")
    raw = json.dumps(_shortened(found.raw), ensure_ascii=False, indent=2, default=str)
    _say(console, raw if found.raw else found.raw_note)
    if found.quarantined:
        _heading(console, "quarantined")
        _say(console, f"in stage {row['stage']}: {row['error']}")
        return
    for side in ("chosen", "rejected"):
        _print_side(console, found, side)
    _print_completions(console, found)
    _heading(console, "verdict")
    for line in verdict_in_words(found):
        _say(console, line)


def verdict_in_words(found: "Explanation") -> list[str]:
    """Why the pair was kept or dropped: posterior and rule."""
    from transforms.report.codes_in_words import reason_in_words
    from transforms.tables.schema import SIDES

    row, config = found.row, found.manifest.config["consistency"]
    lines = [f"{row['verdict']}" + (f": {row['reason']}, {reason_in_words(row['reason'])}" if row["reason"] else "")]
    tau, delta = config["threshold"], config["delta"]
    if row["decided_by"] is None:
        lines.append("no completion was needed: the recipe does not sample" if not row["reason"] else "")
        return [line for line in lines if line]
    if row["reward_chosen"] is not None:
        margin = row["reward_chosen"] - row["reward_rejected"]
        order = "agrees" if margin > 0 else "disagrees" if margin < 0 else "sees a tie"
        lines.append(
            f"full responses: reward {row['reward_chosen']:+.3f} chosen, {row['reward_rejected']:+.3f} rejected; "
            f"the reward model {order} with the label by {abs(margin):.3f}"
        )
    values = [f"{row[name]:+.3f} {side}" for side in SIDES if row.get(name := f"value_{side}") is not None]
    if values:
        lines.append(f"values at the cuts: {', '.join(values)}")
    interval = f"95 % interval [{row['consistency_low']:.3f}, {row['consistency_high']:.3f}]"
    by = {
        "uncut": "nothing was cut, so the pair is consistent by definition",
        "proxy": f"sure enough before any completion: expected consistency {_three(row['expected'])}",
        "sampling": f"{row['n']} completions a cut side made the posterior sure (1 − δ = {1 - delta:g})",
        "n_max": f"{row['n']} completions a cut side, the most allowed, did not; the posterior mean decided",
        "stopped": f"after {row['n']} completions a cut side more were expected to prevent fewer than "
        f"{config.get('stop_below') or 0:g} wrong verdicts each (of the run's mean length), so the likelier one stands",
        "undecided": f"the budget ended after {row['n']} completions a cut side",
    }
    lines.append(f"decided by {row['decided_by']}: {by[row['decided_by']]}")
    if row["consistency"] is not None:
        lines.append(f"consistency {row['consistency']:.3f} with the label, {interval}")
    else:
        lines.append(f"consistency not sampled, {interval}")
    lines.append(f"P(consistency ≥ {tau:g}) = {row['p_keep']:.4f}" + (", audit pair" if row["audit"] else ""))
    if found.manifest.estimator:
        lines.append(f"estimator: {found.manifest.estimator.why}")
    if row.get("posterior"):
        lines += posterior_picture(row["posterior"], tau)
    return lines


def posterior_picture(parts: list[float], threshold: float) -> list[str]:
    """What is believed of a pair's consistency, drawn over 0 … 1, and where it must be above.

    Args:
        parts: probabilities of equal parts of [0, 1].
        threshold: τ.
    """
    blocks, most = " ▁▂▃▄▅▆▇█", max(parts)
    # A part that holds anything is seen: rounded up.
    bars = "".join(blocks[math.ceil(part / most * 8)] for part in parts)
    at = min(round(threshold * len(parts)), len(parts) - 1)
    return [f"consistency   0 {bars} 1", f"{' ' * (16 + at)}↑ τ = {threshold:g}"]


def _print_side(console: Console, found: "Explanation", side: Any) -> None:
    row = found.row
    kept, tail = found.texts[side]
    total, keep = len(row[f"{side}_ids"]), row[f"{side}_keep"]
    _heading(console, f"{side}: {keep} of {total} tokens kept, cut by {row[f'{side}_cut_by']}")
    text = Text(_visible(kept))
    if tail:
        text.append(" ✂ ", style="bold red")
        text.append(_visible(tail), style="dim strike")
    if row.get(f"{side}_appended_ids"):
        text.append(" + an end-of-turn that is trained on and that it did not say", style="yellow")
    console.print(Padding(text, (0, 0, 0, 2)))


def _print_completions(console: Console, found: "Explanation") -> None:
    _heading(console, "completions")
    if found.completions:
        table = Table("side", "sample", "tokens", "reward", "continuation", show_lines=False)
        for one in found.completions:
            reward = "not in the ledger" if one.reward is None else f"{one.reward:+.3f}"
            cells = (one.side, str(one.sample), str(one.tokens), reward, _visible(one.text))
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)
    if found.completions_note:
        _say(console, found.completions_note)


def _as_json(found: "Explanation") -> dict[str, Any]:
    return {
        "run": found.manifest.name,
        "version": found.manifest.version,
        "place": found.place,
        "copies": found.copies,
        "raw": found.raw,
        "raw_note": found.raw_note,
        "row": found.row,
        "cut_text": {side: tail for side, (_, tail) in found.texts.items()},
        "completions": [
            {name: getattr(one, name) for name in ("side", "sample", "text", "tokens", "reward")}
            for one in found.completions
        ],
        "completions_note": found.completions_note,
        "why": [] if found.quarantined else verdict_in_words(found),
    }


def _shortened(value: Any) -> Any:
    """The same with long lists of numbers, token ids say, in one line; --json has them whole."""
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list) and len(value) > 8 and all(isinstance(item, int | float) for item in value):
        return f"{', '.join(map(str, value[:6]))}, … ({len(value)} numbers)"
    return [_shortened(item) for item in value] if isinstance(value, list) else value


def _heading(console: Console, words: str) -> None:
    console.print()
    console.print(Text(words, style="bold cyan"))


def _facts(console: Console, facts: list[tuple[str, str]]) -> None:
    for name, value in facts:
        console.print(Text(f"{name:<8} ") + Text(_visible(value)))


def _say(console: Console, words: str) -> None:
    console.print(Padding(Text(_visible(words)), (0, 0, 0, 2)))


def _visible(text: str) -> str:
    """Escape sequences and characters that reorder a line are shown by name: a dataset must not write here."""
    from transforms.text import visible_plain

    return visible_plain(text)


def _three(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    prepare_process()
    run_command(main)

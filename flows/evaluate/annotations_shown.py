"""What the terminal shows of a chat benchmark's verdicts: a table a benchmark, and what was not judged."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from transforms.records.annotations import AnnotationCounts, AnnotationRecord, AnnotationScore
from transforms.text import visible_plain


def print_annotations(console: Console, found: Sequence[AnnotationRecord]) -> None:
    """A table a benchmark; below it the counts that are not zero."""
    for benchmark in dict.fromkeys(record.benchmark for record in found):
        mine = [record for record in found if record.benchmark == benchmark]
        table = Table(title=_safe(benchmark), title_justify="left")
        for name in ("model", "judge", "of", "over"):
            table.add_column(name)
        for name in ("judged", "", "95 % interval"):
            table.add_column(name, justify="right")
        for record in mine:
            for score in record.scores:
                names = (record.model, record.judge, score.of, score.baseline or "–")
                table.add_row(*map(_safe, names), f"{score.counts.judged:,}", *value_in_words(score))
        console.print(table)
        for record in mine:
            for score in record.scores:
                if said := counts_in_words(score.counts):
                    line = f"{record.model}, {score.of}: {said}"
                    console.print(visible_plain(line), highlight=False, markup=False)


def value_in_words(score: AnnotationScore) -> tuple[str, str]:
    """The value and its interval: percent of win rates, points with two digits."""

    def said(number: float) -> str:
        return f"{number:.1%}" if score.unit == "win_rate" else f"{number:.2f}"

    if score.value is None:
        return "–", ""
    interval = "" if score.low is None or score.high is None else f"[{said(score.low)}, {said(score.high)}]"
    return said(score.value), interval


def counts_in_words(counts: AnnotationCounts) -> str:
    """What is not an instruction that was judged once; empty where there is nothing of it."""
    parts = [
        (counts.missing, "not judged"),
        (counts.no_verdict, "without a verdict that can be read"),
        (counts.doubled, "judged again, which counts too"),
    ]
    return ", ".join(f"{number:,} {words}" for number, words in parts if number)


def _safe(name: str) -> str:
    return escape(visible_plain(name))

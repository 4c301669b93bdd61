"""papers.md: every table and figure of every paper, what came out here beside it, and what was not done and why.

Links are relative and stable, so that the page can be copied with its pictures: PAPER/ENTRY.png.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from flows.reproduce.catalogue import Catalogue
from flows.reproduce.config import Entry, Paper, Sized
from flows.reproduce.found import as_x
from flows.reproduce.numbers import as_printed, unit, with_interval, x_in_words
from flows.reproduce.run import seconds_in_words
from flows.versions.output_folder import disk_errors, write_bytes, write_text
from transforms.errors import without_secrets
from transforms.records.reproduction import Outcome, Reproduction, Series, SeriesPoint, Size
from transforms.report.markdown import markdown
from transforms.text import count, duration, one_line

PAGE: Final = "papers.md"
ROWS: Final = 12  # of a series in a table; of a longer curve some are shown
_OUTCOMES: Final[tuple[Outcome, ...]] = ("holds", "does not hold", "not told")
_OF: Final[dict[Size, str]] = {"small": "of two CPU cores", "paper": "of one H100"}
_AT: Final[dict[Size, str]] = {
    "small": "at a small size, which two CPU cores can do: the same commands on smaller models and fewer pairs",
    "paper": "at the papers' size",
}
_ERROR: Final = 300  # characters
_ONE_TRAINING: Final = " Of one training a side: this is said of these models, not of the methods."


_NOTES: Final = "What many need"
_NOTES_ANCHOR: Final = "#what-many-need"


def write_pages(
    out: Path, catalogue: Catalogue, size: Size, found: Sequence[Reproduction], failed: Mapping[str, str]
) -> Path:
    """OUT/papers.md and a picture of each entry that was redone, OUT/PAPER/ENTRY.png.

    Args:
        out: made if it is not there.
        catalogue: all papers.
        size: of this run; reproductions of another size are left out.
        found: what came out, in any order.
        failed: PAPER/ENTRY → why a step of it, or its reading, failed.

    Returns:
        The page.

    Raises:
        OutputError: the disk is full or read-only.
    """
    from transforms.report.reproduction_pictures import draw_reproduction  # with matplotlib's shapes

    there = {f"{one.paper}/{one.entry}": one for one in found if one.size == size}
    for name, paper in catalogue.papers.items():
        for entry in paper.entries:
            if (one := there.get(f"{name}/{entry.id}")) is not None:
                picture = draw_reproduction(one, kind=entry.kind, log_x=entry.log_x)
                with disk_errors(out):
                    (out / name).mkdir(parents=True, exist_ok=True)
                write_bytes(out / name / f"{entry.id}.png", picture)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    write_text(out / PAGE, render_page(catalogue, size, there, failed))
    return out / PAGE


def render_page(catalogue: Catalogue, size: Size, there: Mapping[str, Reproduction], failed: Mapping[str, str]) -> str:
    """The page's Markdown.

    Args:
        catalogue: all papers.
        size: of this run.
        there: PAPER/ENTRY → what came out.
        failed: PAPER/ENTRY → why it failed.
    """
    blocks = ["# Tables and figures of four papers, redone", _about(size)]
    blocks += [_summary(catalogue, size, there, failed), _time(there.values())]
    if claims := [claim for one in there.values() for claim in one.claims]:
        blocks.append(_luck(len(claims), sum(one.one_training for one in claims)))
    for name, paper in catalogue.papers.items():
        blocks += [f"## {_ours(paper.title)}", f"{_ours(paper.source)}", _ours(paper.known)]
        for entry in paper.entries:
            key = f"{name}/{entry.id}"
            sized = catalogue.sizes[size].get(key)
            blocks += [f"### {heading(paper, entry)}", _ours(entry.shows)]
            if key in there:
                blocks += _done(there[key], entry, sized, size)
            else:
                blocks.append(_not_done(key, entry, sized, size, failed))
    if notes := catalogue.notes.get(size):
        blocks += [f"## {_NOTES}", "\n".join(f"- **{name}**: {_ours(text)}" for name, text in notes.items())]
    return "\n\n".join(block for block in blocks if block) + "\n"


def heading(paper: Paper, entry: Entry) -> str:
    """`Table 1 of poet`, whose anchor is `table-1-of-poet`."""
    kind, _, rest = entry.id.partition("-")
    return f"{kind.capitalize()} {rest.replace('-', ' ')} of {paper.paper}"


def _about(size: Size) -> str:
    return (
        f"What `python -m flows.reproduce` made of the papers' tables and figures {_AT[size]}. In each picture the "
        "left panel has the paper's printed numbers and the right one those of this run, with 95 % intervals. A claim "
        "**holds** where the interval of the number that the paper has higher lies wholly above that of the other; "
        "where intervals overlap it is not told. Intervals that lie apart are the stricter of two ways to compare; "
        "paired differences are held against 0. Numbers that a claim rests on and that no picture has are marked as "
        "not drawn."
    )


def _time(found: Iterable[Reproduction]) -> str:
    """Steps that entries share count once."""
    seconds = {name: took for one in found for name, took in one.steps.items()}
    if not seconds:
        return ""
    return f"Together they rest on {len(seconds)} steps, which took {duration(sum(seconds.values()))}."


def _luck(tried: int, one_training: int) -> str:
    """A 95 % interval lies wholly above the truth in 2.5 % of samples; of two that lie apart it is rarer still.

    Samples of what the interval covers, that is: of prompts or pairs alone, where a side is one training.
    """
    claims = "1 claim was tried" if tried == 1 else f"{count(tried)} claims were tried"
    said = (
        f"{claims}, and none was corrected for the others. If the two sides of a claim were really equal, it would "
        "still seem to hold by luck once in forty times at most (2.5 %, beyond one end of a 95 % interval), and as "
        f"often seem not to hold: of {count(tried)} such claims {tried / 40:.1f} on average at most. That is so where "
        "an interval covers all that is random."
    )
    if not one_training:
        return said
    of = "this one" if tried == 1 else f"{count(one_training)} of them"
    return (
        f"{said} In {of} a side is one training: intervals are over prompts or pairs alone, another seed is in none of "
        "them, and such a claim may hold by luck more often. Each of them says so."
    )


def _summary(catalogue: Catalogue, size: Size, there: Mapping[str, Reproduction], failed: Mapping[str, str]) -> str:
    rows = []
    for name, paper in catalogue.papers.items():
        for entry in paper.entries:
            key = f"{name}/{entry.id}"
            title = heading(paper, entry)
            link = f"[{title}](#{title.lower().replace(' ', '-')})"
            if key not in there:
                rows.append([link, _state(key, entry, catalogue.sizes[size].get(key), failed), "", "", ""])
                continue
            outcomes = [claim.outcome for claim in there[key].claims]
            counted = [str(outcomes.count(one)) if outcomes else "–" for one in _OUTCOMES]
            rows.append([link, "done", *counted])
    return _table(["", "state", *(f"claims: {one}" for one in _OUTCOMES)], rows)


def _state(key: str, entry: Entry, sized: Sized | None, failed: Mapping[str, str]) -> str:
    if entry.nothing is not None:
        return "nothing to redo"
    if sized is not None and sized.cannot is not None:
        return "not possible at this size"
    return "failed" if key in failed else "not in this run"


def _not_done(key: str, entry: Entry, sized: Sized | None, size: Size, failed: Mapping[str, str]) -> str:
    if entry.nothing is not None:
        return f"Nothing to redo: {_ours(entry.nothing).rstrip('.')}."
    if sized is not None and sized.cannot is not None:
        return f"Not possible at this size: {_ours(sized.cannot).rstrip('.')}."
    if key in failed:
        return f"Failed: {markdown(one_line(without_secrets(failed[key]), _ERROR))}"
    return f"Not in this run. {_needs(sized, size)}".strip()


def _needs(sized: Sized | None, size: Size) -> str:
    if sized is None:
        return ""
    hours = "" if sized.hours is None else f" About {seconds_in_words(sized.hours * 3600)} {_OF[size]}."
    more = f" [Also needed]({_NOTES_ANCHOR}): {', '.join(sized.notes)}." if sized.notes else ""
    return f"Needs: {_ours(sized.needs).rstrip('.')}.{more}{hours}"


def _done(found: Reproduction, entry: Entry, sized: Sized | None, size: Size) -> list[str]:
    picture = f"![{markdown(one_line(found.title, 120))}]({found.paper}/{found.entry}.png)"
    read = f"The paper's numbers were read in {_ours(entry.printed_in)}." if entry.printed_in else ""
    claims = [
        f"- {_ours(claim.says).rstrip('.')}: **{claim.outcome}**. {markdown(claim.found).rstrip('.')}."
        f"{_ONE_TRAINING if claim.one_training else ''}"
        for claim in found.claims
    ]
    read_here = (*found.series, *found.also)
    missing = [f"- {markdown(one.label)}: {markdown(why)}" for one in read_here for why in one.missing]
    spent = sum(found.steps.values())
    steps = f"{len(found.steps)} step{'' if len(found.steps) == 1 else 's'}"
    rests = [*map(markdown, found.rests_on), *([f"{steps}, {duration(spent)}"] if found.steps else [])]
    return [
        picture,
        _numbers(found),
        "\n".join(claims),
        "No number for:\n\n" + "\n".join(missing) if missing else "",
        read,
        f"Caveat: {_ours(found.caveat)}" if found.caveat else "",
        "Rests on: " + "; ".join(rests) + "." if rests else "",
        _needs(sized, size),
    ]


def _numbers(found: Reproduction) -> str:
    """Series by x: the paper's numbers beside those here; of long curves some points, both ends among them.

    Below them what is not drawn, each number with its unit.
    """
    of = unit(found.y_here or found.y)
    labels = list(dict.fromkeys(one.label for one in (*found.printed, *found.series)))
    rows, shortened = [], 0
    for label in labels:
        printed, here = _by_x(found.printed, label), _by_x(found.series, label)
        xs = list(dict.fromkeys([*printed, *here]))
        shown = _some(xs)
        shortened += len(xs) - len(shown)
        for x in shown:
            paper = as_printed(printed[x].y) if x in printed else ""
            mine = with_interval(here[x], of) if x in here else ""
            rows.append([markdown(label), markdown(x_in_words(x)), *([paper] if found.printed else []), mine])
    for one in found.also:
        own = of if one.unit is None else one.unit
        known = _by_x([one], one.label)
        shown = _some(list(known))
        shortened += len(known) - len(shown)
        for x in shown:
            mine = f"{with_interval(known[x], own)} {markdown(own)}".rstrip()
            label = f"{markdown(one.label)} (not drawn)"
            rows.append([label, markdown(x_in_words(x)), *([""] if found.printed else []), mine])
    if not rows:
        return ""
    columns = ["series", markdown(found.x) or "x", *(["in the paper"] if found.printed else []), "here"]
    said = _quantity(found, of)
    left_out = f"{count(shortened)} points of longer curves are left out." if shortened else ""
    return _table(columns, rows) + (f"\n\n{(said + left_out).strip()}" if said or left_out else "")


def _quantity(found: Reproduction, of: str) -> str:
    """What the numbers are, where the paper's are something else; else their unit."""
    if found.y_here:
        paper = f"In the paper: {markdown(found.y)}. " if found.printed else ""
        return f"{paper}Here: {markdown(found.y_here)}. "
    return f"In {markdown(of)}. " if of else ""


def _by_x(series: Iterable[Series], label: str) -> dict[float | str, SeriesPoint]:
    """By x, where "0.5" and 0.5 are one."""
    return {as_x(point.x): point for one in series if one.label == label for point in one.points}


def _some(xs: Sequence[float | str]) -> list[float | str]:
    if len(xs) <= ROWS:
        return list(xs)
    places = sorted({round(at * (len(xs) - 1) / (ROWS - 1)) for at in range(ROWS)})
    return [xs[at] for at in places]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ours(text: str) -> str:
    """The catalogue's own words, on one line."""
    return " ".join(text.split())

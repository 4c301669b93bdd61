"""A table or figure as it came out: its series read from finished steps, its claims held against them."""

from collections.abc import Mapping
from pathlib import Path

from flows.reproduce.claims import check_units, judge
from flows.reproduce.config import Entry, Sized
from flows.reproduce.readings import read
from flows.reproduce.rests_on import rests_on
from transforms.records.reproduction import Reproduction, Size


def reproduce_entry(
    paper: str,
    entry: Entry,
    sized: Sized,
    size: Size,
    folders: Mapping[str, Path],
    seconds: Mapping[str, float],
    fingerprint: str,
) -> Reproduction:
    """What finished steps make of an entry.

    Args:
        paper: its name.
        entry: of the paper.
        sized: how it is done at this size.
        size: the size.
        folders: of finished steps, by name; those that its series read at least.
        seconds: that each step took which the entry rests on, those that they build on included.
        fingerprint: of the steps' inputs and of how they are read.

    Raises:
        ConfigError: a series that cannot be read as the catalogue says, or units that do not fit each other.
        OutputError: a record that is missing or of another version.
    """
    axis = sized.y_here or entry.y
    check_units(sized, axis)
    series, also = ([read(one, folders) for one in part] for part in (sized.series, sized.also))
    readings = [*sized.series, *sized.also]
    said = [sentence for one in readings for step in one.named for sentence in rests_on(one, folders[step])]
    return Reproduction(
        paper=paper,
        entry=entry.id,
        size=size,
        title=entry.shows,
        x=entry.x,
        y=entry.y,
        y_here=sized.y_here,
        printed=entry.printed,
        series=series,
        also=also,
        claims=[
            judge(claim, [*series, *also], axis).model_copy(update={"one_training": sized.one_training})
            for claim in sized.claims
        ],
        caveat=sized.caveat,
        rests_on=list(dict.fromkeys(said)),
        steps=dict(seconds),
        fingerprint=fingerprint,
    )

"""What a source kind's public sets say of themselves. The dataset card and data_cards/sources read it from here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from transforms.sources.papers import Paper

_HUB_URL: Final = re.compile(r"hf://datasets/(?P<id>[^/@]+/[^/@]+)")


@dataclass(frozen=True, slots=True)
class About:
    """Public sets that have a kind's layout.

    Attributes:
        sets: the licence that each states, as the Hub's id, None for none. Keys are Hub ids.
        terms: in words, what holds where a set states no licence.
        languages: of the sets, as ISO 639-1; empty where other sets share the layout.
        papers: to cite by those who use the sets.
        any_set: whether sets of other owners have this layout, too. Otherwise a file of this kind is taken for a
            copy of the one set.
    """

    sets: Mapping[str, str | None] = field(default_factory=dict)
    terms: str = ""
    languages: tuple[str, ...] = ()
    papers: tuple[Paper, ...] = ()
    any_set: bool = False

    def knows(self, path: str) -> bool:
        """Whether what lies at `path` is one of the sets, or a copy of it."""
        return not self.any_set or hub_id(path) in self.sets

    def licence(self, path: str) -> str | None:
        """The licence that the set read from `path` states; None where it states none, or is not known."""
        if hub_id(path) in self.sets or self.any_set:
            return self.sets.get(hub_id(path))
        return next(iter(self.sets.values()), None)


def hub_id(path: str) -> str:
    """`org/name` of a path on the Hub, any other path as it is."""
    match = _HUB_URL.match(path)
    return match["id"] if match else path

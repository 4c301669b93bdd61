"""Which licence data made of several sets may carry: the strictest of theirs, unless two of them exclude each other.

What is published is an adaptation: pairs are chosen, and responses cut. So of a licence only three things matter here:
whether adapted data may be shared at all, whether for any purpose, and under which licences. This is bookkeeping and
no legal advice, and the card says so.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple


class Licence(NamedTuple):
    """What a licence asks of adapted data.

    Attributes:
        id: the Hub's (https://huggingface.co/docs/hub/repositories-licenses).
        name: for people.
        url: its text.
        share_alike: the licences that adapted data may carry; none for any that asks as much.
        commercial: whether commercial use is allowed.
        adaptable: whether adapted data may be shared.
    """

    id: str
    name: str
    url: str
    share_alike: tuple[str, ...] = ()
    commercial: bool = True
    adaptable: bool = True


class Stated(NamedTuple):
    """A source and the licence that it states; None where it states none."""

    source: str
    licence: str | None


class Terms(NamedTuple):
    """The licence of the whole.

    Attributes:
        id: of the Hub; `other` where no known licence covers all of it.
        name: what `other` stands for, None for a known licence.
        why: a sentence on how it follows from the sources.
        warnings: what keeps the data from being shared or used freely.
    """

    id: str
    name: str | None
    why: str
    warnings: tuple[str, ...]


_CC: Final = "https://creativecommons.org/licenses/"
_SA_4: Final = "cc-by-sa-4.0"
_NC_SA_4: Final = "cc-by-nc-sa-4.0"
# From what asks least to what asks most: the later of two is the stricter one.
_BY_STRICTNESS: Final = (
    Licence("cc0-1.0", "CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    Licence("pddl", "ODC PDDL 1.0", "https://opendatacommons.org/licenses/pddl/"),
    Licence("unlicense", "The Unlicense", "https://unlicense.org/"),
    Licence("mit", "MIT", "https://opensource.org/license/mit"),
    Licence("bsd-2-clause", "BSD 2-Clause", "https://opensource.org/license/bsd-2-clause"),
    Licence("bsd-3-clause", "BSD 3-Clause", "https://opensource.org/license/bsd-3-clause"),
    Licence("apache-2.0", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    Licence("cdla-permissive-2.0", "CDLA Permissive 2.0", "https://cdla.dev/permissive-2-0/"),
    Licence("cdla-permissive-1.0", "CDLA Permissive 1.0", "https://cdla.dev/permissive-1-0/"),
    Licence("odc-by", "ODC-By 1.0", "https://opendatacommons.org/licenses/by/"),
    Licence("cc-by-3.0", "CC BY 3.0", f"{_CC}by/3.0/"),
    Licence("cc-by-4.0", "CC BY 4.0", f"{_CC}by/4.0/"),
    Licence("cdla-sharing-1.0", "CDLA Sharing 1.0", "https://cdla.dev/sharing-1-0/", ("cdla-sharing-1.0",)),
    Licence("odbl", "ODbL 1.0", "https://opendatacommons.org/licenses/odbl/", ("odbl",)),
    # Adapted material may carry a later version of the licence (CC BY-SA 3.0, 4b), never an earlier one.
    Licence("cc-by-sa-3.0", "CC BY-SA 3.0", f"{_CC}by-sa/3.0/", ("cc-by-sa-3.0", _SA_4)),
    Licence(_SA_4, "CC BY-SA 4.0", f"{_CC}by-sa/4.0/", (_SA_4,)),
    Licence("cc-by-nc-3.0", "CC BY-NC 3.0", f"{_CC}by-nc/3.0/", commercial=False),
    Licence("cc-by-nc-4.0", "CC BY-NC 4.0", f"{_CC}by-nc/4.0/", commercial=False),
    Licence("cc-by-nc-sa-3.0", "CC BY-NC-SA 3.0", f"{_CC}by-nc-sa/3.0/", ("cc-by-nc-sa-3.0", _NC_SA_4), False),
    Licence(_NC_SA_4, "CC BY-NC-SA 4.0", f"{_CC}by-nc-sa/4.0/", (_NC_SA_4,), False),
    Licence("cc-by-nd-4.0", "CC BY-ND 4.0", f"{_CC}by-nd/4.0/", adaptable=False),
    Licence("cc-by-nc-nd-4.0", "CC BY-NC-ND 4.0", f"{_CC}by-nc-nd/4.0/", commercial=False, adaptable=False),
)
LICENCES: Final = {licence.id: licence for licence in _BY_STRICTNESS}


def combine(stated: Sequence[Stated]) -> Terms:
    """The licence of data made of all these sources.

    Args:
        stated: each source with its licence; ids that LICENCES lacks count as unknown terms.
    """
    known = [LICENCES[one.licence] for one in stated if one.licence in LICENCES]
    strictest = max(known, key=_BY_STRICTNESS.index, default=None)
    conflicts = _conflicts(stated, strictest) if strictest else []
    unknown = _unknown(stated)
    warnings = (*conflicts, *unknown, *([_not_commercial(stated)] if any(not one.commercial for one in known) else []))
    if conflicts:
        return Terms("other", "conflicting-terms", "The licences of the sources exclude each other.", warnings)
    if strictest is None or unknown:
        so_far = f" The strictest of the known ones is {strictest.name}." if strictest else ""
        names = {one.licence for one in stated}
        name = names.pop() if len(names) == 1 else None
        return Terms("other", name or "unknown-terms", f"Not every source has known terms.{so_far}", warnings)
    return Terms(strictest.id, None, _why(strictest, known), warnings)


def _why(strictest: Licence, known: list[Licence]) -> str:
    if len(set(known)) == 1:
        return f"All of it is under {strictest.name}."
    return f"{strictest.name} asks most of the sources' licences, and the others allow it for adapted data."


def _conflicts(stated: Sequence[Stated], strictest: Licence) -> list[str]:
    found = []
    for licence in _BY_STRICTNESS:
        sources = _sources(stated, licence.id)
        if sources and not licence.adaptable:
            found.append(
                f"{licence.name} ({sources}) forbids sharing adapted data, and these pairs were chosen and cut."
            )
        elif sources and licence.share_alike and strictest.id not in licence.share_alike:
            found.append(
                f"{licence.name} ({sources}) wants adapted data under {_either(licence.share_alike)}, "
                f"and {strictest.name} ({_sources(stated, strictest.id)}) does not allow that: "
                "together they may not be shared."
            )
    return found


def _unknown(stated: Sequence[Stated]) -> list[str]:
    found = []
    for name in sorted({one.licence or "" for one in stated if one.licence not in LICENCES}):
        sources = _sources(stated, name or None)
        what = f"The terms of {name} ({sources}) are not known here" if name else f"No licence is known for {sources}"
        found.append(f"{what}: read its terms before you share or use this data.")
    return found


def _not_commercial(stated: Sequence[Stated]) -> str:
    sources = [one.source for one in stated if one.licence in LICENCES and not LICENCES[one.licence].commercial]
    return f"Commercial use is not allowed ({', '.join(sources)})."


def _either(ids: tuple[str, ...]) -> str:
    return " or ".join(LICENCES[one].name for one in ids)


def _sources(stated: Sequence[Stated], licence: str | None) -> str:
    return ", ".join(one.source for one in stated if one.licence == licence)

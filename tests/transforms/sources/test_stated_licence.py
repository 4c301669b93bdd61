"""Whose word a source's licence is."""

from pathlib import Path

import pytest

from transforms.sources.kinds import SOURCES
from transforms.sources.kinds.curated import CuratedOptions
from transforms.sources.kinds.skywork import SkyworkOptions
from transforms.sources.stated_licence import stated_licence


def stated(folder: Path, card: str | bytes | None) -> str | None:
    folder.mkdir(exist_ok=True)
    if card is not None:
        (folder / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode())
    return stated_licence(CuratedOptions(kind="curated", path=str(folder)), SOURCES["curated"].about, None)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: cc-by-4.0\n---\n# set\n", "cc-by-4.0"),
        ("---\nlicense: [mit]\n---\n", "mit"),
        ("---\r\nlicense: mit\r\n---\r\n", "mit"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", None),
        ("---\nlicense: other\nlicense_name: conflicting-terms\n---\n", None),
        ("---\nlicense: unknown\n---\n", None),
        ("---\nlicense: 'MIT | <b>'\n---\n", None),
        ("---\nlicense: 7\n---\n", None),
        ("---\n- license\n---\n", None),
        ("---\nlicense: {{\n---\n", None),
        ("# set\nlicense: mit\n", None),
        (b"---\nlicense: \xff\n---\n", None),
        (None, None),
    ],
)
def test_a_card_states_one_licence_or_none(tmp_path: Path, card: str | bytes | None, licence: str | None) -> None:
    assert stated(tmp_path / "set", card) == licence


def test_a_copy_of_a_public_set_has_that_sets_licence_whatever_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    options = SkyworkOptions(kind="skywork", path=str(tmp_path))
    assert stated_licence(options, SOURCES["skywork"].about, None) is None


def test_a_place_that_cannot_be_read_states_none() -> None:
    options = CuratedOptions(kind="curated", path="nowhere://there/x")
    assert stated_licence(options, SOURCES["curated"].about, None) is None

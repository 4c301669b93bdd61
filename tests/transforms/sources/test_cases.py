"""What becomes of every row of the small files in tests/cases, each of which says something beside role and content."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from transforms.preparation.dedupe import mark_repeats
from transforms.sources.kinds import Source
from transforms.sources.load import load_batches

CASES = Path(__file__).parents[2] / "cases"


def became(name: str, **options) -> dict[str, str]:
    """Id of a row → the pair in words, with what is not in its texts and why it is dropped; or the error."""
    parsed = TypeAdapter(Source).validate_python(
        {"kind": "preference", "path": str(CASES / f"{name}.jsonl"), **options}
    )
    (batch,) = load_batches(parsed)
    pairs = mark_repeats(batch.pairs, order={}, caps={}).pairs.to_pylist()
    found = {row["source_id"]: in_words(row) for row in pairs}
    found |= {line.row["id"]: f"quarantined: {line.error}" for line in batch.quarantined}
    assert len(found) == batch.raw_rows
    return dict(sorted(found.items()))


def in_words(row) -> str:
    turns = " / ".join(f"{turn['role'][0]} {turn['content']}" for turn in row["prompt"])
    structure = json.loads(row["structure"]) if row["structure"] else {}
    more = [f"{part}: {', '.join(value) if part != 'tools' else len(value)}" for part, value in structure.items()]
    more += [f"{side} cut" for side in ("chosen", "rejected") if not row[f"{side}_finished"]]
    more += [f"{name} {row[name]}" for name in row if name.startswith("given_") and row[name] is not None]
    if row["chosen_score"] is not None or row["rejected_score"] is not None:
        more.append(f"{row['chosen_score']} against {row['rejected_score']}")
    more += [f"dropped: {row['reason']}"] if row["reason"] else []
    return " · ".join([f"{turns} → {row['chosen']} > {row['rejected']}", *more])


def cell(text: str) -> str:
    """As it stands in a Markdown table, on one line."""
    return text.replace("\n", "⏎").replace("|", "\\|")


def table_of_the_page() -> dict[str, dict[str, str]]:
    rows = [line.strip("| ").split(" | ") for line in (CASES / "README.md").read_text().splitlines() if "| `" in line]
    found: dict[str, dict[str, str]] = {}
    for name, row, now, *_ in rows:
        found.setdefault(name.strip("`"), {})[row] = now
    return found


TABLE = table_of_the_page()


def test_the_table_has_every_file():
    assert sorted(TABLE) == sorted(path.stem for path in CASES.glob("*.jsonl"))


@pytest.mark.parametrize("name", TABLE)
def test_every_row_becomes_what_the_table_says(name):
    assert {row: cell(words) for row, words in became(name).items()} == TABLE[name]

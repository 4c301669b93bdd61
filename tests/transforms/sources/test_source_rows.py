"""A row knows what was read of it, so that what was not is counted and no adapter can forget to say so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sources_support import QUESTION, adapt, chat

from transforms.errors import RowError
from transforms.sources.kinds import Source
from transforms.sources.load import load_batches
from transforms.sources.rows import MOST_NAMES, OTHERS, Columns, Fields


def unread(row):
    return sorted(row.unread_names())


def test_what_is_asked_for_is_read_and_a_look_is_no_reading():
    row = Fields({"a": 1, "b": 2, "c": None, "d": 4})
    assert (row.get("a"), row["b"], row.get("x"), row.peek("d"), "d" in row) == (1, 2, None, 4, True)
    assert (list(row.read_names()), unread(row)) == (["a", "b"], ["d"])


def test_objects_inside_know_what_was_read_of_them_too():
    row = Fields({"list": [{"x": 1, "y": 2}, {"x": 3, "y": None, "z": 5}], "one": {"u": {"v": 6, "w": 7}}, "no": 3})
    assert [part.get("x") for part in row.objects("list")] == [1, 3]
    assert row.object("one").object("u").get("v") == 6
    assert (unread(row), row.object("no")) == (["list[].y", "list[].z", "no", "one.u.w"], None)
    assert sorted(row.read_names()) == ["list", "list[].x", "list[].x", "one", "one.u", "one.u.v"]


def test_a_list_that_holds_something_else_is_refused():
    with pytest.raises(RowError, match="list is null, expected a list"):
        Fields({}).objects("list")
    with pytest.raises(RowError, match=r"list\[1\] is the text 'x', expected an object"):
        Fields({"list": [{}, "x"]}).objects("list")


def test_rows_that_were_put_together_keep_their_columns():
    parts = [Fields({"a": 1, "b": 2}), Fields({"a": 3, "b": 4})]
    whole = Fields.of_rows(parts, key="k")
    assert (whole["key"], [part.get("a") for part in whole.rows()]) == ("k", [1, 3])
    assert (unread(whole), sorted(set(whole.read_names()))) == (["b", "b"], ["a"])
    assert whole.raw == {"key": "k", "rows": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}


def test_counts_are_of_rows_that_became_pairs_and_of_their_like_in_the_quarantine():
    columns, other = Columns(), Columns()
    for value in (1, 2, None):
        row = Fields({"a": 1, "b": value})
        row.get("a")
        columns.add(row)
    lost = Fields({"a": 1, "b": 3, "c": 4})
    other.put_aside(lost)
    columns.update(other)
    # Nobody knows whether c would have been read; b is a column that is not.
    assert (columns.unread_values(), list(columns.read)) == ({"b": 3}, ["a"])


def test_a_new_name_in_each_row_does_not_fill_the_memory():
    columns = Columns()
    for number in range(2 * MOST_NAMES):
        columns.add(Fields({f"x{number}": 1}))
    found = columns.unread_values()
    assert len(found) == MOST_NAMES + 1
    assert found[OTHERS] == MOST_NAMES


# Whatever columns stand beside a pair, each one that holds something is either read or named.
names = st.text(min_size=1, max_size=6).filter(lambda name: name not in ("prompt", "chosen", "rejected", "id"))


@given(st.dictionaries(names, st.none() | st.integers() | st.text(max_size=3), max_size=5))
def test_every_value_is_read_or_counted(extra):
    row = Fields({"prompt": QUESTION, "chosen": "a", "rejected": "b"} | extra)
    try:
        adapt("preference", row)
    except RowError:
        return
    assert set(row.unread_names()) | set(row.read_names()) >= {
        name for name, value in extra.items() if value is not None
    }
    assert not set(row.unread_names()) & set(row.read_names())


@pytest.mark.parametrize("kind", ["preference", "skywork"])
def test_fields_inside_messages_are_named_by_their_column(tmp_path, kind):
    import orjson

    rows = [{"chosen": chat(QUESTION, "a"), "rejected": chat(QUESTION, f"b{at}"), "source": "s"} for at in range(600)]
    for row in rows[:7]:
        row["chosen"][-1]["weight"] = 1
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    options = TypeAdapter(Source).validate_python({"kind": kind, "path": str(tmp_path / "x.jsonl")})
    columns = Columns()
    for batch in load_batches(options, batch_rows=100):
        columns.update(batch.columns)
    assert columns.unread_values() == {"source": 600, "chosen[].weight": 7}
    assert set(columns.read) >= {"chosen", "rejected"}

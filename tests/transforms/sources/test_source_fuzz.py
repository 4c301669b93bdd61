"""Whatever JSON stands in a kind's columns, an adapter makes pairs or refuses the row."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from transforms.errors import RowError
from transforms.sources import SOURCES, Source
from transforms.sources.adapter import row_hash
from transforms.sources.canonical import pair_ids, validate
from transforms.sources.rows import Fields

# Keys and words that the adapters look for, so that the search gets past their first check.
keys = st.sampled_from(["role", "content", "from", "value", "response", "overall_score", "annotations"])
words = st.sampled_from(["user", "assistant", "human", "gpt", "", "5", "N/A", "\n\nHuman: q\n\nAssistant: a"])
leaves = st.none() | st.booleans() | st.integers(-1, 2) | st.floats() | words | st.text(max_size=3)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


# starter gathers rows of a file that this project writes; its own tests cover it
@pytest.mark.parametrize("kind", [kind for kind in SOURCES if kind != "starter"])
@settings(max_examples=50)
@given(data=st.data())
def test_an_adapter_makes_pairs_or_refuses_the_row(kind, data):
    options = TypeAdapter(Source).validate_python({"kind": kind, "path": "./x.jsonl"})
    columns = [*SOURCES[kind].required, "prompt", "system", "source", "id"]
    row = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(columns, values)))
    SOURCES[kind].looks_like(row)
    assert len(row_hash(row)) == 16
    try:
        for pair in SOURCES[kind].adapt(Fields(row), options).pairs:
            validate(pair)
            pair_ids(pair.prompt, pair.chosen, pair.rejected)
    except RowError:
        pass

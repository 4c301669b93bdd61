"""Small runs of scored responses, by hand and by hypothesis."""

import numpy as np
from hypothesis import strategies as st

from transforms.pairing.scored import Scored


def run(*prompts, names=None, tokens=None, finished=None):
    """A run from a list a prompt: of numbers (one annotator) or of tuples (one number an annotator)."""
    rows = [np.atleast_1d(np.array(row, float)) for prompt in prompts for row in prompt]
    count, annotators = len(rows), len(rows[0]) if rows else 1
    return Scored(
        prompt=np.repeat(np.arange(len(prompts)), [len(prompt) for prompt in prompts]).astype(np.int64),
        scores=np.array(rows, float).reshape(count, annotators),
        tokens=np.array([10] * count if tokens is None else tokens, np.int64),
        finished=np.array([True] * count if finished is None else finished, bool),
        annotators=tuple(names or "abcdefgh"[:annotators]),
    )


GRADES = st.one_of(st.integers(-4, 4).map(float), st.just(float("nan")))


@st.composite
def runs(draw, annotators=2, grades=GRADES):
    """A run of whole-numbered scores, some of them missing, some responses unfinished."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    count = sum(sizes)
    rows = draw(st.lists(st.tuples(*[grades] * annotators), min_size=count, max_size=count))
    finished = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    ends = np.cumsum(sizes)
    return run(*(rows[end - size : end] for size, end in zip(sizes, ends, strict=True)), finished=finished)

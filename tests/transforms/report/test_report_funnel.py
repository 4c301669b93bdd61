"""The figures of rows: the funnel loses nothing, the rates keep their places."""

from transforms.records.manifest import Counts, RateRecord, StageRecord
from transforms.report.funnel import distinct_sources, forest, funnel, losses

COUNTS = Counts(
    raw_rows=85,
    pairs=85,
    kept=60,
    dropped={"inconsistent": 15, "tie": 5, "weight": 0},
    quarantined=5,
    splits={"train": 50, "test": 10},
    stages=[
        StageRecord(stage="load", rows_in=85, rows_out=75, dropped={"tie": 5}, quarantined=5),
        StageRecord(stage="judge", rows_in=75, rows_out=60, dropped={"inconsistent": 15}),
    ],
)


def rate(source: str, agrees: float = 0.9) -> RateRecord:
    return RateRecord(
        source=source,
        reference="label",
        pairs=9,
        sampled=9,
        rate=0.95,
        low=0.92,
        high=0.97,
        reward_agrees=agrees,
    )


def test_the_funnel_adds_up() -> None:
    bars = funnel(COUNTS)
    assert [row.pairs for row in bars] == [85, 5, 5, 15, 60]
    assert bars[0].pairs - sum(row.pairs for row in bars[1:-1]) == bars[-1].pairs


def test_each_loss_starts_where_the_one_before_leaves_off() -> None:
    lost = funnel(COUNTS)[1:-1]
    assert [round(row.left + row.width, 1) for row in lost] == [100.0, 94.1, 88.2]


def test_losses_stand_in_the_order_of_the_stages() -> None:
    names = [name for name, _ in losses(COUNTS)]
    assert names == ["quarantined: unusable rows", "tie: no side is preferred", "order not kept by the cut"]


def test_a_single_source_is_not_shown_twice() -> None:
    assert distinct_sources([rate("all"), rate("starter")]) == ["all"]
    assert distinct_sources([rate("all"), rate("a"), rate("b")]) == ["all", "a", "b"]


def test_the_axis_of_rates_reaches_down_to_the_lowest_mark() -> None:
    drawn = forest([rate("all", agrees=0.62)])
    assert drawn.ticks[0].text == "60\u00a0%"
    assert [row.kind for row in drawn.rows] == ["label", "before", *["published"] * 4]
    assert drawn.zone == 78.5  # 91.4 %, the lowest published rate, between 60 and 100
    first = drawn.rows[0]
    assert (first.low, first.at, first.high) == (80.0, 87.5, 92.5)

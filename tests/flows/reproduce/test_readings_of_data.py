"""Audits and curated runs as series: numbers of the record, shares in percent."""

import pytest
from reading_support import numbers, series, write
from report_support import audit, curve, judged, manifest, share

from transforms.errors import ConfigError, OutputError


@pytest.fixture
def audited(tmp_path):
    return write(tmp_path, "audit.json", audit())


@pytest.fixture
def curated(tmp_path):
    return write(tmp_path, "manifest.json", manifest(**judged()))


def test_consistency_of_each_method_is_in_percent_under_the_name_that_is_shown(audited):
    found = series(audited, "consistency", names={"ratio 0.5": 0.5, "poet": "POET"})
    assert numbers(found) == [(0.5, 93.0, 88.0, 98.0), ("POET", 97.0, 92.0, 100.0)]
    assert [one[:2] for one in numbers(series(audited, "consistency", against="reward"))] == [
        ("poet", 96.0), ("ratio 0.5", 92.0), ("ratio 0.25", 79.0),
    ]  # fmt: skip


def test_a_method_that_no_pair_was_audited_for_has_no_number(tmp_path):
    empty = audit().methods[0].model_copy(update={"consistency": share(0.0, 0)})
    found = series(write(tmp_path, "audit.json", audit(methods=[empty, *audit().methods[1:]])), "consistency")
    assert [point.x for point in found.points] == ["ratio 0.5", "ratio 0.25"]
    assert found.missing == ["poet: no pair was audited"]


def test_a_method_that_the_audit_lacks_is_an_error_that_names_those_it_has(audited):
    with pytest.raises(ConfigError, match=r"^series 'ours': there is no method 'poe'; there are 'poet', 'ratio 0.5'"):
        series(audited, "consistency", names={"poe": "POET"})


def test_quality_is_read_by_tokens_ratio_and_values(audited, tmp_path):
    assert numbers(series(audited, "quality")) == [
        (8.0, 0.5, 0.0, 1.0), (16.0, 1.0, 0.5, 1.5), (24.0, 2.0, 1.5, 2.5),
    ]  # fmt: skip
    assert [one[:2] for one in numbers(series(audited, "quality", by="ratio"))] == [(0.25, 0.4), (0.75, 1.5)]
    assert series(audited, "quality", by="values").missing == ["the audit has no ΔQ(k) by values"]
    valued = write(tmp_path / "valued", "audit.json", audit(values_by_tokens=curve(0.25, start=4)))
    assert [one[:2] for one in numbers(series(valued, "quality", by="values"))] == [(4.0, 0.25)]


def test_positions_are_read_by_measure_and_side_from_left_to_right(tmp_path):
    positions = audit().positions
    turned = positions[1].model_copy(update={"log_prob": positions[1].log_prob[::-1]})
    folder = write(tmp_path, "audit.json", audit(positions=[turned]))
    assert [one[:2] for one in numbers(series(folder, "position", measure="log_prob", side="rejected"))] == [
        (1.0, -3.0), (2.0, -2.0), (3.0, -1.5),
    ]  # fmt: skip
    assert [one[1] for one in numbers(series(folder, "position", measure="entropy", side="rejected"))] == [
        2.5,
        2.5,
        1.5,
    ]
    gone = series(folder, "position", measure="entropy", side="chosen")
    assert (gone.points, gone.missing) == ([], ["the audit read no chosen response by position"])


def test_a_runs_rate_is_that_of_all_pairs_or_of_sources(curated):
    assert numbers(series(curated, "rate")) == [("all", 95.0, 89.0, 98.0)]
    by_source = series(curated, "rate", against="reward", names={"starter": "here", "other": "there"})
    assert [one[:2] for one in numbers(by_source)] == [("here", 95.0), ("there", 95.0)]


def test_a_run_that_sampled_nothing_has_no_rate_no_groups_and_no_proxy(tmp_path):
    folder = write(tmp_path, "manifest.json", manifest(sampled=False))
    assert series(folder, "rate").missing == ["the run has no consistency rate against the label"]
    assert series(folder, "groups").missing == ["the run has no groups of pairs by margin"]
    assert series(folder, "proxy").missing == ["the run fitted no proxy"]


def test_a_rate_that_speaks_of_no_pair_is_no_number(tmp_path):
    rates = [one.model_copy(update={"pairs": 0}) for one in manifest().consistency]
    found = series(write(tmp_path, "manifest.json", manifest(consistency=rates)), "rate")
    assert (found.points, found.missing) == ([], ["all: the rate speaks of no pair"])


def test_groups_stand_at_their_middles_and_the_proxys_points_at_their_margins(curated):
    assert numbers(series(curated, "groups")) == [(-0.5, 90.0, 80.0, 95.0)]
    assert [one[:2] for one in numbers(series(curated, "groups", by="share_cut"))] == [(0.25, 96.0), (0.75, 85.0)]
    assert numbers(series(curated, "proxy")) == [(0.2, 75.0, 70.0, 80.0), (2.0, 90.0, 85.0, 95.0)]
    assert [one[0] for one in numbers(series(curated, "proxy", x="predicted"))] == [0.7, 0.95]


def test_a_record_that_is_missing_or_of_another_kind_is_an_error_with_its_path(tmp_path):
    with pytest.raises(OutputError, match=r"series 'ours': .*audit.json is missing: the step has not finished"):
        series(tmp_path, "quality")
    (tmp_path / "audit.json").write_text('{"name": "x"}')
    with pytest.raises(OutputError, match=r"audit.json is no Audit of this version \(\d+ problems\)"):
        series(tmp_path, "quality")

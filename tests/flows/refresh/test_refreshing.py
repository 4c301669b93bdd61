"""A refresh, without Prefect and without models: what it does, and what stays when it does not get through."""

from pathlib import Path

import pytest
from flows_support import pair, truncate_recipe, write_rows

from flows.curate.plan import Plan, plan_run
from flows.publish.release import Publication
from flows.refresh.stages import refresh_once
from flows.versions.output_folder import publish, read_manifest
from transforms.errors import ConfigError, EngineError, OutputError
from transforms.records.manifest import Manifest


class Curator:
    """Writes a manifest as a run would, and remembers for which plans."""

    def __init__(self, fail: Exception | None = None) -> None:
        self.plans: list[Plan] = []
        self.fail = fail

    def __call__(self, plan: Plan) -> Manifest:
        self.plans.append(plan)
        work = plan.folder / ".work"
        work.mkdir(parents=True, exist_ok=True)
        if self.fail:
            raise self.fail
        rows = Path(plan.recipe.sources[0].path).read_text().splitlines()
        publish(plan.folder, made(plan, version=f"{len(rows):016d}", kept=len(rows)))
        work.rmdir()
        return made(plan, version=f"{len(rows):016d}", kept=len(rows))


def made(plan: Plan, *, version: str, kept: int) -> Manifest:
    from flows_support import manifest

    empty = manifest(fingerprint=plan.fingerprint)
    return empty.model_copy(
        update={"name": plan.recipe.name, "version": version, "counts": empty.counts.model_copy(update={"kept": kept})}
    )


class Shelf:
    """A publisher that keeps what it was given."""

    def __init__(self, fail: Exception | None = None) -> None:
        self.versions: list[Manifest] = []
        self.fail = fail

    def last(self) -> Manifest | None:
        return self.versions[-1] if self.versions else None

    def publish(self, run: Path) -> Publication:
        if self.fail:
            raise self.fail
        found = read_manifest(run)
        assert found is not None
        known = any(one.version == found.version for one in self.versions)
        if not known:
            self.versions.append(found)
        tag = f"v1.{len(self.versions) - 1}.0"
        return Publication("org/unit", "url", tag, "c0", found.version, 1, 1, [], unchanged=known, newest=tag)


def add_rows(tmp_path, count):
    write_rows(tmp_path / "rows.jsonl", [pair(number) for number in range(count)])


@pytest.fixture
def recipe(tmp_path):
    return truncate_recipe(tmp_path, [pair(0), pair(1)])


def test_the_first_refresh_makes_the_run_and_the_second_has_nothing_to_do(recipe, tmp_path):
    curate = Curator()
    first = refresh_once(recipe, None, curate)
    assert (first.ran, first.changed, first.message) == (
        True,
        True,
        "refreshed (version 0000000000000002): 2 pairs kept",
    )
    second = refresh_once(recipe, None, curate)
    assert (second.ran, second.changed) == (False, False)
    assert second.message == "no change since 2026-11-21T00:00:00+00:00 (version 0000000000000002)"
    assert len(curate.plans) == 1


def test_new_rows_make_another_run_and_the_one_before_is_kept_beside_it(recipe, tmp_path):
    refresh_once(recipe, None, Curator())
    add_rows(tmp_path, 3)
    done = refresh_once(recipe, None, Curator())
    assert done.message == "refreshed (version 0000000000000003): 3 pairs kept, 2 before"
    assert read_manifest(tmp_path / "out").counts.kept == 3
    assert read_manifest(tmp_path / "out.refresh" / "previous").counts.kept == 2
    assert not (tmp_path / "out.refresh" / "next").exists()


def test_it_is_published_once_and_by_its_tag(recipe, tmp_path):
    shelf = Shelf()
    assert refresh_once(recipe, shelf, Curator()).message == "published v1.0.0 (version 0000000000000002): 2 pairs kept"
    assert refresh_once(recipe, shelf, Curator()).publication is None
    add_rows(tmp_path, 3)
    done = refresh_once(recipe, shelf, Curator())
    assert done.publication.tag == "v1.1.0"
    assert [one.counts.kept for one in shelf.versions] == [2, 3]


def test_what_is_published_already_is_not_curated_on_a_machine_that_has_no_run(recipe, tmp_path):
    shelf, curate = Shelf(), Curator()
    shelf.versions.append(made(plan_run(recipe), version="1" * 16, kept=2))
    assert not refresh_once(recipe, shelf, curate).changed
    assert curate.plans == []


def test_what_other_code_published_is_not_published_again(recipe, tmp_path):
    shelf = Shelf()
    refresh_once(recipe, None, Curator())
    shelf.versions.append(read_manifest(tmp_path / "out").model_copy(update={"fingerprint": "of older code"}))
    assert refresh_once(recipe, shelf, Curator()).publication is None


def test_other_code_that_makes_the_same_is_curated_and_is_no_change(recipe, tmp_path):
    shelf, curate = Shelf(), Curator()
    shelf.versions.append(made(plan_run(recipe), version=f"{2:016d}", kept=2).model_copy(update={"fingerprint": "old"}))
    done = refresh_once(recipe, shelf, curate)
    assert (done.ran, done.changed, done.publication.unchanged) == (True, False, True)
    assert done.message.startswith("no change")
    assert not refresh_once(recipe, shelf, curate).ran
    assert len(curate.plans) == 1


def test_a_curation_that_fails_leaves_the_last_run_and_the_last_version(recipe, tmp_path):
    shelf = Shelf()
    refresh_once(recipe, shelf, Curator())
    add_rows(tmp_path, 3)
    with pytest.raises(EngineError):
        refresh_once(recipe, shelf, Curator(EngineError("down")))
    assert read_manifest(tmp_path / "out").counts.kept == 2
    assert [one.counts.kept for one in shelf.versions] == [2]
    assert refresh_once(recipe, shelf, Curator()).message.startswith("published v1.1.0")


def test_a_run_that_could_not_be_published_waits_and_is_not_made_again(recipe, tmp_path):
    shelf = Shelf()
    refresh_once(recipe, shelf, Curator())
    add_rows(tmp_path, 3)
    shelf.fail = OutputError("the Hub is down")
    with pytest.raises(OutputError):
        refresh_once(recipe, shelf, Curator())
    assert read_manifest(tmp_path / "out").counts.kept == 2
    shelf.fail = None
    done = refresh_once(recipe, shelf, Curator(EngineError("must not be asked")))
    assert (done.ran, done.changed, done.publication.tag) == (False, True, "v1.1.0")
    assert read_manifest(tmp_path / "out").counts.kept == 3


def test_a_run_that_was_published_when_its_refresh_died_takes_its_place_at_the_next(recipe, tmp_path):
    shelf = Shelf()
    refresh_once(recipe, shelf, Curator())
    add_rows(tmp_path, 3)
    shelf.fail = OutputError("died")
    with pytest.raises(OutputError):
        refresh_once(recipe, shelf, Curator())
    shelf.versions.append(read_manifest(tmp_path / "out.refresh" / "next"))
    done = refresh_once(recipe, shelf, Curator())
    assert (done.changed, done.publication) == (False, None)
    assert read_manifest(tmp_path / "out").counts.kept == 3


def test_a_waiting_run_of_other_rows_gives_way(recipe, tmp_path):
    shelf = Shelf(OutputError("down"))
    with pytest.raises(OutputError):
        refresh_once(recipe, shelf, Curator())
    add_rows(tmp_path, 3)
    shelf.fail = None
    refresh_once(recipe, shelf, Curator())
    assert [one.counts.kept for one in shelf.versions] == [3]


def test_a_death_between_the_two_renames_is_undone_and_done_again(recipe, tmp_path):
    refresh_once(recipe, None, Curator())
    (tmp_path / "out").rename(tmp_path / "out.refresh" / "previous")
    done = refresh_once(recipe, None, Curator())
    assert not done.changed
    assert read_manifest(tmp_path / "out").counts.kept == 2


def test_a_run_of_another_name_is_not_replaced_unasked(recipe, tmp_path):
    refresh_once(recipe, None, Curator())
    other = recipe.model_copy(update={"name": "other"})
    with pytest.raises(OutputError, match=r"holds the run 'unit' .*output\.overwrite"):
        refresh_once(other, None, Curator())
    allowed = other.model_copy(update={"output": other.output.model_copy(update={"overwrite": True})})
    assert refresh_once(allowed, None, Curator()).ran


def test_files_that_are_no_runs_are_not_replaced(recipe, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"holds no run of this project \(found thesis.tex\)"):
        refresh_once(recipe, None, Curator())


def test_two_refreshes_of_one_folder_do_not_meet(recipe, tmp_path):
    def refresh_meanwhile(plan: Plan) -> Manifest:
        return refresh_once(recipe, None, Curator()).manifest

    with pytest.raises(OutputError, match="another run is writing"):
        refresh_once(recipe, None, refresh_meanwhile)


def test_a_refresh_says_that_it_copies_nothing(recipe):
    output = recipe.output.model_copy(update={"copy_to": "memory://elsewhere"})
    with pytest.raises(ConfigError, match=r"copy_to memory://elsewhere: a refresh replaces .* `repo` publishes"):
        refresh_once(recipe.model_copy(update={"output": output}), None, Curator())

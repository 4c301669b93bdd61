"""Parts prepared by processes and by Ray: the same bytes as without, whoever dies, and nothing is lost in silence."""

import os
import signal
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from flows_support import pair, truncate_recipe
from prepare_support import Running, descendants, is_alive, prepare

from flows.curate import loading, part_workers
from flows.curate.part_work import Job, PartCounts, quarantine_file
from flows.curate.plan import plan_run
from flows.curate.run import Run
from flows.recipe.curation import Recipe
from flows.recipe.preparation import PreparationConfig
from transforms.errors import ConfigError, EngineError, OutputError
from transforms.tables.parts import Parts

# 1,000 pairs, of which two spell a special token in a text; a row that is no pair, and one pair that is there twice.
ROWS = [
    *(pair(i, chosen=f"the cat sat {i} on the mat", rejected="dog" + " x" * (i % 7)) for i in range(998)),
    pair(7, chosen="evil <|im_end|> text"),
    pair(8, chosen="more <|im_end|> text"),
    pair(9, chosen="the cat sat 9 on the mat", rejected="dog x x"),
    {"prompt": "no pair", "chosen": "", "rejected": None},
]
PART = 64
PARTS = 16  # 1,001 pairs that load, 64 a part
TWO = {"workers": 2}
RAY = {"workers": 2, "on": "ray"}


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFERENCE_CURATION_CACHE", str(tmp_path / "cache"))


def recipe_of(folder: Path, preparation: dict[str, object], rows: list[object] = ROWS, **changes: object) -> Recipe:
    folder.mkdir()
    return truncate_recipe(folder, rows, preparation=preparation, **changes)


def new_run(recipe: Recipe) -> Run:
    work = Path(recipe.output.dir)
    work.mkdir()
    return Run(plan_run(recipe), work)


@pytest.fixture
def alone(tmp_path):
    return prepare(recipe_of(tmp_path / "alone", {}), tmp_path / "alone" / "work", PART)


def test_one_process_prepares_all_parts_and_counts_every_row(alone):
    load, prepared, judged = alone.stages
    assert (load["rows_in"], load["rows_out"], load["quarantined"]) == (1002, 1001, 1)
    assert (prepared["rows_in"], prepared["rows_out"], prepared["quarantined"]) == (1001, 998, 2)
    assert prepared["dropped"] == {"duplicate": 1}
    assert judged["rows_out"] == 998
    assert (len(alone.parts), len(alone.quarantine)) == (PARTS, 3)


@pytest.mark.slow
def test_two_processes_make_the_same_bytes_counts_and_quarantine(tmp_path, alone):
    assert prepare(recipe_of(tmp_path / "two", TWO), tmp_path / "two" / "work", PART) == alone


@pytest.mark.slow
def test_two_processes_make_the_same_version_of_shuffled_rows(tmp_path, alone):
    found = prepare(recipe_of(tmp_path / "two", TWO, ROWS[::-1]), tmp_path / "two" / "work", PART)
    assert (found.version, found.files) == (alone.version, alone.files)
    assert len(found.quarantine) == 3


@pytest.mark.slow
def test_filters_on_scores_count_the_same_in_two_processes(tmp_path):
    rows = [{**pair(i), "chosen_score": 2, "rejected_score": i % 3} for i in range(90)] + [pair(i) for i in (91, 92)]
    for name, preparation in (("one", {}), ("two", TWO)):
        run = new_run(recipe_of(tmp_path / name, preparation, rows, filters={"min_score_margin": 2}))
        loading.prepare_parts(run, loading.load(run))
        assert run.stages[-1].dropped == {"min_score_margin": 30, "tie": 30}
        assert (run.unmeasured, run.scored) == ({"min_score_margin": 2}, 90)


@pytest.mark.slow
def test_a_run_of_nothing_but_bad_rows_has_one_empty_part_in_two_processes_too(tmp_path):
    rows = [pair(i, chosen="bad <|im_end|> text") for i in range(3)]
    found = prepare(recipe_of(tmp_path / "two", TWO, rows), tmp_path / "two" / "work", PART)
    assert (len(found.parts), len(found.quarantine)) == (1, 3)


@pytest.mark.slow
def test_a_process_that_is_killed_in_the_middle_changes_no_byte_and_no_process_is_left(tmp_path, alone):
    running = Running(recipe_of(tmp_path / "two", TWO), tmp_path / "two" / "work", PART)
    running.wait_for_parts(2)
    workers = [pid for pid, name in descendants(running.process.pid).items() if "spawn_main" in name]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    found, said = running.result()
    assert found == alone
    assert "a worker died; part" in said
    assert not any(map(is_alive, workers))


@pytest.mark.slow
def test_workers_end_when_the_run_is_killed(tmp_path):
    running = Running(recipe_of(tmp_path / "two", TWO), tmp_path / "two" / "work", PART)
    running.wait_for_parts(1)
    workers = [pid for pid, name in descendants(running.process.pid).items() if "spawn_main" in name]
    running.process.kill()
    running.process.communicate()  # returns when nobody holds the pipes any more: the workers are gone
    assert len(workers) == 2
    assert not any(map(is_alive, workers))


@pytest.mark.slow
def test_two_workers_of_ray_one_of_them_killed_make_the_same_bytes_and_leave_no_process(tmp_path, alone):
    running = Running(recipe_of(tmp_path / "ray", RAY), tmp_path / "ray" / "work", PART)
    running.wait_for_parts(2)
    killed = None
    while killed is None:  # a worker's name says what it does; between two parts it is ray::IDLE
        ours = descendants(running.process.pid)
        killed = next((pid for pid, name in ours.items() if name.startswith("ray::work")), None)
        assert running.process.poll() is None
    os.kill(killed, signal.SIGKILL)
    assert len(list(running.work.glob("prepared/part-*.arrow"))) < PARTS
    found, said = running.result()
    assert found == alone, said
    assert not any(map(is_alive, ours))


@pytest.mark.slow
def test_a_worker_with_another_tokenizer_is_refused(tmp_path, monkeypatch):
    recipe = recipe_of(tmp_path / "two", TWO)
    job = loading._job

    def other(run, marked):
        return job(run, marked)._replace(makers=job(run, marked).makers.replace('"tokenizer": "', '"tokenizer": "0'))

    monkeypatch.setattr(loading, "_job", other)
    with pytest.raises(ConfigError, match=r"a worker on .* has other tokenizer than this run: its token ids could be"):
        prepare(recipe, tmp_path / "two" / "work", PART)


def dies(_job: Job, _number: int) -> PartCounts:
    os._exit(1)


@pytest.mark.slow
def test_a_part_that_kills_every_worker_ends_the_run_and_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(part_workers, "work", dies)
    job = Job("", None, None, "", "", "", "", 1)
    with part_workers.open_workers(PreparationConfig(workers=2), job) as workers:
        workers.begin(12)
        with pytest.raises(EngineError, match=r"the workers of part 12 died 4 times. Most often memory is short"):
            workers.next_done()


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    job = Job("", None, None, "", "", "", "", 1)
    config = PreparationConfig(on="ray")
    with (
        pytest.raises(ConfigError, match=r"pip install 'preference-curation\[ray\]'"),
        part_workers.open_workers(config, job),
    ):
        pass


def counts(rows_in=4, rows_out=3, quarantined=1):
    return PartCounts(rows_in, rows_out, quarantined, {}, 0, 0, 0, asked_for_the_date=False)


@pytest.fixture
def prepared(tmp_path):
    """A folder with part 3: three pairs, and one that is quarantined."""
    parts = Parts(tmp_path / "prepared")
    parts.write(3, pa.table({"x": [1, 2, 3]}))
    quarantine_file(parts, 3).write_text("{}\n")
    return parts


def test_a_part_that_is_as_its_worker_says_passes(prepared):
    loading._check_part(prepared, 3, counts(), 4)


@pytest.mark.parametrize("lost", ["part-00003.arrow", "quarantine-00003.jsonl"])
def test_a_part_that_its_worker_wrote_elsewhere_is_refused_by_name(prepared, lost):
    (prepared.folder / lost).unlink()
    with pytest.raises(OutputError, match=rf"{lost}, and it is not there.*a disk that they share"):
        loading._check_part(prepared, 3, counts(), 4)


@pytest.mark.parametrize(
    ("said", "rows"),
    [(counts(rows_out=2, quarantined=2), 4), (counts(), 5), (counts(rows_in=5), 5), (counts(quarantined=2), 4)],
)
def test_rows_that_do_not_add_up_are_refused_with_the_part(prepared, said, rows):
    with pytest.raises(OutputError, match=rf"part-00003.arrow has 3 pairs; {rows} went in"):
        loading._check_part(prepared, 3, said, rows)


def test_a_part_that_is_missing_at_the_end_is_refused_by_name(prepared):
    with pytest.raises(
        OutputError, match=r"4 parts were to be prepared and 4 were.*part-00000.arrow, part-00001.arrow"
    ):
        loading._check_all_parts(prepared, 4, 4)


def test_a_part_that_was_never_asked_for_is_refused_by_name(prepared):
    for number in range(3):
        prepared.write(number, pa.table({"x": [1]}))
    loading._check_all_parts(prepared, 4, 4)
    with pytest.raises(OutputError, match=r"3 parts were to be prepared and 3 were.*part-00003.arrow are missing or"):
        loading._check_all_parts(prepared, 3, 3)


def test_quarantined_rows_that_are_not_in_the_file_are_refused(tmp_path, prepared):
    run = new_run(recipe_of(tmp_path / "one", {}))
    run.prepared = prepared
    with pytest.raises(OutputError, match=r"quarantine-00003.jsonl has 1 rows, .* it wrote 2"):
        loading._take_quarantine(run, 3, counts(quarantined=2))


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_refused_with_its_address(address):
    job = Job("", None, None, "", "", "", "", 1)
    said = (
        rf"ray has no cluster at {address}: .*refused.*start one there \(ray start --head\), or set preparation.ray_ad"
    )
    with (
        pytest.raises(ConfigError, match=said),
        part_workers.open_workers(PreparationConfig(on="ray", ray_address=address), job),
    ):
        pass

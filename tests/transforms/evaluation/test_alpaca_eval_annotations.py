"""AlpacaEval's files of verdicts: rates by hand, what is missing, doubled or not its layout."""

import alpaca_eval_world as world
import pytest
from flows_support import write_rows

from flows.evaluate.annotation_config import AlpacaEvalAnnotations
from flows.evaluate.annotations import fingerprints, read_annotations
from transforms.errors import ConfigError, SourceError
from transforms.evaluation.alpaca_eval_annotations import preference
from transforms.evaluation.annotated import Row


def write_world(folder):
    """The benchmark's two files."""
    gamed = world.write_gamed(folder / "df_gamed.csv")
    return str(write_rows(folder / "alpaca_eval.jsonl", world.instructions())), str(gamed)


def read(folder, rows, **keys):
    path = write_rows(folder / "annotations.jsonl", rows)
    [found] = read_annotations([AlpacaEvalAnnotations(kind="alpaca_eval", path=str(path), **keys)])
    return found


def test_the_win_rate_is_the_mean_preference_and_failures_are_counted(tmp_path):
    rows = [
        row | {"preference": value} for row, value in zip(world.annotations("weak"), (2, 1.5, 0, 1, None), strict=False)
    ]
    found = read(tmp_path, rows)
    assert (found.benchmark, found.model, found.judge) == ("AlpacaEval 2", "weak", "made")
    [score] = found.scores
    assert (score.of, score.baseline, score.value, score.verdicts) == ("all", "baseline", 0.5, 4)  # (1 + ½ + ½ + 0) / 4
    counts = score.counts
    assert (counts.lines, counts.judged, counts.no_verdict, counts.doubled, counts.missing) == (5, 4, 1, 0, None)


def test_the_length_controlled_rate_is_the_packages_in_any_order(tmp_path):
    questions, gamed = write_world(tmp_path)
    rows = world.annotations("longer")
    found = read(tmp_path, rows[::-1], questions=questions, gamed=gamed)
    plain, controlled = found.scores
    assert 100 * plain.value == pytest.approx(68.17665127047351, abs=1e-9)
    assert controlled.of == "length-controlled"
    assert 100 * controlled.value == pytest.approx(49.463068761363246, abs=1e-6)
    assert controlled.low < controlled.value < controlled.high
    assert controlled.verdicts == 79
    fewer = read(tmp_path, rows[4:], questions=questions, gamed=gamed)
    assert fewer.scores[0].counts.missing == 4


def test_another_file_of_gamed_baselines_is_another_evaluation(tmp_path):
    questions, gamed = write_world(tmp_path)
    path = str(write_rows(tmp_path / "annotations.jsonl", world.annotations("weak")))
    file = AlpacaEvalAnnotations(kind="alpaca_eval", path=path, questions=questions, gamed=gamed)
    before = fingerprints([file])
    text = (tmp_path / "df_gamed.csv").read_text()
    (tmp_path / "df_gamed.csv").write_text(text.replace("0,", "0.0,", 1))
    assert fingerprints([file]) != before


@pytest.mark.parametrize(
    ("value", "said"),
    [(2.5, "preference is 2.5"), (0.5, "preference is 0.5"), ("1", "preference is the text"), (True, "preference is")],
)
def test_a_preference_of_another_kind_is_refused(value, said):
    with pytest.raises(SourceError, match=said):
        preference(Row("f: line 3", {"preference": value}))


def test_what_is_not_of_the_benchmark_or_of_one_model_is_refused(tmp_path):
    questions, gamed = write_world(tmp_path)
    rows = world.annotations("weak")
    with pytest.raises(SourceError, match="verdicts on 1 instructions that `questions` does not have"):
        read(tmp_path, [*rows, rows[0] | {"instruction": "another"}], questions=questions)
    with pytest.raises(ConfigError, match="verdicts on 2 models"):
        read(tmp_path, [*rows, *world.annotations("longer")])
    with pytest.raises(SourceError, match="the baseline is another"):
        read(tmp_path, [*rows, rows[0] | {"generator_1": "other"}])
    with pytest.raises(SourceError, match="no length-controlled rate: 4 judgements with a preference"):
        read(tmp_path, rows[:4], questions=questions, gamed=gamed)
    with pytest.raises(SourceError, match="output_2 is null"):
        read(tmp_path, [row | {"output_2": None} for row in rows], questions=questions, gamed=gamed)
    with pytest.raises(ValueError, match=r"name alpaca_eval\.json as questions"):
        AlpacaEvalAnnotations(kind="alpaca_eval", path="x.json", gamed=gamed)


def test_an_empty_output_has_a_length(tmp_path):
    questions, gamed = write_world(tmp_path)
    rows = world.annotations("weak")
    rows[0] |= {"output_2": "", "preference": 1.0}
    assert read(tmp_path, rows, questions=questions, gamed=gamed).scores[1].verdicts == 79

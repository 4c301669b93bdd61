"""A generation's answers for AlpacaEval, Arena-Hard and MT-Bench: exact files, joins by text, and what is refused."""

import json
import sys
from datetime import datetime

import pandas as pd
import pytest
from export_support import lines
from flows_support import model_folders, write_rows
from generation_support import World, generation, run

import flows.export.answers as answers_module
from flows.export.__main__ import main
from transforms.errors import ConfigError, SourceError
from transforms.sources.canonical import content_hash

HOSTILE = 'one\ntwo\r\nthree\u2028four\u2029five\x85six "q" \\ </script><b> 👩🏽‍🚀 \u202e {"role": "x"}'
INSTRUCTIONS = [
    {"instruction": "Name a river.", "output": "The Rhine.", "generator": "ref", "dataset": "helpful_base"},
    {"instruction": HOSTILE + "?", "output": "No.", "generator": "ref", "dataset": "koala"},
    {"instruction": "Name a hill.", "output": "Zugspitze.", "generator": "ref", "dataset": "koala"},
]
ARENA = [
    {"uid": "u3", "category": "hard_prompt", "subcategory": "coding", "prompt": HOSTILE + "?"},
    {"uid": "u1", "category": "hard_prompt", "subcategory": "coding", "prompt": "Name a river."},
    {"uid": "u2", "category": "creative_writing", "subcategory": "creative_writing", "prompt": "Name a hill."},
]
MT_BENCH = [
    {"question_id": 82, "category": "writing", "turns": [HOSTILE + "?", "Why?"]},
    {"question_id": 81, "category": "math", "turns": ["Name a river.", "Which is longer?"], "reference": ["a", "b"]},
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return model_folders(tmp_path_factory.mktemp("models"), context=1024)


@pytest.fixture
def world(monkeypatch):
    found = World(monkeypatch)
    found.says = lambda prompt, sample: f"{said_to(prompt)} {sample}"
    return found


@pytest.fixture(scope="module")
def river(tmp_path_factory, models):
    """A run of one prompt, for tests that write nothing."""
    with pytest.MonkeyPatch.context() as patch:
        World(patch)
        return answered(tmp_path_factory.mktemp("river") / "run", models, ["Name a river."])


def said_to(prompt):
    """`answer` and the length of the last user turn, so that every question has an answer of its own."""
    return f"answer {len(prompt.rsplit('<|im_start|>user' + chr(10), 1)[1].split('<|im_end|>')[0])}"


def answered(folder, models, rows, **changes):
    """A finished generation in `folder`, two responses a prompt."""
    folder.mkdir(exist_ok=True)
    policy = {"n": 2, "max_new_tokens": 256} | changes.pop("policy", {})
    run(generation(folder, models, rows, policy=policy, **changes))
    return folder / "out"


def export(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["export", *map(str, words)])
    assert main() == 0


def record(run_folder):
    return json.loads((run_folder / "exports" / "export.json").read_text())


def ended(run_folder):
    return datetime.fromisoformat(json.loads((run_folder / "manifest.json").read_text())["finished_at"]).timestamp()


def counts(run_folder):
    found = record(run_folder)["counts"]
    return {name: number for name, number in found.items() if number}


def test_alpaca_eval_gets_its_own_instructions_in_the_order_of_its_file(tmp_path, models, world, monkeypatch):
    out = answered(tmp_path / "run", models, INSTRUCTIONS)
    benchmark = tmp_path / "alpaca_eval.json"
    benchmark.write_text(json.dumps(INSTRUCTIONS))
    export(monkeypatch, out, "--to", "alpaca_eval", "--benchmark", benchmark, "--model", "my-model")
    path = out / "exports" / "alpaca_eval" / "model_outputs.json"
    expected = [
        {"dataset": "helpful_base", "instruction": "Name a river.", "output": "answer 13 0", "generator": "my-model"},
        {
            "dataset": "koala",
            "instruction": HOSTILE + "?",
            "output": f"answer {len(HOSTILE) + 1} 0",
            "generator": "my-model",
        },
        {"dataset": "koala", "instruction": "Name a hill.", "output": "answer 12 0", "generator": "my-model"},
    ]
    assert json.loads(path.read_text()) == expected
    assert pd.read_json(path).to_dict("records") == expected  # as alpaca_eval.utils.load_or_convert_to_dataframe
    assert counts(out) == {"questions": 3, "answered": 3, "prompts": 3}
    assert (record(out)["further"], record(out)["status"]) == (3, {"usable": 3})


def test_an_answer_with_hostile_text_is_written_as_the_model_said_it(tmp_path, models, world, monkeypatch):
    world.says = lambda _prompt, sample: HOSTILE if sample == 0 else "seven"
    rows = [{"uid": "u", "category": "x", "prompt": "Name a river."}]
    out = answered(tmp_path / "run", models, rows)
    question = write_rows(tmp_path / "question.jsonl", rows)
    export(monkeypatch, out, "--to", "arena_hard", "--benchmark", question)
    path = out / "exports/arena_hard/data/arena-hard-v2.0/model_answer/policy.jsonl"
    assert len(path.read_text().splitlines()) == 1
    assert json.loads(path.read_text())["messages"][1]["content"]["answer"] == HOSTILE
    export(monkeypatch, out, "--to", "alpaca_eval")
    [row] = json.loads((out / "exports/alpaca_eval/model_outputs.json").read_text())
    assert row == {"instruction": "Name a river.", "output": HOSTILE, "generator": "policy"}


def test_without_the_benchmarks_file_the_instructions_are_those_of_the_run(tmp_path, models, world, monkeypatch):
    out = answered(tmp_path / "run", models, ["Name a river.", {"prompt": "Name a hill.", "system": "Be brief."}])
    export(monkeypatch, out, "--to", "alpaca_eval")
    rows = json.loads((out / "exports/alpaca_eval/model_outputs.json").read_text())
    assert sorted(row["instruction"] for row in rows) == ["Name a hill.", "Name a river."]
    assert all("dataset" not in row for row in rows)


def test_prompts_that_are_no_instruction_need_the_benchmarks_file(tmp_path, models, world, monkeypatch):
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    out = answered(tmp_path / "run", models, ["Name a river.", {"messages": talk}])
    with pytest.raises(ConfigError, match=r"1 of 2 prompts of .* are a single instruction, expected all; name"):
        export(monkeypatch, out, "--to", "alpaca_eval")
    benchmark = write_rows(tmp_path / "alpaca_eval.json", INSTRUCTIONS[:1])
    export(monkeypatch, out, "--to", "alpaca_eval", "--benchmark", benchmark)
    assert counts(out) == {"questions": 1, "answered": 1, "prompts": 2, "foreign": 1}


def test_arena_hard_gets_a_line_an_id_found_by_text(tmp_path, models, world, monkeypatch, capsys):
    out = answered(tmp_path / "run", models, ARENA)
    question = write_rows(tmp_path / "question.jsonl", ARENA[::-1])
    export(monkeypatch, out, "--to", "arena_hard", "--benchmark", question, "--model", "mine-7b")
    path = out / "exports/arena_hard/data/arena-hard-v2.0/model_answer/mine-7b.jsonl"
    answers = ["answer 12 0", "answer 13 0", f"answer {len(HOSTILE) + 1} 0"]
    assert lines(path) == [
        {
            "uid": row["uid"],
            "ans_id": content_hash("mine-7b", row["uid"], answer),
            "model": "mine-7b",
            "messages": [
                {"role": "user", "content": row["prompt"]},
                {"role": "assistant", "content": {"answer": answer}},
            ],
            "tstamp": ended(out),
        }
        for row, answer in zip(ARENA[::-1], answers, strict=True)
    ]
    printed = capsys.readouterr().out
    assert "3 of 3 questions are answered by policy, called mine-7b; 0 missing." in printed
    assert "3 further responses are left out: the first to each prompt is taken." in printed
    before = path.read_bytes()
    export(monkeypatch, out, "--to", "arena_hard", "--benchmark", question, "--model", "mine-7b")
    assert path.read_bytes() == before  # no clock and no random id
    page = (out / "exports" / "README.md").read_text()
    assert "add_markdown_info.py --dir data/arena-hard-v2.0/model_answer" in page


def test_style_metadata_has_gpt4os_tokens_and_the_benchmarks_counts(tmp_path, models, world, monkeypatch):
    monkeypatch.setattr(answers_module, "gpt4o_tokens", lambda: len)
    world.says = lambda _prompt, _sample: "# A\n- b\n1. c\n**d** __e__\n```\n# f\n- g\n```"
    out = answered(tmp_path / "run", models, ARENA[1:2])
    question = write_rows(tmp_path / "question.jsonl", ARENA[1:2])
    export(monkeypatch, out, "--to", "arena_hard", "--benchmark", question, "--style-metadata")
    [row] = lines(out / "exports/arena_hard/data/arena-hard-v2.0/model_answer/policy.jsonl")
    assert list(row["metadata"]) == ["token_len", "header_count", "list_count", "bold_count"]  # read by their place
    assert row["metadata"] == {
        "token_len": 40,
        "header_count": {"h1": 1, "h2": 0, "h3": 0, "h4": 0, "h5": 0, "h6": 0},
        "list_count": {"ordered": 1, "unordered": 1},
        "bold_count": {"**": 1, "__": 1},
    }


def test_without_gpt4os_vocabulary_style_metadata_is_an_error_that_says_so(tmp_path, models, world, monkeypatch):
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    out = answered(tmp_path / "run", models, ARENA[1:2])
    question = write_rows(tmp_path / "question.jsonl", ARENA[1:2])
    with pytest.raises(ConfigError, match=r"counts tokens of gpt-4o with tiktoken, which cannot: .*add_markdown_info"):
        export(monkeypatch, out, "--to", "arena_hard", "--benchmark", question, "--style-metadata")
    assert not (out / "exports").exists()


def test_mt_bench_second_turns_are_asked_behind_the_policys_own_answers(tmp_path, models, world, monkeypatch):
    first = answered(tmp_path / "first", models, MT_BENCH)
    question = write_rows(tmp_path / "question.jsonl", MT_BENCH)
    export(monkeypatch, first, "--to", "mt_bench_second_turns", "--benchmark", question, "--out", tmp_path / "turns")
    prompts = lines(tmp_path / "turns/mt_bench_second_turns/prompts.jsonl")
    ones = [f"answer {len(HOSTILE) + 1} 0", "answer 13 0"]
    assert prompts == [
        {
            "id": str(row["question_id"]),
            "messages": [
                {"role": "user", "content": row["turns"][0]},
                {"role": "assistant", "content": answer},
                {"role": "user", "content": row["turns"][1]},
            ],
        }
        for row, answer in zip(MT_BENCH, ones, strict=True)
    ]
    second = answered(tmp_path / "second", models, prompts[::-1])
    export(monkeypatch, first, "--to", "mt_bench", "--benchmark", question, "--second", second, "--model", "mine")
    path = first / "exports/mt_bench/data/mt_bench/model_answer/mine.jsonl"
    twos = ["answer 4 0", "answer 16 0"]
    assert lines(path) == [
        {
            "question_id": row["question_id"],
            "answer_id": content_hash("mine", str(row["question_id"]), one, two),
            "model_id": "mine",
            "choices": [{"index": 0, "turns": [one, two]}],
            "tstamp": ended(second),
        }
        for row, one, two in zip(MT_BENCH, ones, twos, strict=True)
    ]
    assert counts(first) == {"questions": 2, "answered": 2, "prompts": 2, "second_prompts": 2}
    assert record(first)["status"] == {"usable": 4}


def test_second_turns_behind_other_first_answers_are_refused(tmp_path, models, world, monkeypatch):
    first = answered(tmp_path / "first", models, MT_BENCH)
    question = write_rows(tmp_path / "question.jsonl", MT_BENCH)
    export(monkeypatch, first, "--to", "mt_bench_second_turns", "--benchmark", question, "--out", tmp_path / "turns")
    prompts = lines(tmp_path / "turns/mt_bench_second_turns/prompts.jsonl")
    prompts[0]["messages"][1]["content"] = "another answer"
    second = answered(tmp_path / "second", models, prompts)
    with pytest.raises(SourceError, match=r"answered 1 by policy, 1 are missing.*Missing: 82 \(.*1 second turns stand"):
        export(monkeypatch, first, "--to", "mt_bench", "--benchmark", question, "--second", second)


def test_an_empty_first_answer_has_no_second_turn(tmp_path, models, world, monkeypatch):
    world.says = lambda prompt, _sample: "" if "river" in prompt else "x"
    first = answered(tmp_path / "first", models, MT_BENCH)
    question = write_rows(tmp_path / "question.jsonl", MT_BENCH)
    with pytest.raises(SourceError, match=r"1 of 2 questions have an empty first answer.*81 \('Name a river\.'\)"):
        export(monkeypatch, first, "--to", "mt_bench_second_turns", "--benchmark", question)


def test_both_turns_are_of_one_model(tmp_path, models, world, monkeypatch):
    first = answered(tmp_path / "first", models, MT_BENCH)
    question = write_rows(tmp_path / "question.jsonl", MT_BENCH)
    export(monkeypatch, first, "--to", "mt_bench_second_turns", "--benchmark", question, "--out", tmp_path / "turns")
    prompts = lines(tmp_path / "turns/mt_bench_second_turns/prompts.jsonl")
    second = answered(tmp_path / "second", models, prompts)
    manifest = json.loads((second / "manifest.json").read_text())
    manifest["voices"][0]["model"]["fingerprint"] = "0" * 16
    (second / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=r"expected one model for both turns"):
        export(monkeypatch, first, "--to", "mt_bench", "--benchmark", question, "--second", second)


def test_missing_doubled_and_foreign_questions_are_counted_and_missing_ones_refused(
    tmp_path, models, world, monkeypatch
):
    rows = [*INSTRUCTIONS[:2], INSTRUCTIONS[0] | {"output": "The Po."}, *INSTRUCTIONS[2:]]
    benchmark = tmp_path / "alpaca_eval.json"
    benchmark.write_text(json.dumps(rows))
    out = answered(tmp_path / "run", models, ["Name a river.", HOSTILE + "?", "Nobody asks this."])
    words = (out, "--to", "alpaca_eval", "--benchmark", benchmark)
    with pytest.raises(SourceError) as refused:
        export(monkeypatch, *words)
    message = str(refused.value)
    assert "alpaca_eval.json has 4 questions (1 repeated)" in message
    assert "answered 3 by policy, 1 are missing, and 1 prompts are none of it" in message
    assert "Missing: row 4 ('Name a hill.')" in message
    assert "--allow-missing: its rate is then of the others" in message
    export(monkeypatch, *words, "--allow-missing")
    assert counts(out) == {
        "questions": 4, "doubled": 1, "answered": 3, "missing": 1, "prompts": 3, "foreign": 1
    }  # fmt: skip
    written = json.loads((out / "exports/alpaca_eval/model_outputs.json").read_text())
    assert [(row["instruction"], row["output"]) for row in written] == [
        ("Name a river.", "answer 13 0"),
        (HOSTILE + "?", f"answer {len(HOSTILE) + 1} 0"),
        ("Name a river.", "answer 13 0"),
    ]


def test_a_file_of_which_nothing_is_answered_is_refused_whatever_may_be_missing(tmp_path, models, world, monkeypatch):
    out = answered(tmp_path / "run", models, ["Nobody asks this."])
    question = write_rows(tmp_path / "question.jsonl", ARENA)
    with pytest.raises(SourceError, match=r"answered 0 by policy, 3 are missing"):
        export(monkeypatch, out, "--to", "arena_hard", "--benchmark", question, "--allow-missing")


def test_mt_bench_may_miss_nothing(tmp_path, models, world, monkeypatch):
    first = answered(tmp_path / "first", models, MT_BENCH[:1])
    question = write_rows(tmp_path / "question.jsonl", MT_BENCH)
    with pytest.raises(SourceError, match=r"1 are missing.*Missing: 81 .*MT-Bench's gen_judgment\.py ends where"):
        export(monkeypatch, first, "--to", "mt_bench_second_turns", "--benchmark", question)
    with pytest.raises(ConfigError, match=r"--allow-missing is of --to alpaca_eval or arena_hard"):
        export(monkeypatch, first, "--to", "mt_bench", "--benchmark", question, "--allow-missing")


def test_of_several_policies_one_has_to_be_named(tmp_path, models, world, monkeypatch):
    policy = {"model": str(models[0]), "engine": "transformers", "dtype": "float32", "max_new_tokens": 24, "n": 1}
    world.says = lambda prompt, _sample: "short" if "Be brief." in prompt else "quite long"
    policies = [policy, policy | {"label": "brief", "system_prompt": "Be brief."}]
    out = answered(tmp_path / "run", models, ["Name a river."], policies=policies)
    with pytest.raises(ConfigError, match=r"answers of 2 policies \(policy, brief\); say whose: --policy policy"):
        export(monkeypatch, out, "--to", "alpaca_eval")
    with pytest.raises(ConfigError, match=r"has no policy 'other'; it has policy, brief"):
        export(monkeypatch, out, "--to", "alpaca_eval", "--policy", "other")
    export(monkeypatch, out, "--to", "alpaca_eval", "--policy", "brief")
    assert json.loads((out / "exports/alpaca_eval/model_outputs.json").read_text()) == [
        {"instruction": "Name a river.", "output": "short", "generator": "brief"}
    ]


def test_what_the_model_said_is_written_whether_or_not_it_is_of_use_in_pairs(tmp_path, models, world, monkeypatch):
    world.says = lambda prompt, _sample: "" if "hill" in prompt else "and then …"
    out = answered(tmp_path / "run", models, ["Name a river.", "Name a hill."])
    export(monkeypatch, out, "--to", "alpaca_eval")
    rows = json.loads((out / "exports/alpaca_eval/model_outputs.json").read_text())
    assert {row["instruction"]: row["output"] for row in rows} == {"Name a river.": "and then …", "Name a hill.": ""}
    assert (record(out)["status"], record(out)["unfinished"]) == ({"empty": 1, "usable": 1}, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "arena_hard"], "--to arena_hard needs the benchmark's own questions"),
        (["--to", "mt_bench", "--benchmark", "q.jsonl"], "needs the answers to second turns: --second RUN"),
        (["--to", "alpaca_eval", "trl"], "stands alone; found alpaca_eval trl"),
        (["--to", "trl", "--policy", "policy"], "--policy is of --to alpaca_eval or arena_hard"),
        (["--to", "alpaca_eval", "--style-metadata"], "--style-metadata is of --to arena_hard"),
        (["--to", "alpaca_eval", "--score", "reward"], "--score decides labels of kto"),
        (["--to", "alpaca_eval", "--model", "../up"], "'../up' cannot name a file"),
    ],
)
def test_flags_that_do_not_fit_are_one_message(river, monkeypatch, words, message):
    with pytest.raises(ConfigError) as refused:
        export(monkeypatch, river, *words)
    assert message in str(refused.value)


def test_a_curated_run_has_no_answers(tmp_path, monkeypatch):
    from published_support import finished_run

    finished_run(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"is a curated run, which has no answers of a policy"):
        export(monkeypatch, tmp_path / "run", "--to", "alpaca_eval")

"""The command line of `flows.decode`."""

import shlex
from io import StringIO
from pathlib import Path

import pytest
import yaml
from decode_support import decodings, of_a_file
from docs_support import Page, module_of
from rich.console import Console

from flows.decode.__main__ import parse, print_decodings
from flows.decode.config import DecodeConfig
from flows.runtime.config_files import CONFIGS
from transforms.errors import ConfigError

RECIPES = sorted((CONFIGS / "decode").glob("*.yaml"))


def test_run_and_policy_are_enough():
    config = parse(["runs/mine", "--policy", "./trained"])
    assert (config.run, config.out, config.reference) == (Path("runs/mine"), Path("runs/mine-decode"), None)
    assert config.mix == (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)


def test_each_flag_replaces_its_own_grid_and_an_empty_one_turns_a_rule_off():
    config = parse(
        [
            "runs/mine",
            "--policy",
            "./trained",
            "--mix",
            "0",
            "1",
            "--length",
            "--kl",
            "0.3",
            "--max-tokens",
            "99",
            "--dtype",
            "float32",
        ]
    )
    assert (config.mix, config.length, config.kl) == ((0.0, 1.0), (), (0.3,))
    assert (config.max_tokens, config.dtype) == (99, "float32")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--temperature", "0"],
            r"--temperature: expected a number above 0 and at most 5: at 0 a KL would be infinite \(found '0'\)",
        ),
        (["--mix", "0", "x"], r"--mix: expected a finite number, 0 or more \(found 'x'\)"),
        (["--length", "1.5"], r"--length: expected a whole number, 0 or more \(found '1\.5'\)"),
        (["--kl", "inf"], r"--kl: expected a finite number, 0 or more \(found 'inf'\)"),
        (["--dtype", "fp16"], r"^--dtype: expected auto, bfloat16 or float32 \(found 'fp16'\)$"),
        (["--prompts", "1"], "--max-prompts: Input should be greater than or equal to 2"),
        (["--max-prompts", "1"], "--max-prompts: Input should be greater than or equal to 2"),
        (["--prompts", "8", "--max-prompts", "9"], "prompts is the number 8, and max_prompts is 9: leave one out"),
        (["--prompts", "{"], "--prompts is no JSON"),
        (["--prompts", '{"kind": "prompts"}'], r"--prompts\.0\.prompts\.path: Field required"),
        (
            ["--prompts", "a.jsonl", "b.jsonl", '{"kind": "prompts", "path": "c.jsonl", "label": "prompts"}'],
            "both called",
        ),
        (
            ["--prompts", '{"kind": "prompts", "path": "c.jsonl", "max_pairs_per_prompt": 1}'],
            "means nothing of prompts",
        ),
        (["--chat-template", "x.jinja"], "--chat-template and --chat-template-kwargs are for a policy without a run"),
        (["--chat-template-kwargs", "{}x"], "--chat-template-kwargs is no JSON"),
        (["--run", "runs/other"], "two runs: runs/mine and that of --run, runs/other"),
        (["--mix", "--length", "--kl"], "no rule to compare"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_its_flag(flags, message):
    with pytest.raises(ConfigError, match=message):
        parse(["runs/mine", "--policy", "./trained", *flags])


def test_all_values_that_do_not_fit_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        parse(["runs/mine", "--policy", "./trained", "--max-prompts", "1", "--temperature", "0"])
    assert str(caught.value) == (
        "--max-prompts: Input should be greater than or equal to 2 (found '1'); "
        "--temperature: expected a number above 0 and at most 5: at 0 a KL would be infinite (found '0')"
    )


def test_a_number_of_prompts_is_how_many_are_taken_as_it_was_before_prompts_had_files():
    old, new = (parse(["runs/mine", "--policy", "./trained", flag, "32"]) for flag in ("--prompts", "--max-prompts"))
    assert old == new
    assert (old.max_prompts, old.prompts) == (32, [])
    assert old.settings()["prompts"] == 32
    assert parse(["runs/mine", "--policy", "./trained"]).settings()["prompts"] == 64
    assert "max_prompts" not in old.settings()


def test_prompts_are_files_or_sources_as_json():
    source = '{"kind": "ultrafeedback", "path": "openbmb/UltraFeedback", "limit": 9}'
    config = parse(["runs/mine", "--policy", "./trained", "--prompts", "mine.jsonl", source, "--max-prompts", "7"])
    assert [(one.kind_name, one.path, one.limit) for one in config.prompts] == [
        ("prompts", "mine.jsonl", None),
        ("ultrafeedback", "openbmb/UltraFeedback", 9),
    ]
    assert (config.max_prompts, config.out) == (7, Path("runs/mine-decode"))


ALONE = {"--policy": "./p", "--reference": "./r", "--reward": "./m", "--prompts": "x.jsonl", "--out": "runs/x"}


def test_a_command_without_a_run_names_all_that_a_run_would_lend():
    config = parse([word for both in ALONE.items() for word in both])
    assert (config.run, config.out, config.name) == (None, Path("runs/x"), "x")
    assert (config.policy, config.reference, config.reward, config.prompts[0].path) == ("./p", "./r", "./m", "x.jsonl")


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("--policy", "the trained policy"),
        ("--reference", "what it was trained from"),
        ("--reward", "scores the responses"),
        ("--prompts", "a file of them"),
        ("--out", "the folder for the result"),
    ],
)
def test_what_is_missing_without_a_run_is_named_and_nothing_else(left_out, said):
    with pytest.raises(ConfigError) as caught:
        parse([word for flag, value in ALONE.items() if flag != left_out for word in (flag, value)])
    assert str(caught.value) == f"missing: {left_out} ({said}); without a run nothing else says them"


def test_a_run_says_all_but_the_policy():
    with pytest.raises(ConfigError) as caught:
        parse(["runs/mine", "--kl", "0.1", "0.5"])
    assert str(caught.value) == "missing: --policy (the trained policy); no run says it"


def test_a_yaml_file_holds_the_same_keys_and_flags_stand_over_it(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "policy: ./p\nreference: ./r\nreward: ./m\nout: runs/x\nkl: [0.1]\n"
        "prompts: [x.jsonl, {kind: prompts, path: y.jsonl, label: y}]\nmax_tokens: 9\n"
    )
    config = parse([str(path), "--kl", "0.2", "0.3", "--max-tokens", "5"])
    assert (config.run, config.kl, config.max_tokens) == (None, (0.2, 0.3), 5)
    assert [(one.path, one.label) for one in config.prompts] == [("x.jsonl", None), ("y.jsonl", "y")]
    assert not config.trust_remote_code
    ours = parse([str(path), "--run", "runs/mine", "--out", "elsewhere"])
    assert (ours.run, ours.out) == (Path("runs/mine"), Path("elsewhere"))
    path.write_text("policy: ./p\nrun: runs/mine\ntrust_remote_code: true\n")
    assert (parse([str(path)]).out, parse([str(path)]).trust_remote_code) == (Path("runs/mine-decode"), True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: runs/mine\npolcy: ./p\npolicy: ./p\n", "polcy: no such key; did you mean policy"),
        ("run: runs/mine\npolcy: ./p\n", r"\n  policy: missing\n  polcy: no such key; did you mean policy\?$"),
        ("policy: ./p\nrefrence: ./r\n", r":\n  refrence: no such key; did you mean reference\?$"),
        ("policy: ./p\n", r"\n  missing: reference \(what .*, reward \(.*, prompts \(.*, out \(the folder"),
        ("run: r\npolicy: ./p\nmix: []\nlength: []\nkl: []\n", "at least one value of mix, length or kl$"),
        ("run: r\npolicy: ./p\nchat_template: x\n", r"\n  chat_template and chat_template_kwargs are for"),
        ("", "mine.yaml is empty, expected a mapping"),
        ("run: r\npolicy: ./p\ntemperature: 0\n", r"temperature: expected a number above 0 .* \(found 0\)$"),
        ("run: r\npolicy: ./p\nmix: [abc]\n", r"mix\.0: expected a finite number, 0 or more \(found 'abc'\)$"),
        ("run: runs/mine\npolicy: ./p\nmix: 0\n", "mix: expected a list"),
        ("run: runs/mine\npolicy: ./p\nprompts: [{kind: prompt, path: x}]\n", r"there is no 'prompt'.*prompts"),
    ],
)
def test_what_does_not_fit_in_a_yaml_file_is_named_by_its_key(text, message, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        parse([str(path)])
    with pytest.raises(
        ConfigError, match=r"there is no recipe .*none\.yaml; shipped ones: starter\.yaml in .*/decode$"
    ):
        parse([str(tmp_path / "none.yaml")])


@pytest.mark.parametrize("path", RECIPES, ids=[p.stem for p in RECIPES])
def test_every_shipped_recipe_loads(path):
    found = parse([str(path)])
    assert (found.run, found.policy, found.out) == (
        Path("runs/starter"),
        "./runs/starter-dpo/model",
        Path("runs/starter-decode"),
    )


def test_the_file_of_the_how_to_says_what_its_flags_say():
    page = Page("docs/how-to/decode.md")
    commands = [shlex.split(one)[3:] for one in page.commands() if module_of(one) == "flows.decode"]
    typed = next(words for words in commands if words[:3] == ["--prompts", "alpaca_eval.json", "--max-prompts"])
    [block] = [one for one in page.blocks("yaml") if one.text.startswith("# my-decoding.yaml\n")]
    assert DecodeConfig(**yaml.safe_load(block.text)) == parse(typed)
    shown = next(words for words in commands if words[0] == "runs/starter")
    assert parse(shown) == parse([str(CONFIGS / "decode" / "starter.yaml")])


def test_a_number_of_prompts_without_a_run_is_said_to_be_how_many_and_that_a_file_is_missing():
    with pytest.raises(ConfigError) as caught:
        parse([word for both in (ALONE | {"--prompts": "12"}).items() for word in both])
    assert str(caught.value) == (
        "missing: --prompts (a file of them); without a run nothing else says them. The 12 of --prompts is how many "
        "are taken, which is --max-prompts now"
    )
    with pytest.raises(ConfigError, match=r"^missing: --policy [^;]*; no run says it$"):
        parse(["runs/mine", "--prompts", "12"])


def test_help_says_what_each_flag_takes(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    text = capsys.readouterr().out
    for words in (
        "usage: python -m flows.decode [RUN | FILE.yaml] --policy MODEL",
        "--max-prompts N ",
        "--chat-template-kwargs JSON\n",
        "--dtype {auto,bfloat16,float32}\n",
        "--out FOLDER ",
        "--kl [B ...] ",
    ):
        assert words in text
    assert text.count("older of a curated run") == 1


def test_the_output_folder_is_the_one_that_is_named():
    assert parse(["runs/mine", "--policy", "./trained", "--out", "elsewhere"]).out == Path("elsewhere")


def test_the_terminal_shows_every_rule_and_what_was_left_out():
    out = StringIO()
    print_decodings(Console(file=out, width=160), decodings(), Path("runs/d"), unchanged=True)
    text = out.getvalue()
    for words in (
        "a = 1.5",
        "t = 16",
        "b = 0.2",
        "[+1.48, +2.27]",
        "2 prompts without room",
        "3 responses",
        "decode.html",
    ):
        assert words in text
    assert "prompts      of" not in text
    assert "warning" not in text
    assert "Nothing changed since 2026-11-21T00:00:00+00:00: no model was loaded." in text


def test_the_terminal_says_what_became_of_the_prompts_of_a_file():
    out = StringIO()
    print_decodings(Console(file=out, width=160), of_a_file(), Path("runs/d"), unchanged=False)
    said = out.getvalue()
    assert (
        "prompts      of prompts (./my[bold]prompts.jsonl): 80 read, 64 answered, 2 without room for a response, "
        "4 doubled, 3 in quarantine.jsonl, 7 beyond max_prompts\n"
    ) in said
    assert "warning      5 of the answered prompts are in the training split of unit\n" in said
    assert "left out     " not in said

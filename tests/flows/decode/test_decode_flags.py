"""The command line of `flows.decode`."""

from io import StringIO
from pathlib import Path

import pytest
from decode_support import decodings
from rich.console import Console

from flows.decode.__main__ import parse, print_decodings
from transforms.errors import ConfigError


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
        (["--temperature", "0"], "--temperature: Input should be greater than 0"),
        (["--mix", "0", "x"], "--mix: Input should be a valid number"),
        (["--length", "1.5"], "--length: Input should be a valid integer"),
        (["--kl", "inf"], "--kl: Input should be a finite number"),
        (["--prompts", "1"], "--prompts: Input should be greater than or equal to 2"),
        (["--mix", "--length", "--kl"], "no rule to compare"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_its_flag(flags, message):
    with pytest.raises(ConfigError, match=message):
        parse(["runs/mine", "--policy", "./trained", *flags])


def test_all_values_that_do_not_fit_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        parse(["runs/mine", "--policy", "./trained", "--prompts", "1", "--temperature", "0"])
    assert str(caught.value) == (
        "--prompts: Input should be greater than or equal to 2 (found '1'); "
        "--temperature: Input should be greater than 0 (found '0')"
    )


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
    assert "Nothing changed since 2026-11-21T00:00:00+00:00: no model was loaded." in text

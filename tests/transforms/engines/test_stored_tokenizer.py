"""A kept tokenizer gives what transformers' own does, text for text, id for id and error for error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from families import families, family
from tests_support import tiny_tokenizer
from tokenizers.pre_tokenizers import PreTokenizer

from transforms.chat.probes import try_all
from transforms.chat.tokens import ChatTokens
from transforms.engines import stored_tokenizer
from transforms.engines.kept_results import keep_result
from transforms.engines.stored_tokenizer import StoredTokenizer, chat_tokenizer
from transforms.engines.tokenizer import context_length, load_tokenizer
from transforms.engines.tokenizer_files import tokenizer_files
from transforms.errors import ModelError

ROOT = Path(__file__).parents[3]
# One of each kind of vocabulary and template: SentencePiece, Unigram, byte-level, a date, tools, reasoning, parts.
SOME = ("zephyr", "smolvlm", "gemma3", "qwen3", "gptoss", "llama3_2")
NAMES = [one.name for one in families()]


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    # Of what is kept alone: the starter model, whose vocabulary some families have, is not made anew for each test.
    monkeypatch.setattr("transforms.engines.kept_results.cache_dir", lambda: tmp_path / "cache")


def saved(which, tmp_path):
    folder = tmp_path / "tokenizer"
    which.tokenizer().save_pretrained(folder)
    return folder


def small(tmp_path):
    """A tokenizer for the tests that keep one and look for it: a large vocabulary would cost them seconds."""
    folder = tmp_path / "tokenizer"
    tiny_tokenizer().save_pretrained(folder)
    return folder


def chat(tokenizer, which):
    return ChatTokens(tokenizer, kwargs=which.kwargs)


def outcome(make):
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - templates raise what they like
        return type(error), str(error)


def check_same(which, tmp_path):
    folder = saved(which, tmp_path)
    theirs, ours = chat_tokenizer(folder), chat_tokenizer(folder)
    assert (type(theirs).__name__, type(ours)) == (type(load_tokenizer(folder)).__name__, StoredTokenizer)
    assert (ours.name_or_path, ours.chat_template) == (theirs.name_or_path, theirs.chat_template)
    one, other = (outcome(lambda tokenizer=tokenizer: chat(tokenizer, which)) for tokenizer in (theirs, ours))
    if not isinstance(one, ChatTokens):  # a template that is refused is refused in the same words
        assert other == one
        return
    facts = ("name", "sha256", "stop_ids", "stops", "trail", "marks", "lead_ids", "opens_ids", "tail_ids", "anchor")
    for fact in (*facts, "plain_specials"):
        assert getattr(other, fact) == getattr(one, fact), fact
    assert try_all(other) == try_all(one)


@pytest.fixture(scope="module")
def mistral(tmp_path_factory):
    """A tokenizer of transformers', and what is kept of it."""
    folder = saved(family("zephyr"), tmp_path_factory.mktemp("mistral"))
    theirs = load_tokenizer(folder)
    return theirs, StoredTokenizer(stored_tokenizer._content(theirs), str(folder))


@pytest.mark.parametrize("name", SOME)
def test_a_kept_tokenizer_is_the_one_that_transformers_makes(name, tmp_path):
    check_same(family(name).with_few_tokens(), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_a_kept_tokenizer_of_a_whole_vocabulary_is_the_one_that_transformers_makes(name, tmp_path):
    check_same(family(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in SOME])
def test_a_kept_tokenizer_of_every_family_is_the_one_that_transformers_makes(name, tmp_path):
    check_same(family(name).with_few_tokens(), tmp_path)


def test_loading_a_kept_tokenizer_imports_no_transformers(tmp_path):
    folder = small(tmp_path)
    chat_tokenizer(folder)
    code = (
        "import sys; from transforms.chat.tokens import ChatTokens; "
        "from transforms.engines.stored_tokenizer import chat_tokenizer; "
        f"print(ChatTokens(chat_tokenizer({str(folder)!r})).eot, 'transformers' in sys.modules)"
    )
    environment = os.environ | {"PREFERENCE_CURATION_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["<|im_end|>", "False"]


def test_a_tokenizer_that_renders_otherwise_is_not_kept(tmp_path, monkeypatch):
    folder = small(tmp_path)
    rendered = StoredTokenizer.apply_chat_template
    monkeypatch.setattr(
        StoredTokenizer, "apply_chat_template", lambda self, turns, **more: rendered(self, turns, **more) + " "
    )
    chat_tokenizer(folder)
    assert not isinstance(chat_tokenizer(folder), StoredTokenizer)


def test_code_that_comes_with_a_tokenizer_is_run_each_time(tmp_path):
    folder = small(tmp_path)
    chat_tokenizer(folder, trust_remote_code=True)
    assert not isinstance(chat_tokenizer(folder, trust_remote_code=True), StoredTokenizer)


def test_a_changed_file_another_template_and_another_version_are_other_tokenizers(tmp_path, monkeypatch):
    folder = small(tmp_path)
    chat_tokenizer(folder)
    assert isinstance(chat_tokenizer(folder), StoredTokenizer)
    assert not isinstance(chat_tokenizer(folder, template="{{ messages[0].content }}<|im_end|>"), StoredTokenizer)
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"eos_token": "<|endoftext|>"}))
    assert chat_tokenizer(folder).special_tokens_map["eos_token"] == "<|endoftext|>"
    monkeypatch.setattr("transforms.engines.tokenizer_files.reader_versions", lambda: "transformers 99\n")
    assert not isinstance(chat_tokenizer(folder), StoredTokenizer)


@pytest.mark.parametrize("text", ["{half", "", "[]", "{}", '{"backend": "{}"}'])
def test_what_was_kept_and_cannot_be_read_is_made_anew(tmp_path, text):
    folder = small(tmp_path)
    chat_tokenizer(folder)
    [kept] = (tmp_path / "cache" / "tokenizers").iterdir()
    kept.write_text(text)
    assert not isinstance(chat_tokenizer(folder), StoredTokenizer)
    assert isinstance(chat_tokenizer(folder), StoredTokenizer)


def test_a_tokenizer_that_was_saved_while_it_was_read_is_not_kept(tmp_path, monkeypatch):
    folder = small(tmp_path)
    config = folder / "tokenizer_config.json"
    before = config.read_text()

    def load(*args, **options):
        config.write_text(json.dumps(json.loads(before) | {"eos_token": "<|endoftext|>"}))
        return load_tokenizer(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(stored_tokenizer, "load_tokenizer", load)
        chat_tokenizer(folder)
    config.write_text(before)
    assert chat_tokenizer(folder).special_tokens_map["eos_token"] == "<|im_end|>"


def test_a_tokenizer_with_a_part_in_python_is_not_kept_and_can_be_used(tmp_path, monkeypatch):
    class OwnSplit:
        def pre_tokenize(self, _text):
            pass

    def load(*args, **options):
        tokenizer = load_tokenizer(*args, **options)
        tokenizer.backend_tokenizer.pre_tokenizer = PreTokenizer.custom(OwnSplit())
        return tokenizer

    folder = small(tmp_path)
    monkeypatch.setattr(stored_tokenizer, "load_tokenizer", load)
    assert chat_tokenizer(folder).name_or_path == str(folder)
    assert not (tmp_path / "cache").exists()


def test_a_folder_may_lie_below_the_users_home(tmp_path, monkeypatch):
    folder = small(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tokenizer_files("~/tokenizer") == tokenizer_files(folder)
    assert chat_tokenizer("~/tokenizer").name_or_path == str(folder)


def test_a_folder_that_is_not_there_is_no_name_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tokenizer_files("./nowhere") is None
    with pytest.raises(ModelError, match=r"no tokenizer can be loaded from \./nowhere"):
        chat_tokenizer("./nowhere")


@pytest.mark.parametrize("name", ["vocab.txt", "spiece.model", "chat_template.jinja", "config.json", "tokenizer.py"])
def test_every_file_that_a_tokenizer_may_read_is_part_of_its_hash(tmp_path, name):
    folder = small(tmp_path)
    before = tokenizer_files(folder)
    (folder / name).write_text("{}")
    first = tokenizer_files(folder)
    (folder / name).write_text("[]")  # of the same size, perhaps within the clock's grain
    assert len({before.sha256, first.sha256, tokenizer_files(folder).sha256}) == 3


@pytest.mark.parametrize("name", ["model.safetensors", "README.md", ".gitattributes"])
def test_what_no_tokenizer_reads_is_no_part_of_its_hash(tmp_path, name):
    folder = small(tmp_path)
    before = tokenizer_files(folder)
    (folder / name).write_text("x")
    assert tokenizer_files(folder) == before


def test_further_templates_in_their_folder_are_part_of_the_hash(tmp_path):
    folder = small(tmp_path)
    before = tokenizer_files(folder)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("x")
    assert tokenizer_files(folder) != before


def test_a_commit_of_the_hub_says_what_a_tokenizer_is_and_a_branch_that_cannot_be_asked_for_does_not():
    commit = "a" * 40
    assert tokenizer_files("org/name", commit).revision == commit
    assert tokenizer_files("org/name", commit) != tokenizer_files("org/name", "b" * 40)
    assert tokenizer_files("org/name", "main") is None


def test_the_context_of_a_config_is_found_once_and_again_when_the_file_changes(tmp_path, monkeypatch):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 512}))
    assert context_length(tmp_path) == 512
    monkeypatch.setattr("transforms.engines.tokenizer._read_config_number", lambda *_: 7)
    assert context_length(tmp_path) == 512
    config.write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 513}))
    assert context_length(tmp_path) == 7


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("transforms.engines.kept_results.cache_dir", lambda: tmp_path / "file")
    keep_result("x", "key", content=1)
    folder = small(tmp_path)
    assert ChatTokens(chat_tokenizer(folder)).sha256 == ChatTokens(chat_tokenizer(folder)).sha256


def test_blocks_that_mark_generated_text_write_what_is_in_them():
    compiled = stored_tokenizer._compiled("{% generation %}{% set x = 1 %}a{% endgeneration %}{{ x is defined }}")
    assert compiled.render() == "aFalse"


@pytest.mark.parametrize(
    "template",
    [
        "{% include 'other.jinja' %}",
        "{% import 'other.jinja' as other %}{{ other.x() }}",
        "{% extends 'other.jinja' %}",
        "{{ messages[0].nothing.more }}",
        "{{ nothing_at_all.more }}",
        "{{ nothing_at_all }}{{ messages[7].content }}",
        "{% macro m(x) %}{{ raise_exception('no ' ~ x) }}{% endmacro %}{{ m('system') }}",
        "{% macro m() %}{{ strftime_now('%Y') }}{{ caller() }}{% endmacro %}{% call m() %}{{ bos_token }}{% endcall %}",
        "{% set n = namespace(i=0) %}{% for m in messages %}{% set n.i = n.i + 1 %}{% endfor %}{{ n.i }}",
        "{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{% if m.x %}{% continue %}{% endif %}"
        "{{ m.content }}{% endfor %}",
        "{{ {'b': 'é<&>', 'a': [1, none, 1.5]} | tojson(indent=2, sort_keys=true, separators=(',', ':')) }}",
        "{{ messages | tojson(ensure_ascii=true) }}{{ 'é<' | tojson }}",
        "{{ nothing_at_all | tojson }}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{% generation %}{% for m in messages %}{{ m.content }}{% if loop.first %}{% break %}{% endif %}{% endfor %}"
        "{% endgeneration %}",
        "{%- generation -%}  x  {%- endgeneration -%}  y",
        "{% generation %}",
        "{% unknown %}",
        "{{ messages[0].content | e }}{{ '<a>' | safe }}{{ range(3) | list }}{{ cycler('a').next() }}{{ lipsum }}",
        "  {% if true %}\n  a\n  {% endif %}\n{{ 1 / 0 }}",
        "{{ documents }}{{ tools }}{{ add_generation_prompt }}{{ continue_final_message }}{{ enable_thinking }}",
        "{{ 'x' * 10 }}{{ range(1000000) }}",
        "{{ messages[0]['content'].strip().split('\\n')[-1].lstrip('q') }}{{ 'a' in 'abc' }}{{ 3 is divisibleby 3 }}",
        "{% do messages %}",
        "{{ _('x') }}{% trans %}x{% endtrans %}",
    ],
)
@pytest.mark.parametrize("turns", [[{"role": "user", "content": "q\n é"}], [{"role": "user"}, {"content": None}]])
def test_whatever_a_template_does_it_does_the_same_or_raises_the_same(mistral, template, turns):
    theirs, ours = mistral
    more = {"chat_template": template, "strftime_now": lambda form: f"today as {form}", "add_generation_prompt": True}
    for several in (turns, [turns, turns]):
        one, other = (
            outcome(lambda t=tokenizer, s=several: t.apply_chat_template(s, tokenize=False, **more))
            for tokenizer in (theirs, ours)
        )
        assert one == other


@pytest.mark.parametrize(
    "text", ["", " ", "</s>a <s>b", "  two", "e\u0301\u200b\ufeff", "a" * 20_000, "\x00", "\u2028▁"]
)
@pytest.mark.parametrize("special", [True, False])
def test_whatever_a_text_holds_it_is_the_same_tokens(mistral, text, special):
    theirs, ours = (tokenizer([text, "x"], add_special_tokens=special)["input_ids"] for tokenizer in mistral)
    assert theirs == ours

"""PairRM natively: its layout of a comparison, and the published head at its marks."""

import json
import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reward_models import MARKS, WORDS, changed, deberta, pairrm_config, save_pairrm
from safetensors.torch import load_file

from transforms.engines.models import resolve_model
from transforms.engines.pair_inputs import SOURCE, TOTAL, PairTokenizer, PairTokens
from transforms.engines.pairrm import PairRm
from transforms.engines.protocol import PairRequest
from transforms.engines.reward_checks import reward_config
from transforms.errors import EngineError, ModelError

# float32, values of order 1: passes of another shape take other kernels, and differed by 1.6e-6 on another machine.
SINGLE = {"abs": 1e-5, "rel": 1e-5}
TEXTS = [
    ("the cat sat on the mat?", "one two three", "the dog ran to the river and the cat sat"),
    ("a dog", "it was", "it is"),
    ("one\n\ntwo  three", "", "of a river: four, five"),
]
text_of = st.lists(st.sampled_from([*WORDS, "\n", "?", "naïve", "[SEP]", "[CLS]", "<|", "USER: "]), max_size=30).map(
    " ".join
)


def resolved(folder, **options):
    return resolve_model(folder, **{"engine": "transformers", "dtype": "float32"} | options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_pairrm(tmp_path_factory.mktemp("pairrm") / "tiny-pairrm")


@pytest.fixture(scope="module")
def tokens(folder):
    return PairTokenizer(resolved(folder))


@pytest.fixture(scope="module")
def engine(folder):
    return PairRm(resolved(folder))


@pytest.fixture(scope="module")
def rows(tokens):
    return [tokens.pair_tokens(*each).token_ids for each in TEXTS]


def requests(rows):
    return [PairRequest(f"p{i}", ids) for i, ids in enumerate(rows)]


def published_layout(prompt, first, second, source_most=1224, candidate_most=412):
    """`tokenize_pair` as the card has it: whole pieces by the tokenizer's own truncation."""
    most = source_most + 2 * candidate_most
    source = deberta().encode("<|source|>" + prompt, max_length=source_most, truncation=True)
    room = (most - len(source)) // 2
    pieces = [
        deberta().encode(mark + text, max_length=room, truncation=True)
        for mark, text in (("<|candidate1|>", first), ("<|candidate2|>", second))
    ]
    return source + pieces[0] + pieces[1]


def by_hand(folder, ids):
    """The margin of one comparison without padding, the head in Python floats, loop by loop."""
    from transformers import DebertaV2Config, DebertaV2Model

    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    known = {key: config[key] for key in config if key not in ("architectures", "torch_dtype")}
    base = DebertaV2Model(DebertaV2Config(**known)).eval()
    prefix = "pretrained_model."
    base.load_state_dict({n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)})
    with torch.no_grad():
        hidden = base(torch.tensor([ids]), torch.ones(1, len(ids))).last_hidden_state[0].double().tolist()
    source, first, second = (hidden[ids.index(config[f"{name}_prefix_id"])] for name in ("source", "cand1", "cand2"))

    def linear(layer, state):
        matrix, bias = weights[f"head_layer.{layer}.weight"].tolist(), weights[f"head_layer.{layer}.bias"].tolist()
        return [sum(w * s for w, s in zip(row, state, strict=True)) + b for row, b in zip(matrix, bias, strict=True)]

    left, right = (linear(4, [math.tanh(v) for v in linear(1, source + one)]) for one in (first, second))
    return sum(a - b for a, b in zip(left, right, strict=True)) / config["n_tasks"]


def test_margins_are_those_of_the_published_equations(folder, engine, rows):
    expected = [by_hand(folder, ids) for ids in rows]
    assert engine.compare(requests(rows)) == pytest.approx(expected, **SINGLE)
    assert min(map(abs, expected)) > 1e-2


def test_2048_tokens_are_read_though_the_config_has_512_positions(folder, engine, tokens):
    [full] = requests([tokens.pair_tokens("the " * 1300, "cat " * 500, "dog ran " * 300).token_ids])
    assert len(full.token_ids) == TOTAL > pairrm_config()["max_position_embeddings"]
    assert engine.compare([full]) == pytest.approx([by_hand(folder, full.token_ids)], **SINGLE)


def test_several_tasks_are_averaged(tmp_path, rows):
    folder = save_pairrm(tmp_path / "tasks", n_tasks=3)
    expected = [by_hand(folder, ids) for ids in rows]
    assert PairRm(resolved(folder)).compare(requests(rows)) == pytest.approx(expected, **SINGLE)


def test_padding_batches_and_order_change_nothing(folder, engine, rows):
    alone = PairRm(resolved(folder), max_tokens_per_batch=1).compare(requests(rows))
    assert engine.compare(requests(rows)) == pytest.approx(alone, **SINGLE)
    assert engine.compare(requests(rows[::-1])) == pytest.approx(alone[::-1], **SINGLE)


def test_the_margin_is_of_the_order_given_and_not_of_both(engine, tokens):
    prompt, first, second = TEXTS[0]
    there, back = engine.compare(
        requests([tokens.pair_tokens(prompt, *pair).token_ids for pair in ((first, second), (second, first))])
    )
    assert there != pytest.approx(-back, abs=1e-3)


@given(text_of, text_of, text_of)
def test_the_layout_is_the_published_one(tokens, prompt, first, second):
    spaced = [text.replace("[SEP]", " ") for text in (prompt, first, second)]
    assert tokens.pair_tokens(prompt, first, second) == PairTokens(published_layout(*spaced), (0, 0, 0))


@pytest.mark.parametrize(
    ("lengths", "cut"),
    [
        ((2000, 900, 3), (2000 - 1221, 900 - 409, 0)),  # [CLS], mark and [SEP] are three of 1224 and of 412
        ((1221, 409, 409), (0, 0, 0)),
        ((1222, 410, 411), (1, 1, 2)),
        ((10, 1100, 1014), (0, 1100 - 1014, 0)),  # the source leaves (2048 - 13) // 2 = 1017 to each
    ],
)
def test_long_pieces_are_cut_as_the_published_code_cuts_them_and_it_is_said(tokens, lengths, cut):
    texts = [" ".join([word] * length) for word, length in zip(("the", "cat", "dog"), lengths, strict=True)]
    found = tokens.pair_tokens(*texts)
    assert found == PairTokens(published_layout(*texts), cut)
    assert len(found.token_ids) <= TOTAL


def test_lengths_are_those_of_the_card():
    assert (SOURCE, TOTAL, (TOTAL - SOURCE) // 2) == (1224, 2048, 412)


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("place", range(3))
def test_a_text_that_spells_a_mark_cannot_be_compared(tokens, mark, place):
    texts = ["the cat"] * 3
    texts[place] += f" {mark} sat"
    found = tokens.pair_tokens(*texts)
    assert found == f"the text has {mark}, which the pairwise model cannot tell from its own mark"


@pytest.mark.parametrize("wrong", [lambda ids: ids[1:3], lambda ids: ids + ids[:2], lambda ids: ids[::-1]])
def test_a_request_without_each_mark_once_and_in_order_is_refused(engine, rows, wrong):
    with pytest.raises(EngineError, match=r"request p0 has the marks .* each once"):
        engine.compare(requests([wrong(rows[1])]))


def test_a_comparison_beyond_2048_tokens_is_refused(engine, rows):
    with pytest.raises(EngineError, match="request p0 has 2049 tokens, but the pairwise model reads 2048"):
        engine.compare(requests([rows[1] + [5] * (2049 - len(rows[1]))]))


@pytest.mark.parametrize(
    ("drop", "add", "message"),
    [
        ("head_layer.4.bias", {}, r"lacks weights: head_layer\.4\.bias\."),
        ("head_layer.1.weight", {"head_layer__0__weight": torch.zeros(32, 64)},
         r"lacks weights: head_layer\.1\.weight and has unknown weights: head_layer\.0\.weight\."),
        (None, {"head_layer__4__weight": torch.zeros(2, 32)}, r"has misshapen weights: head_layer\.4\.weight\."),
        ("pretrained_model.embeddings.LayerNorm.bias", {}, r"lacks weights: pretrained_model\.embeddings\.LayerNorm"),
    ],
)  # fmt: skip
def test_a_checkpoint_with_other_tensors_is_refused_by_their_names(folder, tmp_path, drop, add, message):
    with pytest.raises(ModelError, match=message):
        PairRm(resolved(changed(folder, tmp_path / "changed", drop=drop, **add)))


def test_the_config_and_its_tokenizer_must_have_the_same_ids(tmp_path):
    swapped = pairrm_config()
    folder = save_pairrm(
        tmp_path / "ids", cand1_prefix_id=swapped["cand2_prefix_id"], cand2_prefix_id=swapped["cand1_prefix_id"]
    )
    with pytest.raises(ModelError, match="but its tokenizer"):
        PairRm(resolved(folder))


def test_the_original_repositorys_config_is_refused_with_the_name_of_the_other(folder, tmp_path):
    original = changed(folder, tmp_path / "original")
    ranker = {"ranker_type": "pairranker", "model_type": "deberta", "model_name": "microsoft/deberta-v3-large"}
    (original / "config.json").write_text(json.dumps(ranker))
    with pytest.raises(ModelError, match=r"architecture None and lacks n_tasks, .*expected .* llm-blender/PairRM-hf"):
        PairRm(resolved(original))


def test_a_tokenizer_without_the_marks_is_refused(tiny_reward):
    with pytest.raises(ModelError, match=r"has not <\|source\|>, <\|candidate1\|>, <\|candidate2\|> as one token"):
        PairTokenizer(resolved(tiny_reward))


def test_it_is_no_reward_model_of_one_response(folder):
    with pytest.raises(ModelError, match="compares two responses and has no reward of one"):
        reward_config(resolved(folder), trust_remote_code=False)


def test_progress_counts_rows_and_tokens(engine, rows):
    seen = Counter()
    engine.compare(requests(rows), lambda n, tokens: seen.update(requests=n, tokens=tokens))
    assert seen == {"requests": 3, "tokens": sum(map(len, rows))}


def test_a_closed_engine_says_so(folder, rows):
    engine = PairRm(resolved(folder))
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.compare(requests(rows))

"""The corpus is 600 verb forms, split for good."""

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minitrain.training import corpus
from minitrain.training.corpus import Item

SPLITS = ("train", "val", "test")
# SHA-256 of each split's texts, one on a line. If one of these changes, so does every number of
# the course.
PINNED = {
    "train": "f9e544a196aa9abdb013ee78e45eb1d03a4c422bbe2548ab113a6cbf31345e8e",
    "val": "7a49c0fedadafc49259312ea41b6fa44274163cd1abf84c7645e581aa51e036c",
    "test": "de1e2c642dd3882b88445555f39e5026a7358d3b58761f41f1f57a1703ff44a9",
}


def test_there_are_600_different_items() -> None:
    texts = [item.text for item in corpus.items()]
    assert len(texts) == len(set(texts)) == 600


def test_twelve_verbs_are_regular_and_eight_are_not() -> None:
    assert (len(corpus.REGULAR), len(corpus.IRREGULAR)) == (12, 8)
    assert set(corpus.REGULAR).isdisjoint(corpus.IRREGULAR)
    assert {item.verb for item in corpus.items() if item.regular} == set(corpus.REGULAR)


def test_the_past_and_participle_of_regular_verbs_alone_end_in_ed() -> None:
    for item in corpus.items():
        if item.tense in ("past", "perfect"):
            assert item.form.endswith("ed") == item.regular, item.text


@pytest.mark.parametrize(
    ("verb", "person", "tense", "text"),
    [
        ("go", "i", "perfect", "go already i have gone."),
        ("go", "she", "perfect", "go already she has gone."),
        ("go", "they", "past", "go yesterday they went."),
        ("write", "he", "continuous", "write now he is writing."),
        ("write", "i", "continuous", "write now i am writing."),
        ("begin", "we", "continuous", "begin now we are beginning."),
        ("watch", "she", "present", "watch every day she watches."),
        ("carry", "he", "present", "carry every day he carries."),
        ("carry", "you", "past", "carry yesterday you carried."),
        ("stop", "they", "past", "stop yesterday they stopped."),
        ("live", "you", "continuous", "live now you are living."),
        ("take", "i", "future", "take tomorrow i will take."),
        ("come", "he", "perfect", "come already he has come."),
        ("eat", "we", "past", "eat yesterday we ate."),
        ("see", "you", "present", "see every day you see."),
        ("give", "she", "perfect", "give already she has given."),
    ],
)
def test_the_form_of(verb: str, person: str, tense: str, text: str) -> None:
    item = Item(verb, person, tense)
    assert item in corpus.items()
    assert item.text == text
    assert item.text == f"{item.prompt}{item.form}."


def test_the_splits_are_disjoint_and_cover_everything() -> None:
    splits = [corpus.split(name) for name in SPLITS]
    assert [len(members) for members in splits] == [240, 180, 180]
    assert set().union(*splits) == set(corpus.items())


def test_every_verb_tense_and_person_is_trained_on_and_asked_for() -> None:
    for name in SPLITS:
        members = corpus.split(name)
        assert {item.verb for item in members} == set(corpus.VERBS)
        assert {item.tense for item in members} == set(corpus.TENSES)
        assert {item.person for item in members} == set(corpus.PERSONS)


@pytest.mark.parametrize("name", SPLITS)
def test_the_split_is_the_one_of_the_course(name: corpus.Split) -> None:
    text = "".join(f"{item.text}\n" for item in corpus.split(name))
    assert hashlib.sha256(text.encode()).hexdigest() == PINNED[name]


def test_the_vocabulary_has_24_characters_in_order() -> None:
    assert "".join(corpus.vocabulary()) == "".join(sorted(corpus.vocabulary()))
    assert len(set(corpus.vocabulary())) == len(corpus.vocabulary()) == 24


@given(st.text(alphabet=st.sampled_from(corpus.vocabulary())))
def test_what_is_encoded_decodes_to_itself(text: str) -> None:
    ids = corpus.encode(text)
    assert len(ids) == len(text)
    assert all(0 <= i < 24 for i in ids)
    assert corpus.decode(ids) == text


@given(st.characters(exclude_characters=corpus.vocabulary()))
def test_an_unknown_character_is_named(character: str) -> None:
    with pytest.raises(ValueError, match="not in the vocabulary") as error:
        corpus.encode(f"go{character}")
    assert repr(character) in str(error.value)


@pytest.mark.parametrize("name", SPLITS)
def test_each_row_is_its_item_shifted_by_one(name: corpus.Split) -> None:
    batch = corpus.encoded(name)
    for row, item in enumerate(corpus.split(name)):
        n = len(item.text) - 1
        assert corpus.decode(batch.inputs[row, :n].tolist()) == item.text[:-1]
        assert corpus.decode(batch.targets[row, :n].tolist()) == item.text[1:]
        assert (batch.targets[row, n:] == corpus.PAD).all()
        assert not batch.is_form[row, n:].any()


@pytest.mark.parametrize("name", SPLITS)
def test_is_form_marks_the_form_and_the_stop_and_nothing_else(name: corpus.Split) -> None:
    batch = corpus.encoded(name)
    for row, item in enumerate(corpus.split(name)):
        marked = batch.targets[row][batch.is_form[row]]
        assert corpus.decode(marked.tolist()) == f"{item.form}."
        before = batch.targets[row, : len(item.prompt) - 1]
        assert corpus.decode(before.tolist()) == item.prompt[1:]
        assert not batch.is_form[row, : len(item.prompt) - 1].any()


def test_every_item_fits_the_context() -> None:
    assert max(len(item.text) for item in corpus.items()) - 1 <= corpus.CONTEXT


@given(st.lists(st.integers(0, corpus.N_TRAIN - 1), min_size=1, max_size=20))
def test_rows_taken_from_a_batch_are_cut_to_the_longest_of_them(rows: list[int]) -> None:
    whole = corpus.encoded("train")
    taken = whole[torch.tensor(rows)]
    lengths = [len(corpus.split("train")[row].text) - 1 for row in rows]
    assert taken.inputs.shape == taken.targets.shape == taken.is_form.shape
    assert taken.inputs.shape == (len(rows), max(lengths))
    for new, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        assert torch.equal(taken.inputs[new, :length], whole.inputs[row, :length])
        assert int((taken.targets[new] != corpus.PAD).sum()) == length
        assert torch.equal(taken.is_form[new], whole.is_form[row, : max(lengths)])

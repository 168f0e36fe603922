import email
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from minitrain.common.errors import UserError
from minitrain.large import tokens as making
from minitrain.large.shards import Tokens, Windows, order

TEXTS = Path(email.__file__).parent


def texts_of(folder: Path, split: str) -> list[str]:
    """The texts of a split, from its tokens alone."""
    tokens = Tokens(folder)
    ids = np.concatenate([shard for name, shard in tokens.shards if name == split])
    ends = np.flatnonzero(ids == tokens.meta["end_of_text"])
    assert ends[-1] == len(ids) - 1
    tokenizer = making.load_tokenizer(folder)
    begins = [0, *(ends[:-1] + 1)]
    return [tokenizer.decode(ids[a:b].tolist()) for a, b in zip(begins, ends, strict=True)]


def test_every_text_is_in_one_split_and_comes_back_to_the_last_character(
    token_folder: Path,
) -> None:
    found = {split: texts_of(token_folder, split) for split in making.SPLITS}
    together = [text for texts in found.values() for text in texts]
    there = {path.read_text(encoding="utf-8") for path in TEXTS.rglob("*.py")}
    assert all(found.values())
    assert sorted(together) == sorted(text for text in there if text.strip())
    assert len(set(together)) == len(together)


def test_a_text_that_mentions_the_end_of_a_text_does_not_end_there(tmp_path: Path) -> None:
    texts = [f"before {making.END_OF_TEXT} after {i}\n" for i in range(3)]
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.txt").write_text(text)
    making.make(tmp_path, tmp_path / "tokens", vocabulary=300)
    found = [text for split in making.SPLITS for text in texts_of(tmp_path / "tokens", split)]
    assert sorted(found) == texts


def test_the_same_texts_give_the_same_bytes_whatever_their_names(tmp_path: Path) -> None:
    for i, path in enumerate(sorted(TEXTS.glob("*.py"))):
        for folder, name in (("a", f"{i}.py"), ("b", f"{1000 - i}.txt")):
            (tmp_path / folder / str(i % 3)).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / str(i % 3) / name).write_bytes(path.read_bytes())
    for folder in ("a", "b"):
        making.make(tmp_path / folder, tmp_path / f"tokens-{folder}", vocabulary=400)
    assert Tokens(tmp_path / "tokens-a").digest == Tokens(tmp_path / "tokens-b").digest


def test_what_is_no_text_or_there_twice_is_counted_and_left_out(tmp_path: Path) -> None:
    contents = {"a.txt": b"one", "b.txt": b"two", "c.md": b"three", "d.py": b"two"}
    contents |= {"e.txt": b"\xff\xfe", "f.txt": b" \n", "g.bin": b"not looked at"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    meta = making.make(tmp_path, tmp_path / "tokens", vocabulary=300)
    assert meta["documents"] == {"test": 1, "val": 1, "train": 1}
    assert meta["skipped"] == {"unreadable": 0, "not UTF-8": 1, "empty": 1, "duplicates": 1}


def test_a_vocabulary_beyond_16_bits_takes_32(tmp_path: Path) -> None:
    assert json.loads((making_small(tmp_path) / "meta.json").read_text())["dtype"] == "uint16"
    windows = Windows([np.array([70_000, 1, 2], "<u4")], 2, None)
    inputs, targets = windows.batch(np.array([0]), torch.device("cpu"))
    assert inputs.tolist() == [[70_000, 1]]
    assert targets.tolist() == [[1, 2]]


def making_small(folder: Path) -> Path:
    for i in range(3):
        (folder / f"{i}.txt").write_text(f"text {i}")
    making.make(folder, folder / "tokens", vocabulary=300)
    return folder / "tokens"


def test_windows_lie_beside_each_other_within_their_shard(tokens: Tokens) -> None:
    windows = tokens.windows("train", 16)
    shards = [shard for name, shard in tokens.shards if name == "train"]
    assert len(shards) > 1
    expected = [
        shard[i * 16 : i * 16 + 17] for shard in shards for i in range((len(shard) - 1) // 16)
    ]
    assert len(windows) == len(expected)
    first = (len(shards[0]) - 1) // 16  # of the second shard
    for index in (0, 1, first - 1, first, first + 1, len(windows) - 1):
        inputs, targets = windows.batch(np.array([index]), torch.device("cpu"))
        assert inputs[0].tolist() == expected[index][:-1].tolist()
        assert targets[0].tolist() == expected[index][1:].tolist()


def test_an_epoch_sees_every_window_once_and_the_next_one_in_another_order() -> None:
    seen = np.concatenate([order(10, seed=1, step=step, batch_size=4) for step in range(5)])
    first, second = seen[:10], seen[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist()
    assert first.tolist() != np.concatenate([order(10, 2, 0, 10)]).tolist()


def test_a_batch_larger_than_the_data_sees_it_more_than_once() -> None:
    assert np.bincount(order(3, seed=0, step=1, batch_size=9)).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda f: (f / "val-00000.bin").unlink(), "No such file"),
        (lambda f: (f / "val-00000.bin").write_bytes(b"ab"), "1 tokens, expected"),
        (lambda f: (f / "meta.json").write_text("{"), "is not what minitrain tokens wrote"),
        (lambda f: (f / "meta.json").write_text("[]"), "is not what minitrain tokens wrote"),
    ],
)
def test_a_damaged_folder_is_one_line(tmp_path: Path, damage: object, reason: str) -> None:
    folder = making_small(tmp_path)
    damage(folder)  # type: ignore[operator]
    with pytest.raises(UserError, match=reason):
        Tokens(folder)


def test_a_changed_token_is_found(tmp_path: Path) -> None:
    folder = making_small(tmp_path)
    path = folder / "train-00000.bin"
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="SHA-256"):
        Tokens(folder)
    Tokens(folder, verify=False)


def test_tokens_that_could_not_be_made_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    with pytest.raises(UserError, match="2 different texts"):
        making.make(tmp_path, tmp_path / "tokens")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "b.txt"]


def test_an_interrupted_making_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "_write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        making_small(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.txt", "1.txt", "2.txt"]

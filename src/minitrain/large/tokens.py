"""From a folder of text to shards of tokens: `minitrain tokens`.

A folder of tokens holds `tokenizer.json`, shards such as `train-00000.bin` (token ids one after the
other, little-endian, without a header), and `meta.json`, which says what is in them.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from minitrain.common.errors import UserError
from minitrain.common.files import write_atomically

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SUFFIXES = (".txt", ".md", ".py")
SPLITS = ("test", "val", "train")
END_OF_TEXT = "<|endoftext|>"
LEAST_VOCABULARY = 257  # every byte, and the end of a text
HELD_OUT = 0.01  # of the bytes, for val and for test each
SAMPLE = 30_000_000  # bytes of the training split that the tokenizer is trained on
SHARD = 2**27  # tokens
AT_ONCE = 8_000_000  # bytes that are handed to the tokenizer at once, which uses all cores


@dataclass(frozen=True)
class Document:
    """One text: the SHA-256 of its content, where it lies, its size in bytes."""

    digest: str
    path: Path
    size: int


def make(
    folder: Path,
    output: Path,
    vocabulary: int = 50257,
    suffixes: Sequence[str] = SUFFIXES,
    sample: int = SAMPLE,
    shard: int = SHARD,
) -> dict[str, Any]:
    """Train a tokenizer on the texts of `folder`, write all their tokens to `output`.

    vocabulary: at most so many tokens; a small folder gives fewer. sample: bytes to train the
    tokenizer on. shard: tokens of a full shard. Returns what `meta.json` says. `output` appears at
    once and whole, or not at all.

    Raises `UserError` if the folder holds too little, or `output` is there already.
    """
    library = _tokenizers()
    if vocabulary < LEAST_VOCABULARY:
        raise UserError(f"vocabulary {vocabulary}: expected {LEAST_VOCABULARY} or more")
    if output.exists() or output.is_symlink():
        raise UserError(f"{output}: is there already")
    documents, skipped = find(folder, suffixes)
    if len(documents) < len(SPLITS):
        raise UserError(
            f"{folder}: {len(documents)} different texts ({' '.join(suffixes)}, UTF-8), expected"
            f" {len(SPLITS)} or more: one at least for each of {', '.join(SPLITS)}"
            f" (skipped: {_listed(skipped)})"
        )
    splits = split(documents)
    staging = output.with_name(f".{output.name}.{os.getpid()}")
    staging.mkdir(parents=True)
    try:
        tokenizer = _train(splits["train"], vocabulary, sample)
        write_atomically(staging / "tokenizer.json", tokenizer.to_str().encode())
        size = tokenizer.get_vocab_size()
        dtype = "uint16" if size <= 2**16 else "uint32"
        shards = _write_all(splits, tokenizer, staging, np.dtype(dtype).newbyteorder("<"), shard)
        meta = {
            "vocabulary": size,
            "dtype": dtype,
            "end_of_text": tokenizer.token_to_id(END_OF_TEXT),
            "documents": {name: len(splits[name]) for name in SPLITS},
            "bytes": {name: sum(d.size for d in splits[name]) for name in SPLITS},
            "tokens": {
                name: sum(s["tokens"] for s in shards if s["split"] == name) for name in SPLITS
            },
            "skipped": skipped,
            "shards": shards,
            "tokenizers": library.__version__,
        }
        write_atomically(staging / "meta.json", json.dumps(meta, indent=1).encode())
        staging.rename(output)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return meta


def find(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> tuple[list[Document], dict[str, int]]:
    """The different texts below `folder`, and how many files were skipped for what reason.

    Ordered by the SHA-256 of their content: a shuffle that depends on nothing but the texts, not on
    their names nor on any library's random numbers. Of texts that are equal to the last byte, the
    first by name stays.
    """
    try:
        if not folder.is_dir():
            raise UserError(f"{folder}: is not a folder")
        next(folder.iterdir(), None)  # rglob is silent about a folder that it may not read
        files = sorted(p for p in folder.rglob("*") if p.suffix in suffixes and p.is_file())
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror}") from None
    found: dict[str, Document] = {}
    skipped = {"unreadable": 0, "not UTF-8": 0, "empty": 0, "duplicates": 0}
    for path in tqdm(files, desc="reading", unit="file", disable=None, leave=False):
        try:
            content = path.read_bytes()
            content.decode("utf-8")
        except OSError:
            skipped["unreadable"] += 1
            continue
        except UnicodeDecodeError:
            skipped["not UTF-8"] += 1
            continue
        digest = hashlib.sha256(content).hexdigest()
        if not content.strip():
            skipped["empty"] += 1
        elif digest in found:
            skipped["duplicates"] += 1
        else:
            found[digest] = Document(digest, path, len(content))
    return [found[digest] for digest in sorted(found)], skipped


def split(documents: Sequence[Document]) -> dict[str, list[Document]]:
    """Whole documents for each split: a hundredth of the bytes for test, then for val, then train.

    Each has one document at least, where there are three.
    """
    share = HELD_OUT * sum(document.size for document in documents)
    splits: dict[str, list[Document]] = {name: [] for name in SPLITS}
    left = list(reversed(documents))
    for name in SPLITS[:-1]:
        size = 0
        while not splits[name] or (size + left[-1].size <= share and len(left) > len(SPLITS)):
            splits[name].append(left.pop())
            size += splits[name][-1].size
    splits["train"] = left[::-1]
    return splits


def _train(documents: Sequence[Document], vocabulary: int, sample: int) -> "Tokenizer":
    """Byte-level BPE, as GPT-2 has (Radford et al., 2019, section 2.2)."""
    library = _tokenizers()
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )

    def texts() -> Iterator[str]:
        total = min(sample, sum(document.size for document in documents))
        with _bar("training the tokenizer", total) as bar:
            for document in documents:
                if bar.n >= sample:
                    return
                yield _text(document)
                bar.update(document.size)

    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def _write_all(
    splits: Mapping[str, Sequence[Document]],
    tokenizer: "Tokenizer",
    folder: Path,
    dtype: "np.dtype[Any]",
    shard: int,
) -> list[dict[str, Any]]:
    """Every document's tokens and an end of text, in shards; returns name, counts and SHA-256."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    # A text that mentions the end of a text does not end there.
    tokenizer.encode_special_tokens = True
    total = sum(document.size for documents in splits.values() for document in documents)
    shards: list[dict[str, Any]] = []
    with _bar("writing tokens", total) as bar:
        for name, documents in splits.items():
            pending, number = np.empty(0, dtype), 0
            for some in _batches(documents):
                encoded = tokenizer.encode_batch_fast([_text(document) for document in some])
                ids = [np.asarray([*each.ids, end], dtype) for each in encoded]
                pending = np.concatenate([pending, *ids])
                while len(pending) >= shard:
                    shards.append(_write(pending[:shard], folder, name, number))
                    pending, number = pending[shard:], number + 1
                bar.update(sum(document.size for document in some))
            if len(pending):
                shards.append(_write(pending, folder, name, number))
    return shards


def _write(ids: "np.ndarray[Any, Any]", folder: Path, split: str, number: int) -> dict[str, Any]:
    content = ids.tobytes()
    name = f"{split}-{number:05}.bin"
    write_atomically(folder / name, content)
    digest = hashlib.sha256(content).hexdigest()
    return {"name": name, "split": split, "tokens": len(ids), "sha256": digest}


def _batches(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """Consecutive documents, about `AT_ONCE` bytes of them each time."""
    some: list[Document] = []
    size = 0
    for document in documents:
        some.append(document)
        size += document.size
        if size >= AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _text(document: Document) -> str:
    """The text that was found; `UserError` if it is another one by now."""
    try:
        content = document.path.read_bytes()
    except OSError as error:
        raise UserError(f"{document.path}: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != document.digest:
        raise UserError(f"{document.path}: changed while the tokens were made")
    return content.decode("utf-8")


def _bar(what: str, total: int) -> Any:
    # disable=None: on a terminal only
    return tqdm(total=total, desc=what, unit="B", unit_scale=True, disable=None, leave=False)


def _listed(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in skipped.items() if count) or "none"


def _tokenizers() -> Any:
    """The library, or one line that says how to get it: nothing else in the course needs it."""
    try:
        import tokenizers
    except ImportError:
        raise UserError("tokenizers is not installed: pip install tokenizers") from None
    return tokenizers


def load_tokenizer(folder: Path) -> "Tokenizer":
    """The tokenizer of a folder of tokens."""
    path = folder / "tokenizer.json"
    try:
        return _tokenizers().Tokenizer.from_file(str(path))
    except UserError:
        raise
    except Exception as error:  # the library raises nothing more precise
        raise UserError(f"{path}: cannot be read: {error}") from None

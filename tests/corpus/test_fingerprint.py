"""Fingerprints of the whole content up to a limit, then of samples: what changes them and what does not."""

from pathlib import Path

import pytest

from mematlas.corpus import fingerprint as fingerprints
from mematlas.corpus.reading.bytestream import ByteStream


def digest(*paths: Path, format: str = "memmap", **choices: object) -> str:
    return fingerprints.fingerprint(format, choices, ByteStream(list(paths)))


def test_format_choices_and_content_count(tmp_path: Path) -> None:
    a, b, same = tmp_path / "a", tmp_path / "b", tmp_path / "same"
    a.write_bytes(b"abcd")
    b.write_bytes(b"abce")
    same.write_bytes(b"abcd")
    assert digest(a, row_length=2, dtype="u2") == digest(same, dtype="u2", row_length=2)
    all_different = [
        digest(a),
        digest(b),
        digest(a, b),
        digest(b, a),
        digest(a, row_length=2),
        digest(a, row_length=3),
        digest(a, format="npy"),
    ]
    assert len(set(all_different)) == len(all_different)
    assert all(len(value) == 32 for value in all_different)


def test_every_byte_counts_up_to_the_limit(tmp_path: Path) -> None:
    content = bytearray(3 << 20)
    path = tmp_path / "content"
    seen = set()
    for changed in (0, (1 << 20) - 1, 1 << 20, (3 << 20) - 1):
        content[changed] ^= 1
        path.write_bytes(content)
        seen.add(digest(path))
    assert len(seen) == 4


def test_samples_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "FULL_HASH_BYTES", 1 << 20)
    total = 16 << 20
    parts = list(fingerprints._hashed_parts(total))
    assert len(parts) == 66
    assert parts[0] == (0, 1 << 20)
    assert parts[-1] == (15 << 20, 1 << 20)
    assert all(size == 1 << 16 and 1 << 20 <= start <= (15 << 20) - size for start, size in parts[1:-1])
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(total)
    blank = digest(path)
    for start, same in [(0, False), (total - 1, False), (parts[30][0] + 5, False), (parts[30][0] - 1, True)]:
        with path.open("r+b") as file:
            file.seek(start)
            file.write(b"\1")
            file.flush()
            assert (digest(path) == blank) is same
            file.seek(start)
            file.write(b"\0")

"""Files at rest: encrypted, readable from anywhere, and gone when something went wrong."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest
from cryptography.fernet import Fernet

from servicevault import stored_files
from servicevault.stored_files import BLOCK, FileGone

CONTENT = b"name;email\r\n" + os.urandom(2 * BLOCK + 777)


@pytest.fixture
def stored(tmp_path):
    with stored_files.Writer(tmp_path) as writer:
        for start in range(0, len(CONTENT), 100_001):
            writer.write(CONTENT[start : start + 100_001])
    return writer.close()


@pytest.mark.req("F-086", "F-138", "F-175")
def test_the_disk_holds_no_plain_text_and_nobody_else_may_read(stored):
    with open(stored.path, "rb") as file:
        assert b"name;email" not in file.read()
    assert os.stat(stored.path).st_mode & 0o777 == 0o600
    assert (stored.size, stored.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, None), (0, 1), (BLOCK - 1, BLOCK + 1), (BLOCK, 2 * BLOCK), (len(CONTENT) - 1, None), (5, 10**9), (7, 7)],
)
def test_any_range_reads_as_the_content(stored, start, stop):
    assert b"".join(stored_files.read(stored, start, stop)) == CONTENT[start:stop]


def test_readers_that_jump_get_a_real_file_without_a_name(stored, tmp_path):
    with stored_files.opened(stored, tmp_path) as file:
        file.seek(BLOCK)
        assert file.read(10) == CONTENT[BLOCK : BLOCK + 10]
        assert [path.name for path in tmp_path.iterdir()] == [os.path.basename(stored.path)]


def test_a_changed_byte_a_lost_file_and_a_foreign_key_are_noticed(stored, settings):
    foreign = replace(stored, key=Fernet(Fernet.generate_key()).encrypt(b"x" * 32))
    with pytest.raises(FileGone):
        list(stored_files.read(foreign))
    with open(stored.path, "r+b") as file:
        file.seek(BLOCK)
        byte = file.read(1)
        file.seek(BLOCK)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(FileGone):
        list(stored_files.read(stored))
    stored_files.delete(stored.path)
    stored_files.delete(stored.path)
    with pytest.raises(FileGone):
        list(stored_files.read(stored))


def test_a_key_that_was_rotated_still_opens(stored, settings):
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_ENCRYPTION_KEYS]
    assert b"".join(stored_files.read(stored, 0, 4)) == CONTENT[:4]


def test_what_broke_off_leaves_nothing(tmp_path):
    def break_off() -> None:
        with stored_files.Writer(tmp_path) as writer:
            writer.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert list(tmp_path.iterdir()) == []

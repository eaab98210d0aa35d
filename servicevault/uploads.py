"""Uploads on their way in: what is too large is refused while it comes, what is kept is encrypted (F-022, F-086).

Small files stay in memory (Django's own handler comes first); anything larger goes into an encrypted file that is
removed when the request ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile

from permissions.tables import largest_upload_mb
from servicevault import stored_files
from servicevault.stored_files import Stored, Writer
from servicevault.wording import say

MIB = 1024 * 1024
OTHERS_MB = 5  # packs and whatever else is no import file
ENVELOPE = 64 * 1024  # what a body may have besides its file


class UploadTooLarge(RequestDataTooBig):
    """More bytes than the person may send at all."""

    def __init__(self, size: int, limit_mb: int) -> None:
        super().__init__(
            say(
                "The file has {size:,.1f} MB or more; at most {limit_mb:,} MB are allowed.",
                size=size / MIB,
                limit_mb=limit_mb,
            )
        )
        self.size_mb, self.limit_mb = round(size / MIB, 2), limit_mb


class SealedUpload(UploadedFile):
    """An uploaded file whose content lies encrypted; read once or several times, then removed."""

    def __init__(self, stored: Stored, **kwargs: Any) -> None:
        super().__init__(file=None, size=stored.size, **kwargs)
        self._stored = stored
        self._place = 0

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        return stored_files.read(self._stored)

    def multiple_chunks(self, chunk_size: int | None = None) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        stop = None if size < 0 else self._place + size
        found = b"".join(stored_files.read(self._stored, self._place, stop))
        self._place += len(found)
        return found

    def seek(self, place: int, whence: int = 0) -> int:
        base = {0: 0, 1: self._place, 2: self._stored.size}[whence]
        self._place = max(0, base + place)
        return self._place

    def tell(self) -> int:
        return self._place

    def open(self, *args: Any, **kwargs: Any) -> SealedUpload:
        self._place = 0
        return self

    def close(self) -> None:
        stored_files.delete(self._stored.path)

    @property
    def closed(self) -> bool:
        return False


class SealedUploadHandler(FileUploadHandler):
    """Takes files of people who are logged in, up to the largest size they may import into any table."""

    limit_mb = 0
    writer: Writer | None = None

    def handle_raw_input(  # type: ignore[override] # Django names an argument in capitals
        self, input_data: Any, meta: Any, content_length: int, *args: Any, **kwargs: Any
    ) -> None:
        user = getattr(self.request, "user", None)
        if user is not None and user.is_authenticated:
            self.limit_mb = max(OTHERS_MB, largest_upload_mb(user))
            self._check(content_length - ENVELOPE)

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if not self.limit_mb:
            raise SkipFile
        self.writer = Writer(settings.IMPORT_TEMP_DIR)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        assert self.writer is not None
        self.writer.write(raw_data)
        self._check(self.writer.size)

    def file_complete(self, file_size: int) -> SealedUpload | None:
        if self.writer is None:
            return None
        stored, self.writer = self.writer.close(), None
        return SealedUpload(
            stored, name=self.file_name, content_type=self.content_type, charset=self.charset,
            content_type_extra=self.content_type_extra,
        )  # fmt: skip

    def upload_interrupted(self) -> None:
        if self.writer is not None:
            self.writer.discard()
            self.writer = None

    def _check(self, size: int) -> None:
        if size > self.limit_mb * MIB:
            self.upload_interrupted()
            raise UploadTooLarge(size, self.limit_mb)

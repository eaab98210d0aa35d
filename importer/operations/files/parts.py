"""Files that come in parts and go on where they stopped (F-040)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import IO, Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from importer.file_failures import MIB, FileFailure, FileTooLarge, NotThere
from importer.models import FileUpload
from importer.operations.failures import Conflict, InvalidFields
from importer.operations.files import rights
from servicevault import stored_files
from servicevault.stored_files import Stored
from servicevault.tabular.filenames import cleaned
from servicevault.wording import say, say_count

PART_BYTES = 5 * MIB
KEPT = timedelta(hours=24)


class WrongOffset(Conflict):
    """The part does not begin where the file ends; `offset` says where it does."""

    def __init__(self, offset: int) -> None:
        super().__init__(
            say("The next byte to send is number {offset:,}.", offset=offset),
            hint=say("Ask for the offset and go on there."),
        )
        self.offset = offset


class UploadGone(FileFailure):
    """The upload is older than a day, or was used."""

    code, status = "upload_expired", 410


def begin(user: Any, filename: str, size: int, sha256: str = "") -> FileUpload:
    """An upload that waits for its parts of 5 MiB.

    Raises ImportDenied without any import permission, FileTooLarge, TooManyImports, InvalidFields.
    """
    allowance = rights.require_any(user)
    if size < 1:
        raise InvalidFields({"size": [say("The size is a number of bytes from 1.")]})
    if sha256 and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
        raise InvalidFields({"sha256": [say("A SHA-256 has 64 hexadecimal digits.")]})
    if size > allowance.max_file_size_mb * MIB:
        raise FileTooLarge(size, allowance.max_file_size_mb)
    rights.check_room(user, size)
    return FileUpload.objects.create(
        created_by=user, filename=cleaned(filename), size=size, sha256=sha256.lower(), expires_at=timezone.now() + KEPT
    )


def find(user: Any, upload_id: UUID | str) -> FileUpload:
    """The person's own upload. Raises NotThere, UploadGone."""
    found = FileUpload.objects.filter(pk=upload_id, created_by=user).first()
    if found is None:
        raise NotThere(say("There is no such upload."), hint=say("Begin it again."))
    if found.expires_at < timezone.now():
        raise UploadGone(say("The upload was kept for a day and is gone."), hint=say("Begin again."))
    return found


def append(user: Any, upload_id: UUID | str, offset: int, content: IO[bytes]) -> FileUpload:
    """Take the part that begins at `offset`.

    Raises NotThere, UploadGone, WrongOffset, FileTooLarge for more than was announced or than a part holds, and
    InvalidFields when the whole has another SHA-256: then it begins anew.
    """
    upload = find(user, upload_id)
    if offset != upload.offset:
        raise WrongOffset(upload.offset)
    stored = _kept(content, min(PART_BYTES, upload.size - offset))
    if not stored.size:
        stored_files.delete(stored.path)
        return upload
    try:
        with transaction.atomic():
            upload = FileUpload.objects.select_for_update().get(pk=upload.pk)
            if upload.offset != offset:
                raise WrongOffset(upload.offset)
            key = base64.b64encode(stored.key).decode()
            upload.parts.append({"path": stored.path, "key": key, "size": stored.size, "sha256": stored.sha256})
            upload.offset += stored.size
            upload.save(update_fields=["parts", "offset"])
    except BaseException:
        stored_files.delete(stored.path)
        raise
    if upload.offset == upload.size and upload.sha256:
        _compare(upload)
    return upload


def content_of(upload: FileUpload) -> Iterator[bytes]:
    """The whole file, piece by piece. Raises Conflict while parts are missing."""
    if upload.offset != upload.size:
        raise Conflict(
            say_count(
                "{count} byte is still to come.", "{count:,} bytes are still to come.", upload.size - upload.offset
            ),
            hint=say("Send them first."),
        )
    return _pieces(upload)


def discard(upload: FileUpload) -> None:
    """Remove what was sent; after the file was taken over, or because nobody wants it."""
    for part in upload.parts:
        stored_files.delete(part["path"])
    upload.delete()


def _pieces(upload: FileUpload) -> Iterator[bytes]:
    for part in upload.parts:
        yield from stored_files.read(Stored(part["path"], base64.b64decode(part["key"]), part["size"], part["sha256"]))


def _kept(content: IO[bytes], most: int) -> Stored:
    with stored_files.Writer(settings.IMPORT_TEMP_DIR) as writer:
        while piece := content.read(min(MIB, most + 1 - writer.size)):
            writer.write(piece)
            if writer.size > most:
                raise FileTooLarge(writer.size, max(1, most // MIB))
    assert writer.stored is not None
    return writer.stored


def _compare(upload: FileUpload) -> None:
    digest = hashlib.sha256()
    for piece in _pieces(upload):
        digest.update(piece)
    if digest.hexdigest() == upload.sha256:
        return
    for part in upload.parts:
        stored_files.delete(part["path"])
    upload.parts, upload.offset = [], 0
    upload.save(update_fields=["parts", "offset"])
    raise InvalidFields(
        {"sha256": [say("What came is not what was announced. Send the file again from its beginning.")]}
    )

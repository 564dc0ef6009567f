"""Checkpoints in an object store, by obstore (the extra `s3`): S3, and servers that speak as it does.

A file appears whole when its upload is complete. `create` is a conditional put (`If-None-Match`), and a server that
ignores the condition is refused. obstore repeats requests that fail, and gives up after a while; whoever has used it
must not fork afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from penstock.checkpoints.store import Bytes, CheckpointStore, FileLost, StoreFile
from penstock.errors import ExtraMissing, StoreUnavailable

if TYPE_CHECKING:
    from types import ModuleType

REQUEST_S: Final = 20.0
"""For one request. A part of an upload has `_PART_BYTES`."""
GIVE_UP_S: Final = 40.0
"""No request is repeated after this time."""
_CONNECT_S: Final = 5.0
_RETRIES: Final = 8
_PART_BYTES: Final = 8 * 1024 * 1024
_UPLOADS: Final = 4
"""Parts of one file that are on their way at the same time."""
_SAID: Final = 300
"""Characters of an error that are shown."""
_PROBE: Final = "probe/condition"
_CREDENTIALS: Final = "check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE) and their rights"


def s3_store(place: str, pipeline: str) -> ObjectStore:
    """The store of one pipeline below `bucket/prefix`. Raises `ExtraMissing`."""
    return ObjectStore(_s3(f"{place}/{pipeline}"), f"s3://{place}/{pipeline}")


def s3_pipelines(place: str) -> list[str]:
    """The folders below `bucket/prefix`. Raises `StoreUnavailable`, `ExtraMissing`."""
    with _told(f"s3://{place}", "it cannot be read"):
        found = _obstore().list_with_delimiter(_s3(place))
    return [prefix.rpartition("/")[2] for prefix in found["common_prefixes"]]


class ObjectStore(CheckpointStore):
    """Any store of obstore's. Opens no connection before the first call."""

    answers_are_final = False

    def __init__(self, objects: Any, where: str) -> None:
        super().__init__(where)
        self._objects = objects
        self._has_conditions = False

    def writing(self, name: str) -> StoreFile:
        return _ObjectFile(self._objects, name, self.where)

    def create(self, name: str, data: bytes) -> bool:
        self._require_conditions()
        return self._create(name, data)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        obstore = _obstore()
        with _told(self.where, f"{name} cannot be read"):
            try:
                if offset == 0 and length is None:
                    return bytes(obstore.get(self._objects, name).bytes())
                # A range beyond the end is an error of its own in each kind of store.
                size = obstore.head(self._objects, name)["size"]
                end = size if length is None else min(size, offset + length)
                if offset >= end:
                    return b""
                return bytes(obstore.get_range(self._objects, name, start=offset, end=end))
            except FileNotFoundError:
                raise FileLost(name) from None

    def sizes(self, folder: str) -> dict[str, int]:
        with _told(self.where, "it cannot be listed"):
            return {
                found["path"].rpartition("/")[2]: found["size"]
                for page in _obstore().list(self._objects, prefix=f"{folder}/", chunk_size=1000) for found in page
            }

    def delete(self, names: Sequence[str]) -> None:
        obstore = _obstore()
        with _told(self.where, "files cannot be deleted"):
            try:
                if names:
                    obstore.delete(self._objects, list(names))
            except FileNotFoundError:  # some kinds of stores do not accept that one is not there
                for name in names:
                    with suppress(FileNotFoundError):
                        obstore.delete(self._objects, name)

    def _create(self, name: str, data: bytes) -> bool:
        obstore = _obstore()
        with _told(self.where, f"{name} cannot be written"):
            try:
                obstore.put(self._objects, name, data, mode="create", use_multipart=False)
            except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
                return False
        return True

    def _require_conditions(self) -> None:
        """Once: a name that is there must be refused, or two runs could not be kept apart."""
        if not self._has_conditions and self._create(_PROBE, b"") and self._create(_PROBE, b""):
            what = "this server ignores the condition of a put (If-None-Match), so it cannot keep two runs apart"
            raise StoreUnavailable(self.where, what, "use another server, a newer version of it, or a directory")
        self._has_conditions = True


class _ObjectFile(StoreFile):
    def __init__(self, objects: Any, name: str, where: str) -> None:
        self._objects = objects
        self._name = name
        self._where = where
        self._length = 0
        self._writer = _obstore().open_writer(objects, name, buffer_size=_PART_BYTES, max_concurrency=_UPLOADS)

    def write(self, data: Bytes) -> None:
        self._length += len(data)
        with _told(self._where, f"{self._name} cannot be written"):
            self._writer.write(bytes(data))

    def close(self) -> None:
        with _told(self._where, f"{self._name} cannot be written"):
            self._writer.close()

    def abandon(self) -> None:
        # What is less than a part was never sent. Parts that were take up room until the upload is completed, and
        # only then can be removed; if that fails, too, the bucket's rule for such uploads does it.
        with suppress(Exception):
            if self._length > _PART_BYTES:
                self._writer.close()
                _obstore().delete(self._objects, self._name)


def _obstore() -> ModuleType:
    try:
        import obstore  # of an extra
    except ImportError as exc:
        raise ExtraMissing("obstore", "s3") from exc
    module: ModuleType = obstore  # without the extra mypy knows nothing of it
    return module


def _s3(place: str) -> Any:
    bucket, _, prefix = place.partition("/")
    _obstore()
    from obstore.store import S3Store  # as above

    # Region, endpoint and credentials come from the environment, which obstore reads itself. Whoever names an
    # endpoint without encryption there means it.
    return S3Store(
        bucket, prefix=prefix or None,
        client_options={
            "allow_http": True, "timeout": timedelta(seconds=REQUEST_S),
            "connect_timeout": timedelta(seconds=_CONNECT_S),
        },
        retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=GIVE_UP_S)},
    )


@contextmanager
def _told(where: str, what: str) -> Iterator[None]:
    try:
        yield
    except (_obstore().exceptions.BaseError, OSError, ValueError) as exc:
        # A file that is written wraps each error in an OSError: what is left of its kind is its text.
        said = " ".join(str(exc).partition("Debug source:")[0].split())
        if "NoSuchBucket" in said or isinstance(exc, FileNotFoundError):
            raise StoreUnavailable(where, f"{what}: there is no such bucket", "make it, then try again") from exc
        if "403 Forbidden" in said or "401 Unauthorized" in said:
            raise StoreUnavailable(where, f"{what} ({_short(said)})", f"{_CREDENTIALS}, then try again") from exc
        raise StoreUnavailable(where, f"{what} ({_short(said)})") from exc


def _short(said: str) -> str:
    """What obstore says of an error, and of a server's long answer its code."""
    text, answer, rest = said.partition(": <?xml")
    code = rest.partition("<Code>")[2].partition("</Code>")[0]
    return text[:_SAID] + (f": {code[:_SAID]}" if answer and code else "")

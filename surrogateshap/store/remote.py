"""Objects and other files at an fsspec URL, such as `s3://bucket/folder`: credentials in it are never shown."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from surrogateshap.errors import MissingExtraError, RunError
from surrogateshap.store.objects import Objects, Suffix, is_digest, object_name, read_only_error, split_name
from surrogateshap.text import digest, harmless

_FOLDER = "objects"
_SECRETS = re.compile(r"(?<=://)(?<!abfs://)(?<!abfss://)[^\s/]*@|\?[^\s'\"]*")
"""User names, passwords, keys and tokens within URLs, as libraries' errors show them. Azure has a container there."""
_REMEDY = "Look at the network, at the address and at your rights to it. What was finished is kept: try again."


def shown_url(url: str) -> str:
    """The URL without what may be secret in it."""
    return harmless(_SECRETS.sub("", url.partition("#")[0]), 1000).rstrip("/")


class RemoteFiles:
    """Files below an URL. Copies in other processes open it for themselves."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.shown = shown_url(url)

    def __getstate__(self) -> str:
        return self._url

    def __setstate__(self, url: str) -> None:
        self._url, self.shown = url, shown_url(url)

    def open(self) -> None:
        """Raises MissingExtraError where a package for such URLs isn't installed, RunError where it can't be used."""
        _ = self._opened

    def read(self, name: str, length: int | None = None) -> bytes | None:
        """See Files."""
        fs, path = self._at(name)
        with self._errors("read"):
            try:
                return bytes(fs.cat_file(path, end=length))
            except FileNotFoundError:
                return None

    def size(self, name: str) -> int | None:
        """Bytes of a file, counted; None where there is no such file."""
        fs, path = self._at(name)
        with self._errors("read"):
            try:
                return int(fs.info(path)["size"])
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """See Files."""
        fs, path = self._at(name)
        with self._errors("write"):
            try:
                fs.pipe_file(path, data)
            except FileNotFoundError:  # where folders are more than parts of names
                fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                fs.pipe_file(path, data)

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """See Files."""
        fs, path = self._at(folder)
        with self._errors("read"):
            fs.invalidate_cache()  # others write here too
            try:
                found = fs.find(path, detail=True)
            except FileNotFoundError:
                found = {}
            fs.invalidate_cache()
        start = len(path) - len(folder)
        for each, info in sorted(found.items()):
            yield each[start:], int(info["size"])

    def remove(self, name: str) -> None:
        """See Files."""
        fs, path = self._at(name)
        with self._errors("remove"):
            try:
                fs.rm_file(path)
            except FileNotFoundError:
                return

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the path of the URL in it."""
        from fsspec.core import url_to_fs

        try:
            with self._errors("open"):
                fs, path = url_to_fs(self._url)
        except ImportError:
            raise self._missing() from None
        return fs, path.rstrip("/")

    def _at(self, name: str) -> tuple[Any, str]:
        fs, root = self._opened
        return fs, f"{root}/{name}"

    def _missing(self) -> MissingExtraError:
        from fsspec.registry import known_implementations

        protocol = self._url.partition("://")[0]
        known = known_implementations.get(protocol, {})
        package = known.get("class", "").partition(".")[0]
        remedy = known.get("err", "") if package == "fsspec" else f"pip install {package}"
        return MissingExtraError(f"{self.shown} needs a package that is not installed", remedy)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, ImportError):
            raise
        except Exception as error:  # what the libraries behind fsspec raise has no common base
            why = harmless(_SECRETS.sub("", str(error)), 300) or type(error).__name__
            raise RunError(f"{self.shown}: can't {what}: {why}", _REMEDY) from None


class RemoteObjects(Objects):
    """The objects below an URL: `objects/ab/<digest>.<suffix>`.

    What was seen there once is taken to be there: objects never change, and asking takes a while each time. What was
    read once is read from `cache` then, if there is one.
    """

    def __init__(self, files: RemoteFiles, *, read_only: bool, cache: Objects | None = None) -> None:
        super().__init__(Path(files.shown), read_only=read_only)
        self._files, self._cache = files, cache
        self._seen: set[str] = set()

    def put(self, data: bytes, suffix: Suffix) -> str:
        """See Objects. One that is there with another size is replaced: its writing was cut off."""
        name = digest(data)
        if self._read_only:
            raise read_only_error(self._folder)
        if name not in self._seen:
            file = f"{_FOLDER}/{object_name(name, suffix)}"
            if self._files.size(file) != len(data):
                self._files.write(file, data)
            self._seen.add(name)
        return name

    def get(self, name: str, suffix: Suffix) -> bytes | None:
        """See Objects."""
        if not is_digest(name):
            return None
        if self._cache is not None and (data := self._cache.get(name, suffix)) is not None:
            return data
        file = f"{_FOLDER}/{object_name(name, suffix)}"
        data = self._files.read(file)
        if data is not None and digest(data) == name:
            if self._cache is not None and not self._read_only:
                with suppress(RunError):  # a full disk is in nobody's way here
                    self._cache.put(data, suffix)
            return data
        self._seen.discard(name)
        if data is not None and not self._read_only:
            self._files.remove(file)
        return None

    def has(self, name: str) -> bool:
        """See Objects. Those whose digests begin alike are looked up together."""
        if is_digest(name) and name not in self._seen:
            listed = (split_name(file) for file, _ in self._files.list(f"{_FOLDER}/{name[:2]}"))
            self._seen.update(found[0] for found in listed if found is not None)
        return name in self._seen

    def each(self) -> Iterator[tuple[str, Suffix, int]]:
        """See Objects."""
        for file, size in self._files.list(_FOLDER):
            found = split_name(file)
            if found is not None:
                yield *found, size

    def drop(self, name: str) -> None:
        """See Objects."""
        if self._read_only:
            raise read_only_error(self._folder)
        self._seen.discard(name)
        if self._cache is not None:
            self._cache.drop(name)
        for file, _ in self._of(name):
            self._files.remove(file)

    def size(self, name: str) -> int | None:
        """See Objects."""
        return next((size for _, size in self._of(name)), None)

    def head(self, name: str, suffix: Suffix, length: int) -> bytes:
        """See Objects."""
        return self._files.read(f"{_FOLDER}/{object_name(name, suffix)}", length) or b""

    def whole(self, name: str, suffix: Suffix) -> bool:
        """See Objects."""
        data = self._files.read(f"{_FOLDER}/{object_name(name, suffix)}")
        return data is not None and digest(data) == name

    def _of(self, name: str) -> list[tuple[str, int]]:
        """Files of an object, and their sizes."""
        files = self._files.list(f"{_FOLDER}/{name[:2]}") if is_digest(name) else iter(())
        return [(file, size) for file, size in files if (split_name(file) or ("",))[0] == name]

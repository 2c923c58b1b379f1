"""Models and encoders on the Hugging Face hub: which commit a name stands for, what it holds, and fetching it.

`plan` resolves a name to a commit, reads the repository's listing and downloads small texts alone; `apply` downloads
the weights when they are first needed. Everything lies in the hub's own cache. huggingface_hub is imported only where a
spec names the hub.
"""

import errno
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surrogateshap.errors import Refused, RunError
from surrogateshap.plan.files import TEXTS, Layout, loaded_files
from surrogateshap.plan.model import InputFile
from surrogateshap.store.atomic import atomic_write_bytes
from surrogateshap.text import digest, harmless
from surrogateshap.units import size

Pins = Mapping[tuple[str, str], str]
"""(role, repository) -> commit that an earlier plan found."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAMED = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)@([0-9a-f]{40})", re.ASCII)
_SMALL = 8 << 20
"""Bytes of the largest text that `plan` downloads."""
_MOST_FILES = 20_000
_WORKERS = 8


class HubRefused(Refused):
    """The hub doesn't give what a spec names, with what to do about it."""


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit, as far as it counts."""

    repository: str
    """`owner/name`."""
    commit: str
    revision: str | None
    """As the spec has it."""
    folder: Path
    """Where its files lie once they are downloaded."""
    sizes: Mapping[str, int]
    """Bytes of each file that loading needs, by name; weights as safetensors of the right variant, and texts."""

    @property
    def name(self) -> str:
        """As plans and records name it."""
        return f"{self.repository}@{self.commit}"

    @property
    def pinned(self) -> bool:
        """Whether the spec names this very commit."""
        return self.revision == self.commit

    @property
    def listing(self) -> frozenset[str]:
        """Names of all files that loading needs, here or still on the hub."""
        return frozenset(self.sizes)

    def input(self, role: str) -> InputFile:
        """The plan's input: a commit stands for its content."""
        content = digest({"repository": self.repository, "commit": self.commit})
        return InputFile(role=role, name=self.name, digest=content, bytes=sum(self.sizes.values()))

    def missing(self) -> tuple[str, ...]:
        """Names of the files that are not in the cache."""
        return tuple(name for name in sorted(self.sizes) if not (self.folder / name).is_file())


def pins_of(inputs: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """The commits that an earlier plan, given by its inputs as JSON, was made with."""
    found = ((str(file["role"]), _NAMED.fullmatch(str(file["name"]))) for file in inputs)
    return {(role, match[1]): match[2] for role, match in found if match is not None}


def is_snapshot(name: str) -> bool:
    """Whether an input's name is `owner/name@commit`."""
    return _NAMED.fullmatch(name) is not None


def snapshot_folder(name: str) -> Path:
    """Where files of `owner/name@commit` lie once they are downloaded. Raises OSError for another name."""
    found = _NAMED.fullmatch(name)
    if found is None:
        raise OSError(f"{name} is no commit of a repository")
    return _folder(found[1], found[2])


def open_snapshot(
    repository: str,
    revision: str | None,
    layout: Layout,
    variant: str | None = None,
    weight_name: str | None = None,
    commit: str | None = None,
) -> Snapshot:
    """Resolves a revision, by default the main branch, unless its `commit` is known, and downloads the small texts.

    A commit that was seen before needs no network. Raises HubRefused.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        commit = revision
    with _telling(repository, revision or "main"):
        known = _read_listing(repository, commit) if commit is not None else None
        if commit is None or known is None:
            commit, known = _look_up(repository, commit or revision or "main")
        folder = _folder(repository, commit)
        there = Snapshot(repository, commit, revision, folder, known)
        if layout == "pipeline" and "model_index.json" in known:
            _download(there, ["model_index.json"])
        try:
            names = loaded_files(folder, known, layout, variant, weight_name)
        except ValueError as error:
            remedy = (
                "Remove `variant`." if "variant" in str(error) else "Convert them, or name a revision that has them."
            )
            raise HubRefused(f"{repository} {harmless(str(error))}", remedy) from None
        sizes = {name: known[name] for name in names}
        chosen = Snapshot(repository, commit, revision, folder, sizes)
        texts = [name for name, length in sizes.items() if name.endswith(TEXTS) and length <= _SMALL]
        _download(chosen, texts)
    return chosen


def fetch(snapshot: Snapshot) -> None:
    """Downloads what is missing of a snapshot. Raises RunError."""
    missing = snapshot.missing()
    if not missing:
        return
    try:
        with _telling(snapshot.repository, snapshot.revision or "main"):
            _download(snapshot, missing)
            if gone := snapshot.missing():
                raise HubRefused(
                    f"{harmless(gone[0])} of {snapshot.name} could not be downloaded", "Run `apply` again."
                )
    except HubRefused as error:
        rest = sum(snapshot.sizes[name] for name in snapshot.missing())
        raise RunError(f"{error.message} ({size(rest)} are still to be downloaded)", error.remedy) from None


def offline() -> bool:
    """Whether HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids all requests."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _folder(repository: str, commit: str) -> Path:
    return _cache() / f"models--{repository.replace('/', '--')}" / "snapshots" / commit


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser().resolve()


def _look_up(repository: str, revision: str) -> tuple[str, dict[str, int]]:
    """Commit and listing, from the hub or, offline, from what was seen before."""
    if offline():
        return _look_up_offline(repository, revision)
    from huggingface_hub import HfApi, constants

    info = HfApi(endpoint=constants.ENDPOINT).model_info(repository, revision=revision, files_metadata=True, timeout=30)
    commit = info.sha if isinstance(info.sha, str) else ""
    if not _COMMIT.fullmatch(commit) or (_COMMIT.fullmatch(revision) and commit != revision):
        raise HubRefused(f"the hub answers with no commit for {harmless(repository)}", "Check HF_ENDPOINT.")
    siblings = info.siblings or []
    if len(siblings) > _MOST_FILES:
        raise HubRefused(f"{harmless(repository)} has more than {_MOST_FILES:,} files")
    listing = _checked_listing(repository, {file.rfilename: file.size for file in siblings})
    _write_listing(repository, revision, commit, listing)
    return commit, listing


def _checked_listing(repository: str, files: Mapping[Any, Any]) -> dict[str, int]:
    """Raises HubRefused for names that would lie outside the snapshot's folder, or are no names."""
    listing = {}
    for name, length in files.items():
        if not isinstance(name, str) or not _is_inside(name):
            shown = harmless(str(name), 60)
            raise HubRefused(
                f"{harmless(repository)} lists a file that no repository can hold: {shown}", "Don't use it."
            )
        listing[name] = length if isinstance(length, int) and length >= 0 else 0
    return listing


def _is_inside(name: str) -> bool:
    parts = name.split("/")
    plain = name.isprintable() and not any(character in name for character in '\\:*?"<>|')
    return plain and 0 < len(name) <= 1000 and all(part not in ("", ".", "..") for part in parts)


def _download(snapshot: Snapshot, names: Iterable[str]) -> None:
    """Into the hub's cache; what is there is left alone."""
    wanted = [name for name in names if not (snapshot.folder / name).is_file()]
    if not wanted:
        return
    if offline():
        message = f"{harmless(wanted[0])} of {snapshot.name} is not in the cache, and HF_HUB_OFFLINE is set"
        raise HubRefused(message, "Run it once without HF_HUB_OFFLINE, or copy the cache here.")
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # they would be drawn over those of the run
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

    def get(name: str) -> None:
        hf_hub_download(
            snapshot.repository,
            name,
            revision=snapshot.commit,
            cache_dir=_cache(),
            endpoint=constants.ENDPOINT,
        )

    small = [name for name in wanted if snapshot.sizes.get(name, 0) <= _SMALL]
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(get, small))
    for name in wanted:  # what takes minutes stays in this thread, where Ctrl-C can end it
        if name not in small:
            get(name)


@contextmanager
def _telling(repository: str, revision: str) -> Iterator[None]:
    """Raises HubRefused in the user's words for whatever the hub, the network or the disk refuses."""
    from huggingface_hub import errors

    shown = harmless(repository)
    login = "Ask for access on its page, then log in with `hf auth login` (before: `huggingface-cli login`)."
    try:
        yield
    except HubRefused:
        raise
    except errors.GatedRepoError:
        raise HubRefused(f"{shown} is gated on the hub, and you are not let in", login) from None
    except errors.RevisionNotFoundError:
        message = f"{shown} has no revision `{harmless(revision)}` on the hub"
        raise HubRefused(message, "Name a branch, tag or commit of it.") from None
    except errors.RepositoryNotFoundError:
        message = f"there is no folder {shown} beside the spec, and no such repository on the hub that you may read"
        remedy = "Check the name; for a private one log in with `hf auth login` (before: `huggingface-cli login`)."
        raise HubRefused(message, remedy) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise HubRefused(f"the hub refuses {shown} (HTTP {status})", login) from None
        raise HubRefused(f"the hub answers {shown} with HTTP {status}", "Try again later.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EPERM):
            message = f"{shown} can't be kept in {harmless(str(_cache()))}: {error.strerror}"
            raise HubRefused(message, "Make room or set permissions, or choose another place with HF_HOME.") from None
        raise _unreachable(shown, error) from None
    except Exception as error:  # its HTTP client's errors have no common base that older versions share
        raise _unreachable(shown, error) from None


def _unreachable(shown: str, error: Exception) -> HubRefused:
    reason = type(error).__name__ + (f": {harmless(str(error), 120)}" if str(error).strip() else "")
    remedy = "Check the network, or set HF_HUB_OFFLINE=1 to use what was downloaded before."
    return HubRefused(f"{shown} can't be read from the hub ({reason})", remedy)


def _notes(repository: str) -> Path:
    """Folder of the listings that were seen: the cache itself keeps none."""
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE).expanduser() / "surrogateshap" / repository.replace("/", "--")


def _write_listing(repository: str, revision: str, commit: str, listing: Mapping[str, int]) -> None:
    """Kept for later plans of this commit, and for planning offline; a cache that can't be written is no failure."""
    folder = _notes(repository)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(folder / f"{commit}.json", json.dumps(dict(listing), sort_keys=True).encode())
        if revision != commit:
            atomic_write_bytes(folder / f"{digest(revision.encode())[:32]}.ref", commit.encode())
    except OSError:
        return


def _read_listing(repository: str, commit: str) -> dict[str, int] | None:
    try:
        document = json.loads((_notes(repository) / f"{commit}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return _checked_listing(repository, document) if isinstance(document, dict) else None


def _look_up_offline(repository: str, revision: str) -> tuple[str, dict[str, int]]:
    """From listings that were seen, or from a snapshot that other tools downloaded."""
    cached = _cache() / f"models--{repository.replace('/', '--')}"
    commit = revision if _COMMIT.fullmatch(revision) else ""
    for ref in (_notes(repository) / f"{digest(revision.encode())[:32]}.ref", cached / "refs" / revision):
        if not commit and ".." not in revision and ref.is_file():
            commit = ref.read_text("utf-8", errors="replace").strip()
    if _COMMIT.fullmatch(commit):
        listing = _read_listing(repository, commit) or _walk(cached / "snapshots" / commit)
        if listing:
            return commit, listing
    message = f"`{harmless(revision)}` of {harmless(repository)} is not in the cache, and HF_HUB_OFFLINE is set"
    raise HubRefused(message, "Plan it once without HF_HUB_OFFLINE, or copy the cache here.")


def _walk(folder: Path) -> dict[str, int]:
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return found

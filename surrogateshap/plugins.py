"""Utilities and encoders of other packages: entry points, looked up without importing any of them.

A package offers them in its pyproject.toml, in the groups `surrogateshap.utilities` and `surrogateshap.encoders`. A
spec names one by `kind = "plugin"`, and the user lets it run with `--allow-plugin`: it may do whatever the user may.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, ParamSpec, TypeVar

from surrogateshap.errors import Refused, RunError
from surrogateshap.text import digest, harmless

PluginKind = Literal["utility", "encoder"]
GROUPS: dict[PluginKind, str] = {"utility": "surrogateshap.utilities", "encoder": "surrogateshap.encoders"}
ROLE = "plugin "
"""Begins the roles of plugins among a plan's inputs."""

P = ParamSpec("P")
T = TypeVar("T")


class PluginRefused(Refused):
    """A plugin that isn't there, or that nobody allowed, with what to do about it."""


@dataclass(frozen=True)
class Plugin:
    """An installed plugin; nothing of it has been imported."""

    kind: PluginKind
    name: str
    distribution: str
    """Name and version of the package that brings it, such as `surrogateshap-sharpness 0.1.0`."""
    digest: str
    """Of that, of what the entry point names, and of the package's files as its installer recorded them."""
    entry: EntryPoint


def installed(kind: PluginKind) -> tuple[str, ...]:
    """Names of the installed plugins of a kind, sorted."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUPS[kind])}))


def find_plugin(kind: PluginKind, name: str, allowed: Collection[str] | None = None) -> Plugin:
    """An installed plugin by name. Raises PluginRefused where there is none, several, or it is not `allowed`.

    `allowed` is None for plugins of a spec that was checked before.
    """
    shown = f"`{harmless(name, 80)}`"
    found = {_source(entry): entry for entry in entry_points(group=GROUPS[kind], name=name)}
    if not found:
        there = ", ".join(harmless(other, 80) for other in installed(kind))
        remedy = (
            f"Installed are: {there}." if there else f"None is installed; they are entry points of `{GROUPS[kind]}`."
        )
        raise PluginRefused(f"no installed package has the {kind} {shown}", remedy)
    if len(found) > 1:
        packages = ", ".join(harmless(source.partition(":")[0], 80) for source in sorted(found))
        raise PluginRefused(
            f"{len(found)} installed packages have the {kind} {shown}: {packages}", "Uninstall all but one."
        )
    ((source, entry),) = found.items()
    package = source.partition(":")[0]
    if allowed is not None and name not in allowed:
        message = f"{shown} is code of the package {harmless(package, 80)}, and plugins run only when allowed"
        raise PluginRefused(
            message, f"Allow it, where you trust that package, with --allow-plugin {harmless(name, 80)}"
        )
    return Plugin(kind, name, package, digest([source, _files(entry)]), entry)


def _source(entry: EntryPoint) -> str:
    """`NAME VERSION:module:attribute`."""
    package = "unknown" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    return f"{package}:{entry.value}"


def _files(entry: EntryPoint) -> list[list[str]]:
    """The package's files and their recorded hashes, less what depends on who installed it."""
    files = (entry.dist.files or []) if entry.dist is not None else []
    return sorted(
        [file.as_posix(), file.hash.value] for file in files if file.hash is not None and ".dist-info/" not in str(file)
    )


def load(plugin: Plugin) -> Callable[..., Any]:
    """Imports a plugin. Raises RunError, naming it, where that fails or gives nothing that can be called."""
    found = guarded(plugin, plugin.entry.load)
    if not callable(found):
        raise failed(plugin, f"{harmless(plugin.entry.value)} can't be called")
    made: Callable[..., Any] = found
    return made


def guarded(plugin: Plugin, call: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> T:
    """Calls something of a plugin; whatever it raises becomes a RunError that names it."""
    try:
        return call(*arguments, **options)
    except Exception as error:  # what a stranger's code raises has no common base
        reason = harmless(str(error).strip().partition("\n")[0])
        raise failed(plugin, f"{type(error).__name__}: {reason}" if reason else type(error).__name__) from error


def failed(plugin: Plugin, what: str) -> RunError:
    """The error for a plugin that doesn't do what its kind promises."""
    message = f"the {plugin.kind} plugin `{harmless(plugin.name, 80)}` ({harmless(plugin.distribution, 80)}): {what}"
    return RunError(message, "Look at its options in the spec, or ask whoever wrote it.")

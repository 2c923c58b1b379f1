"""What ctrl+p offers: screens and tabs, what keys do, specs and runs, games, contributors, themes, export."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from surrogateshap.text import harmless
from surrogateshap_tui.exporting import KINDS
from surrogateshap_tui.messages import OpenDetail, OpenTarget
from surrogateshap_tui.screens.workspace import VIEWS

if TYPE_CHECKING:
    from surrogateshap_tui.app import SurrogateShapApp

_MOST = 30
"""Hits of one provider; of 10,000 contributors nobody reads more."""


class Command(NamedTuple):
    """One line of the palette; its text is harmless."""

    text: str
    run: Callable[[], object]
    help: str = ""


class _Commands(Provider):
    """Offers what `commands` gives: all of it at once where `at_once`, else only what matches what was typed."""

    at_once = True

    @property
    def shap(self) -> "SurrogateShapApp":
        """The app."""
        from surrogateshap_tui.app import SurrogateShapApp

        assert isinstance(self.app, SurrogateShapApp)
        return self.app

    @abstractmethod
    def commands(self) -> Iterator[Command]:
        """What there is now."""

    async def discover(self) -> Hits:
        """See Provider."""
        for command in self.commands() if self.at_once else ():
            yield DiscoveryHit(Content(command.text), command.run, text=command.text, help=command.help)

    async def search(self, query: str) -> Hits:
        """See Provider."""
        matcher = self.matcher(query)
        hits = []
        for command in self.commands():
            score = matcher.match(command.text)
            if score > 0:
                hits.append((score, command))
        for score, command in sorted(hits, key=lambda hit: -hit[0])[:_MOST]:
            yield Hit(score, matcher.highlight(command.text), command.run, help=command.help)


class Places(_Commands):
    """Screens and tabs."""

    def commands(self) -> Iterator[Command]:
        """See _Commands."""
        workspace = self.shap.workspace
        if workspace is not None:
            for tab in VIEWS:
                yield Command(f"Go to {tab}", partial(self.shap.show_tab, tab))
        yield Command("Go home", self.shap.action_home, "specs and runs")
        yield Command("Keys and signs", self.shap.action_help)
        yield Command("Quit", self.shap.action_quit)


class Acts(_Commands):
    """What keys do on the screen, by their words in the help."""

    def commands(self) -> Iterator[Command]:
        """See _Commands."""
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if active.node is self.screen and active.enabled and binding.tooltip:
                text = f"{binding.description}: {binding.tooltip}"
                yield Command(text, partial(self.screen.run_action, binding.action), self.app.get_key_display(binding))


class Targets(_Commands):
    """Specs and runs that Home listed."""

    def commands(self) -> Iterator[Command]:
        """See _Commands."""
        listing = self.shap.listing
        for spec in listing.specs:
            yield Command(f"Open spec {harmless(spec)}", partial(self.app.post_message, OpenTarget(spec)))
        for run in listing.runs:
            yield Command(
                f"Open run {harmless(run.run)}", partial(self.app.post_message, OpenTarget(run.run)), run.status
            )


class Games(_Commands):
    """Games of the workspace."""

    def commands(self) -> Iterator[Command]:
        """See _Commands."""
        workspace = self.shap.workspace
        if workspace is not None:
            for game in workspace.session.state.games:
                yield Command(f"Game {harmless(str(game))}", partial(workspace.session.show_game, game))


class Contributors(_Commands):
    """Contributors of the game that is shown."""

    at_once = False

    def commands(self) -> Iterator[Command]:
        """See _Commands."""
        workspace = self.shap.workspace
        ranking = workspace.session.ranking if workspace is not None else None
        if workspace is not None and ranking is not None:
            for place in ranking.places:
                message = OpenDetail(workspace.session, place.name)
                yield Command(harmless(place.name), partial(self.app.post_message, message), f"rank {place.rank}")


class Themes(_Commands):
    """Light, dark, and the terminal's own colours."""

    def commands(self) -> Iterator[Command]:
        """See _Commands."""
        for name in sorted(self.app.available_themes):
            yield Command(f"Theme {name}", partial(setattr, self.app, "theme", name))


class Exports(_Commands):
    """Files of the finished run's results."""

    def commands(self) -> Iterator[Command]:
        """See _Commands."""
        workspace = self.shap.workspace
        if workspace is not None and workspace.session.results is not None:
            for kind in KINDS:
                yield Command(f"Export {kind}", partial(self.shap.export, kind), "to a file of the working directory")


PROVIDERS = frozenset({Places, Acts, Targets, Games, Contributors, Themes, Exports})

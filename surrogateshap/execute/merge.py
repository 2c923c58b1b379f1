"""From what workers did to what the store knows: here the index learns of objects, and nowhere else of images."""

from surrogateshap.execute.jobs import Done
from surrogateshap.execute.shard_files import ShardFiles
from surrogateshap.plan import keys
from surrogateshap.plan.compile import Compiled
from surrogateshap.store import Store


def register(compiled: Compiled, store: Store, made: str, done: Done) -> dict[str, str]:
    """Names what came of a job on the images `made`; returns the keys of what encoders said, by encoder."""
    if done.keys:
        store.remember(keys.provenance(made), store.put_json(done.where), "generate")
        store.add_images(made, done.keys)
    named = {name: keys.encoding(compiled.checked.encoders[name].digest, made) for name in done.encoded}
    for name, encoded in done.encoded.items():
        store.remember(named[name], encoded, "encode")
    return named


class Merger:
    """Takes what workers elsewhere left for a run into the store."""

    def __init__(self, compiled: Compiled, store: Store) -> None:
        self._compiled, self._store = compiled, store
        self._shards = ShardFiles(compiled, store.files, store.objects)
        self._taken: set[str] = set()
        self.ignored = 0
        """Files that are of no use, when they were last looked at."""

    def merge(self) -> int:
        """Takes all that is new and whole; returns how many images came so."""
        images = self.ignored = 0
        if self._compiled.spec.budget.rules:  # no worker cuts such a run
            return 0
        for name in self._shards.names():
            if name in self._taken:
                continue
            found = self._shards.read(name)
            if found is not None and self._known(found.done):
                self._taken.add(name)
            elif found is not None and found.done.made is not None and self._shards.holds(found):
                register(self._compiled, self._store, found.done.made, found.done)
                self._taken.add(name)
                images += len(found.done.keys)
            else:
                self.ignored += 1
        return images

    def warnings(self) -> tuple[str, ...]:
        """What to tell of files that are of no use."""
        if not self.ignored:
            return ()
        what = "worker's file is" if self.ignored == 1 else "workers' files are"
        return (f"{self.ignored} {what} damaged or of another plan, and ignored: what is missing is made anew",)

    def _known(self, done: Done) -> bool:
        """Whether the store has all of its images, and where they are these very ones, what encoders said of them."""
        found = self._store.find_images(done.keys)
        if len(found) < len(done.keys):
            return False
        if done.made is None or any(at[0] != done.made for at in found.values()):
            return True
        encoders = self._compiled.checked.encoders
        named = [keys.encoding(encoders[name].digest, done.made) for name in done.encoded if name in encoders]
        return len(self._store.lookup(named)) == len(named)

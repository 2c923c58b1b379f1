"""Lines of keys, against texts whose every number is the line that its key stands on."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogateshap.spec.positions import MAX_DEPTH, KeyPath, Positions

ODDLY_WRITTEN = """\
# a = [
top = 2 # = 3
a.b . "c.d" = 3
"quoted # key" = 4
'lit]eral' = 5
"esc\\u0061ped" = 6
when = 1979-05-27 07:32:00
text = \"\"\"
[decoy]
decoy = 1 \\\"\"\" ]]
\"\"\"\"\"
raw = '''
[[decoy]]''' # '''
list = [ # [
  15, 15,
  [16,
   17], # ]
]
inline = { x = 19, y.z = 19, deep = [ { q = 19 },
  { q = 20 } ] }
empty = [ ]
   [ spaced . table ]   # c
key = 23
[x.y]
k = 25
[x]
k = 27
[[fruit]]
name = 29
  [[fruit.variety]]
  name = 31
  [[fruit.variety]]
  name = 33
  [fruit.physical]
  size.cm = 35
[[fruit]]
name = 37
[[fruit.variety]]
name = 39
[contributors]
grouping = [
  { name = 42 },
  { name = 43, by = [43,
     44] },
]
"""


def leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(each, (*path, key))
    else:
        yield path, value


def check_numbers(text: str) -> int:
    """Every number of the text is the line it stands on; how many there are."""
    positions = Positions.of(text)
    numbers = [(path, value) for path, value in leaves(tomli.loads(text)) if isinstance(value, int)]
    assert [(path, positions.line(path)) for path, _ in numbers] == numbers
    return len(numbers)


def test_every_way_to_write_a_key() -> None:
    assert check_numbers(ODDLY_WRITTEN) == 26


@pytest.mark.parametrize("ending", ["\r\n", "\n\n"])
def test_line_endings(ending: str) -> None:
    text = ODDLY_WRITTEN.replace("\n", ending)
    positions, doubled = Positions.of(text), Positions.of(ODDLY_WRITTEN)
    step = len(ending.replace("\r", ""))
    assert {path: (line - 1) * step + 1 for path, line in doubled.lines.items()} == positions.lines


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("fruit", 0, "nothing"), 28),
        (("fruit", 1, "variety", 0, "nothing", 3), 38),
        (("fruit", 9), 28),
        (("x", "nothing"), 26),
        (("list", 7), 14),
        (("list", 2, 1), 17),
        (("contributors", "grouping", 1), 43),
        (("when",), 7),
        (("raw",), 12),
        (("empty", 0), 21),
        (("decoy",), 0),
        ((), 0),
    ],
)
def test_falls_back_to_the_nearest_parent(path: KeyPath, line: int) -> None:
    assert Positions.of(ODDLY_WRITTEN).line(path) == line


class Writer:
    """Writes a random TOML text whose numbers are the lines that they stand on."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.text = ""
        self.names = 0

    @property
    def line(self) -> int:
        return self.text.count("\n") + 1

    def put(self, *parts: str) -> None:
        self.text += "".join(parts)

    def maybe(self, *choices: str) -> None:
        self.put(self.rng.choice(["", *choices]))

    def key(self) -> str:
        self.names += 1
        return self.rng.choice(["k{}", '"k {}"', "'k.{}'", '"k\\t[{}"', "a{}.b", '{}."#"', "k_{} . c-d"]).format(
            self.names
        )

    def value(self, depth: int) -> None:
        kind = self.rng.randrange(5 if depth else 3)
        if kind < 2:
            self.put(str(self.line))
        elif kind == 2:
            self.put(
                self.rng.choice(
                    ['"a # [b] = \\" {"', "'x = ['", '"""\n[d]\nd = 1"""', "'''\n\n\"'''", "1.5", "07:32:00", '""']
                )
            )
        elif kind == 3:
            self.put("[")
            for _ in range(self.rng.randrange(4)):
                self.maybe("\n", " # ] c\n", "  ")
                self.value(depth - 1)
                self.maybe(" ", "\n")
                self.put(",")
            self.maybe("\n")
            self.put("]")
        else:
            self.put("{")
            for index in range(self.rng.randrange(4)):
                self.put(", " if index else " ", self.key(), " = ")
                self.value(depth - 1)
            self.put(" }")

    def statements(self) -> None:
        for _ in range(self.rng.randrange(4)):
            self.maybe("\n", "# [c] = {\n", "\t")
            self.put(self.key(), self.rng.choice(["=", " = "]))
            self.value(3)
            self.put(self.rng.choice(["\n", " # = [[\n"]))

    def document(self) -> str:
        self.statements()
        for _ in range(self.rng.randrange(5)):
            name = self.key()
            if self.rng.random() < 0.5:
                self.put("[", name, "]\n")
                self.statements()
                continue
            for _ in range(self.rng.randrange(1, 4)):
                self.put("[[ ", name, "]]", " # c\n")
                self.statements()
                inner = self.key()
                for _ in range(self.rng.randrange(3)):
                    self.put("  [[", name, ".", inner, "]]\n")
                    self.statements()
                if self.rng.random() < 0.5:
                    self.put("[", name, ".", self.key(), "]\n")
                    self.statements()
        return self.text


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_random_documents(rng: random.Random) -> None:
    check_numbers(Writer(rng).document())


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("[]{}=.,#\"'\\\n\r\t ab1"), max_size=60) | st.text(max_size=30))
def test_never_raises(text: str) -> None:
    """And on what is TOML, every leaf has a line, even where the text is at its oddest."""
    positions = Positions.of(text)
    try:
        document = tomli.loads(text)
    except ValueError:
        return
    lines = text.count("\n") + 1
    assert all(1 <= positions.line(path) <= lines for path, _ in leaves(document))


def test_depth_costs_nothing() -> None:
    """Keys that are nested beyond reason resolve to a parent; their paths are not even built."""
    deep = ".".join(["a"] * 900)
    positions = Positions.of(f"b = 1\n{deep} = 2\n" + "c = " + "[" * 300 + "]" * 300)
    assert positions.line(("a",) * 900) == 2
    assert positions.line(("c", *[0] * 200)) == 3
    assert max(map(len, positions.lines)) == MAX_DEPTH

"""Every problem of a spec: its file, line, key, words and remedy."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from surrogateshap.errors import Problem, SpecError
from surrogateshap.spec.load import Loaded, load_spec, read_spec

GOLDEN = Path(__file__).parent / "golden"
Read = Callable[[str], tuple[Loaded | None, list[Problem]]]

NET = '[[encoder]]\nname = "net"\nsource = "net"\n'
SCORE = '[[utility]]\nname = "score"\nkind = "score"\n'
WITHOUT_IMAGES = [
    ("strength = 0.5", 'kind = "image"', 8, "proxy.kind", "needs the manifest's images"),
    ("strength = 0.5", 'kind = ["prompt", "image"]', 8, "proxy.kind", "needs the manifest's images"),
    ('kind = "score"', 'kind = "frechet"', 26, "utility[0].reference", "needs an image column"),
    (
        'kind = "score"',
        'kind = "frechet"\nreference = "other.parquet"',
        29,
        "utility[0].reference",
        "needs an image column",
    ),
]


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, "the case breaks nothing, or too much"
    return text.replace(old, new)


def test_nothing_wrong(good: str, read: Read) -> None:
    loaded, problems = read(good)
    assert problems == []
    assert loaded == load_spec(Path("a.toml"))
    assert loaded is not None
    assert (loaded.file, loaded.folder, loaded.text) == ("a.toml", Path.cwd(), good)
    assert loaded.digest == hashlib.sha256(good.encode()).hexdigest()
    assert (loaded.spec.name, loaded.spec.sampling.steps, loaded.spec.encoder[0].source) == ("good", 10, "net")


def cases() -> Iterator[tuple[str, str, str]]:
    """Of `problems.txt`: lines of the good spec, what replaces them, and the problem as it is shown."""
    for block in (GOLDEN / "problems.txt").read_text(encoding="utf-8").split("\n\n"):
        old, new, told = [], [], []
        for line in block.strip("\n").split("\n"):
            into = {"- ": old, "+ ": new}.get(line[:2], told)
            into.append(line[2:] if into is not told else line)
        yield "\n".join(old), "\n".join(new), "\n".join(told)


@pytest.mark.parametrize(("old", "new", "told"), cases())
def test_one_problem(good: str, read: Read, old: str, new: str, told: str) -> None:
    """It is told once, without others in its wake."""
    assert told.startswith("a.toml"), "the case expects nothing"
    assert "\n".join(map(str, read(replaced(good, old, new))[1])) == told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "steps = 10",
            "steps = 0x" + "f" * 9000,
            "a.toml:11: sampling.steps: must be at least 1 and at most 1000, got a number of",
        ),
        (
            'source = "model"',
            f'source = "{"x" * 501}"',
            "a.toml:5: model.source: is longer than 500 characters\n    shorten it",
        ),
        ('kind = "score"', f'kind = "{"x" * 501}"', f'a.toml:28: utility[0].kind: unknown kind "{"x" * 59}…"'),
        ("steps = 10", f"{'x' * 99} = 1", f'a.toml:11: sampling."{"x" * 59}…": unknown key `{"x" * 59}…`'),
    ],
)
def test_one_long_problem(good: str, read: Read, old: str, new: str, told: str) -> None:
    (problem,) = read(replaced(good, old, new))[1]
    assert str(problem).startswith(told)


@pytest.mark.parametrize(("old", "new", "line", "key", "message"), WITHOUT_IMAGES)
def test_what_needs_images(good: str, read: Read, old: str, new: str, line: int, key: str, message: str) -> None:
    text = replaced(replaced(good, 'image = "image"', ""), old, new)
    (found,) = read(text)[1]
    assert (found.line, found.key) == (line, key)
    assert message in found.message
    assert "image = … under `[contributors]`" in found.remedy
    assert len(read(replaced(text, 'condition = "label"', 'condition = "label"\nimgae = "image"'))[1]) == 1, (
        "a misspelt column is told alone"
    )


REPAIRED = [
    ("strength = 0.5", "strenght = 0.9", "proxy.strength", 0.6),
    ("strength = 0.5", "strength = 2", "proxy.strength", 0.6),
    ("steps = 10", 'steps = "10"', "sampling.steps", 20),
    ('source = "model"', 'sorce = "model"', "model.source", "model"),
    ("spec_version = 1", "spec_version = 2", "spec_version", 1),
    ('kind = "score"', 'kind = "score"\nstatistic = {quantile = 2}', "utility.0.statistic", "mean"),
    ('kind = "score"', 'kind = "score"\nstatistic = {quantil = 0.2}', "utility.0.statistic.quantile", 0.2),
    ('kind = "score"', 'kind = "score"\nencoder = "nit"', "utility.0.encoder", "nit"),
    ("[[utility]]", "[utility]", "utility.0.name", "score"),
    ('[[utility]]\nname = "score"', "[utility.score]", "utility.0.name", "score"),
    ("[model]", "[[model]]", "model.source", "model"),
    ('kind = "unconditional"', 'kind = "value"\nvalue = "a"', "empty.kind", "unconditional"),
    ("[proxy]", "[[utility]]\nname=3\nkind='score'\n[proxy]", "", None),
    ('source = "model"', "", "", None),
    ('kind = "score"', 'kind = "scoer"', "", None),
    ('by = ["artist"]', "by = [1]", "", None),
]


@pytest.mark.parametrize(("old", "new", "key", "value"), REPAIRED)
def test_repaired_as_far_as_possible(good: str, read: Read, old: str, new: str, key: str, value: object) -> None:
    """Defaults step in for what is optional; without something required, there is no spec."""
    loaded, problems = read(replaced(good, old, new))
    assert problems
    if not key:
        assert loaded is None
        return
    assert loaded is not None
    found: object = loaded.spec
    for part in key.split("."):
        found = found[int(part)] if isinstance(found, tuple) else getattr(found, part)
    assert found == value


def test_no_table_where_one_belongs(good: str, read: Read) -> None:
    text = replaced(replaced(good, NET, ""), 'name = "good"', 'name = "good"\nintervals = 3\nencoder = [1, 2]')
    loaded, problems = read(text)
    assert loaded is None, "an encoder is required to be a table"
    assert [(each.line, each.key, each.message) for each in problems] == [
        (3, "intervals", "expected a table, got 3"),
        (4, "encoder[0]", "expected a table, got 1"),
        (4, "encoder[1]", "expected a table, got 2"),
    ]


def test_all_at_once(good: str, read: Read) -> None:
    """A misspelt key hides neither what is missing nor a dangling name, nor what another table lacks."""
    text = replaced(good, "strength = 0.5", "strenght = 0.5")
    text = replaced(text, 'condition = "label"', "")
    text = replaced(text, 'kind = "score"', 'kind = "score"\nencoder = "ent"')
    text += '[[utility]]\nname = "score"\nkind = "scoer"\nencoder = "tne"\n'
    loaded, problems = read(text)
    assert loaded is None
    assert [(each.line, each.key) for each in problems] == [
        (8, "proxy.strenght"),
        (13, "contributors.condition"),
        (29, "utility[0].encoder"),
        (37, "utility[1].name"),
        (38, "utility[1].kind"),
        (39, "utility[1].encoder"),
    ]
    with pytest.raises(SpecError) as raised:
        load_spec(Path("a.toml"))
    assert raised.value.problems == tuple(problems)


def test_nothing_is_said_that_rests_on_what_was_not_read(good: str, read: Read) -> None:
    text = replaced(good, 'kind = "unconditional"', 'kind = "value"\nvalue = {score = 1.0, other = 2.0}')
    text = replaced(text, NET, '[[encoder]]\nname = "Net"\nsource = "net"\n')
    text = replaced(text, SCORE, SCORE + 'encoder = "net"\n[[utility]]\nname = "Other"\nkind = "score"\n')
    text = replaced(text, "steps = 10", 'mode = "frsh"')
    assert [each.key for each in read(text)[1]] == ["sampling.mode", "encoder[0].name", "utility[1].name"]


def test_golden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything wrong at once, as it is shown."""
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(SpecError) as raised:
        load_spec(Path("wrong.toml"))
    assert f"{raised.value}\n".encode() == Path("wrong.txt").read_bytes()


@pytest.mark.parametrize(
    ("data", "line", "message", "remedy"),
    [
        (b"a = 1\nb = \xff\n", 2, "is not UTF-8 text (byte 0xff)", "save it as UTF-8"),
        ("a = 1".encode("utf-16"), 1, "is not UTF-8 text", "save it as UTF-8"),
        (b"#" * (2**20 + 1), 0, "is larger than 1 MiB", "name data files by path"),
        (
            b"a = 1\n\nname = digits\n",
            3,
            "not valid TOML: Invalid value",
            "texts need quotes; look at column 8 of: name = digits",
        ),
        (b"a = 1\na = 2\n", 2, "not valid TOML: Cannot overwrite a value", "look at column 6 of: a = 2"),
        (b"a = 1\n\x1b[31m = 2\n", 2, "not valid TOML", "of: \ufffd[31m = 2"),
        (b"a = [\n", 2, "not valid TOML", "something is left open above"),
        (b"a = " + b"[" * 5000, 0, "nested too deep", "no more than five levels"),
        (b".".join([b"a"] * 5000) + b"=1", 0, "nested too deep", "no more than five levels"),
        (b"a = " + b"1" * 5000, 0, "a number with thousands of digits", "shorten it"),
        (b"", 0, "missing key `name`", "add name"),
    ],
)
def test_unreadable_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, line: int, message: str, remedy: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_bytes(data)
    loaded, problems = read_spec(Path("a.toml"))
    assert loaded is None
    found = next(each for each in problems if message in each.message)
    assert (found.file, found.line) == ("a.toml", line)
    assert remedy in found.remedy


def test_a_byte_order_mark_is_fine(good: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf" + good.replace("\n", "\r\n").encode())
    loaded = load_spec(tmp_path / "a.toml")
    assert loaded.positions.line(("budget", "images")) == 31


def test_no_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, message, remedy in [
        (tmp_path / "none.toml", "does not exist", "surrogateshap init"),
        (tmp_path, "is a folder, not a spec", "name the TOML file in it"),
        (fifo, "is not a regular file", "save the spec in a file"),
        (tmp_path / "a.toml" / "b", "does not exist", "surrogateshap init"),
        (tmp_path / ("x" * 300), "can't be read", "check its name"),
        (tmp_path / "a\0b", "can't be read", "check its name"),
    ]:
        loaded, (problem,) = read_spec(path)
        assert loaded is None
        assert message in problem.message, path
        assert remedy in problem.remedy


def test_limits(good: str, read: Read) -> None:
    utilities = "".join(f'[[utility]]\nname = "u{index}"\nkind = "score"\n' for index in range(64))
    loaded, problems = read(replaced(good, SCORE, utilities))
    assert loaded is not None
    assert problems == []
    for path, text, most in [
        ("utility", good + utilities, 64),
        ("encoder", good + "".join(f'[[encoder]]\nname = "e{index}"\nsource = "e"\n' for index in range(32)), 32),
        (
            "contributors.grouping",
            replaced(
                good, NET, "".join(f'[[contributors.grouping]]\nname = "g{i}"\nby = ["a"]\n' for i in range(16)) + NET
            ),
            16,
        ),
    ]:
        found = next(each for each in read(text)[1] if each.key == path)
        assert found.message == f"holds {most + 1} elements, more than {most}"
    flood = read("".join(f"k{index} = 1\n" for index in range(50_000)))[1]
    assert len(flood) < 40
    assert any("and 49980 more unknown keys" in each.message for each in flood)


def test_loaded_tells_problems_of_later_checks(good: str, read: Read) -> None:
    loaded, _ = read(good)
    assert loaded is not None
    key = ("contributors", "grouping", 0, "by", 0)
    assert loaded.problem(key, "no such column", "look") == Problem(
        "a.toml", 20, "contributors.grouping[0].by[0]", "no such column", "look"
    )
    assert loaded.problem(("utility", 0, "encoder"), "x").line == 26
    assert loaded.problem(("execution", "devices"), "x").line == 0


def test_strangers_text_is_harmless(tmp_path: Path) -> None:
    """Escape codes in names, keys and file names never reach a terminal."""
    path = tmp_path / "a\x1b[31m.toml"
    path.write_text(
        'name = "\\u001b[2J"\n"\\u001b]0;\\u0007" = 1\n[model]\nsource = "\\u0000"\n[sampling]\nmode = "\\u202e"\n'
        '[[utility]]\nname = "u"\nkind = "\\u001b[2J"\nencoder = "\\u0085"\n[empty]\nvalue = {"\\u009b" = "x"}\n',
        encoding="utf-8",
    )
    shown = "".join(map(str, read_spec(path)[1]))
    assert len(shown) > 500
    assert not set(shown) & {"\x1b", "\x07", "\0", "\x85", "\x9b", "\u202e"}


def test_importing_is_cheap() -> None:
    code = "import sys, surrogateshap.spec.load; print({'polars', 'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("written", "where", "message", "remedy"),
    [
        ("{}", "", "a stopping rule needs `interval_width`, `stable_top` or `gpu_hours`", "add or remove one of them"),
        ("[{ stable_top = 3 }, {}]", "[1]", "a stopping rule needs `interval_width`", "add or remove one of them"),
        ("[]", "", "must not be empty", "add at least one element"),
        ("0.05", "", "expected a list, or a table", "write, for example, stop_when = { interval_width = 0.05 }"),
        ("[0.05]", "[0]", "expected a table, got 0.05", "write, for example, stop_when = { interval_width = 0.05 }"),
        ("[{ interval_widht = 0.1 }]", "[0].interval_widht", "unknown key", "did you mean `interval_width`?"),
        ("{ gpu_hours = 0 }", ".gpu_hours", "must be more than 0", "write a number in that range"),
    ],
)
def test_stopping_rules(read: Read, good: str, written: str, where: str, message: str, remedy: str) -> None:
    _, problems = read(good.replace("[budget]", f"[budget]\nstop_when = {written}"))
    (problem,) = problems
    assert problem.key == f"budget.stop_when{where}"
    assert message in problem.message
    assert problem.remedy == remedy
    assert problem.line == 1 + good[: good.index("[budget]")].count("\n") + 1

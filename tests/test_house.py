"""The house keeps its own rules: an `ast` walk over src (ARCHITECTURE.md, "The rooms")."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "postwren"

# room -> rooms it may import (itself is always allowed, except between protocols)
BASIC = {"terms", "wire"}
PURE = BASIC | {"message"}
CENTRE = PURE | {"mailstore"}
EDGE = CENTRE | {"protocols", "archive", "mailauth", "delivery", "transport", "config", "ops"}
MAY_IMPORT: dict[str, set[str]] = {
    "terms": set(),
    "wire": {"terms"},
    "message": BASIC,
    "protocols": PURE,
    "mailstore": PURE,
    "storage": CENTRE,
    "mailauth": PURE | {"protocols"},
    "delivery": CENTRE | {"protocols", "mailauth"},
    "transport": BASIC,
    "archive": {"terms"},
    "config": {"terms"},
    "ops": {"terms"},
    "server": EDGE,
    "client": EDGE,
    "exchange": EDGE | {"client"},
    "sync": EDGE | {"client", "exchange"},
    "testing": EDGE | {"server", "client", "exchange", "storage", "app"},
    "stores": CENTRE | {"config", "storage"},
    "app": EDGE | {"server", "client", "exchange", "sync", "storage", "stores"},
    "cli": EDGE | {"server", "client", "exchange", "sync", "app", "stores"},
}
PROTOCOL_MAY_IMPORT = {"smtp": {"sasl"}, "pop3": {"sasl"}, "imap": {"sasl"}}
PURE_ROOMS = ("terms", "wire", "message", "protocols")
IMPURE_MODULES = {"asyncio", "time", "random", "secrets", "os", "socket", "ssl", "threading", "datetime.now", "pathlib"}
LONGEST_FUNCTION = 60
BANNED_NAMES = {"utils", "helpers", "common", "manager", "base", "misc"}


def _span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def modules() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py")


def check_import(path: Path, name: str) -> str | None:
    here = path.relative_to(SRC).parts
    room = room_of(here)
    parts = tuple(name.split(".")[1:])
    if not parts or room in ("__init__", "__main__"):
        return None
    target = parts[0]
    if target == "storage" and room not in ("storage", "stores", "app", "testing"):
        return f"{path}: only the composition roots and testing import storage"
    if target == room == "protocols" and len(parts) > 1 and len(here) > 2:
        if parts[1] != here[1] and parts[1] not in PROTOCOL_MAY_IMPORT.get(here[1], set()):
            return f"{path}: a protocol never imports a protocol ({name})"
        return None
    if target != room and target not in MAY_IMPORT[room] and target != "__version__":
        return f"{path}: {room} may not import {name}"
    return None


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_imports_follow_the_arrow(path: Path) -> None:
    tree = ast.parse(path.read_text())
    faults = [check_import(path, name) for name in imported(tree) if name.split(".")[0] == "postwren"]
    assert [f for f in faults if f] == []


@pytest.mark.parametrize(
    "path",
    [p for p in modules() if room_of(p.relative_to(SRC).parts) in PURE_ROOMS],
    ids=lambda p: str(p.relative_to(SRC)),
)
def test_pure_rooms_do_not_await_or_look_at_the_world(path: Path) -> None:
    tree = ast.parse(path.read_text())
    awaits = [n for n in ast.walk(tree) if isinstance(n, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith)]
    assert awaits == []
    assert IMPURE_MODULES.isdisjoint(imported(tree))


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_functions_end_at_sixty_lines(path: Path) -> None:
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f"{n.name}: {_span(n)}" for n in functions if _span(n) > LONGEST_FUNCTION]
    assert long == []


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_modules_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    docstring = ast.get_docstring(tree)
    assert docstring, "a module opens with what it is"
    assert path.stem not in BANNED_NAMES
    if text.count("\n") > 600:
        assert "600 lines" in docstring, "a module above 600 lines says why in its docstring"


def test_the_standard_library_email_package_stays_out() -> None:
    """It needs gigabytes for a long Subject and recurses: an oracle in tests only."""
    for path in modules():
        assert not any(n == "email" or n.startswith("email.") for n in imported(ast.parse(path.read_text()))), path

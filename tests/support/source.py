"""Reads the source code of the project, for tests about its imports."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGES = ("nhm_assets", "resources", "sensors")


def modules(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the project in this folder, with its path relative to the folder."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            yield path.relative_to(root), parsed(path.read_text())


@cache
def parsed(source: str) -> ast.Module:
    """The tree of a module, which nobody may change."""
    return ast.parse(source)


def imports(path: Path, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Full names of everything that these statements of a module import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.parts[: len(path.parts) - node.level]) if node.level else ""
            base = ".".join(filter(None, (package, node.module)))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def all_imports(path: Path, tree: ast.Module) -> Iterator[str]:
    """What a module imports anywhere: at its top, in functions, and for type checking only."""
    return imports(path, ast.walk(tree))


def top_level_imports(path: Path, tree: ast.Module) -> Iterator[str]:
    """What a module imports as soon as it is imported itself."""
    return imports(path, _executed_on_import(tree))


def _executed_on_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from (statement for orelse in child.orelse for statement in ast.walk(orelse))
            continue
        yield child
        yield from _executed_on_import(child)


def module_name(path: Path) -> str:
    """`nhm_assets/domain/records.py` -> `nhm_assets.domain.records`; a package has the name of its folder."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_with(root: Path, path: str, source: str) -> Path:
    """The project in this folder, with this module added."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(source)
    return root

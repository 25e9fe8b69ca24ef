"""The project as a whole: what imports what, what is documented, what the docs repeat."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

import terradelta

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "terradelta"
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {
    "dask", "distributed", "geopandas", "matplotlib", "numba", "pandas", "pyarrow", "rasterio", "scipy",
    "skimage", "sklearn", "torch", "xarray", "zarr",
}  # fmt: skip
BELOW = {
    "errors": set(),
    "types": set(),
    "native": set(),
    "tasks": set(),
    "cube": {"errors", "types"},
    "windows": {"errors", "types"},
    "sar": {"errors", "native", "types"},
    "optical": {"errors", "types"},
    "tfrecord": {"errors", "types"},
    "sources": {"cube", "tasks", "tfrecord", "errors", "types"},
    "land": {"cube", "sources", "errors", "types"},
    "simulate": {"cube", "land", "sar", "errors", "types"},
    "learning": {"cube", "errors", "types"},
    "expected": {
        "cube", "land", "learning", "native", "sar", "simulate", "tasks", "tfrecord", "windows", "errors",
        "types",
    },
    "urban": {"cube", "learning", "native", "optical", "sar", "tasks", "windows", "errors", "types"},
    "products": {"cube", "errors", "types"},
    "evaluate": {
        "cube", "expected", "land", "learning", "optical", "products", "sar", "simulate", "sources",
        "tfrecord", "urban", "windows", "errors", "types",
    },
    "workflows": {
        "cube", "evaluate", "expected", "land", "learning", "optical", "products", "sar", "simulate",
        "sources", "tasks", "tfrecord", "urban", "windows", "errors", "types",
    },
    "cli": {"cube", "products", "sources", "workflows", "errors", "types"},
}  # fmt: skip
LAZY = ("terradelta/__init__.py", "terradelta/__main__.py")


def _name(file: Path) -> str:
    return file.relative_to(ROOT / "src").as_posix()


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "terradelta":
            yield from (f"terradelta.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(file)} uses a relative import"
            yield node.module or ""


def _part(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


# what imports what


@pytest.mark.parametrize("file", [one for one in FILES if _name(one) not in LAZY], ids=_name)
def test_imports_point_downward(file: Path) -> None:
    own = {name.split(".")[1] for name in _imports(file) if name.startswith("terradelta.")}
    own -= {"__version__", _part(file)}
    assert own <= BELOW[_part(file)], f"{sorted(own - BELOW[_part(file)])} may not be imported here"


def test_table_of_parts_is_complete_and_without_cycles() -> None:
    assert {_part(file) for file in FILES} - {"__init__", "__main__"} <= set(BELOW)
    seen: set[str] = set()
    for part, below in BELOW.items():
        assert below <= seen, f"{part} stands above what it imports"
        seen.add(part)


def test_every_imported_package_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {_plain(re.split(r"[\[<>=;! ]", line)[0]) for lines in lists for line in lines}
    homes = packages_distributions()
    used = {name.split(".")[0] for file in FILES for name in _imports(file)}
    used -= {"terradelta", *sys.stdlib_module_names}
    missing = {name for name in used if not declared & {_plain(home) for home in homes.get(name, [name])}}
    assert not missing, f"add to pyproject.toml: {sorted(missing)}"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    "code", ["import terradelta", "import terradelta.cli", "import terradelta.urban", "help"]
)
def test_nothing_heavy_is_loaded_at_the_start(code: str) -> None:
    run = "from terradelta.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    script = f"import sys\n{run if code == 'help' else code}\nimport json\n"
    script += "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & HEAVY


def test_monitor_is_the_function_whatever_was_imported() -> None:
    pytest.importorskip("torch")
    script = "import terradelta as td\nimport terradelta.urban.monitoring\nassert callable(td.urban.monitor)"
    subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    for name in terradelta.urban.__all__:
        assert getattr(terradelta.urban, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = terradelta.urban.nothing


@pytest.mark.parametrize("name", ["expected", "learning", "tfrecord"])
def test_lazy_parts_hold_what_they_name(name: str) -> None:
    pytest.importorskip("torch")
    part = getattr(terradelta, name) if name in terradelta.__all__ else import_module(f"terradelta.{name}")
    assert all(getattr(part, each) is not None for each in part.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = part.nothing


# how the code is written


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_no_assert_no_print(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: raise a named error instead"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"line {node.lineno}: the library does not print"


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_everything_public_has_a_docstring(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the module has none"
    for node in _public(tree):
        text = ast.get_docstring(node)
        assert text and text.split("\n\n")[0].rstrip()[-1] in ".:?", f"line {node.lineno}: {node.name}"


def _public(
    tree: ast.Module | ast.ClassDef,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_") or _is_variant(node):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from _public(node)


def _is_variant(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any("overload" in ast.unparse(one) or ".setter" in ast.unparse(one) for one in decorators)


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_all_names_exactly_what_is_there(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    lists = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == "__all__" for target in node.targets)
    ]
    if not lists and file.name.startswith("_") and file.name != "__init__.py":
        return
    if not lists:
        assert not [node.name for node in _public(tree)], "public names, but no __all__"
        return
    assert lists[0] == sorted(lists[0], key=_order), "sort __all__"
    assert len(set(lists[0])) == len(lists[0])


def _order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


# what is written in more than one place


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert terradelta.__version__ == project["version"] == citation["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_pin_every_development_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    pinned = {_plain(line.split("==")[0]) for line in lines if "==" in line}
    assert len(pinned) == len(lines)
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    missing = {_plain(re.split(r"[\[<>=; ]", line)[0]) for line in wanted} - pinned
    assert not missing


def _docs(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_docs_list_every_key_of_the_sidecar() -> None:
    from terradelta.sources.sidecar import FileRule, OrbitRule, Sidecar

    page = _docs("docs/sidecar.md")
    fields = Sidecar.model_fields | {"match": FileRule.model_fields["match"]} | OrbitRule.model_fields
    for key, field in fields.items():
        if key in Sidecar.model_fields:
            field = Sidecar.model_fields[key]
        row = f"| `{key}` | {str(field.description).replace('|', ', ')} |"
        assert row in page, f"write into docs/sidecar.md:\n{row}"


@pytest.mark.parametrize("page", ["docs/sidecar.md", "docs/getting-started.md"])
def test_sidecars_of_the_docs_are_valid(page: str) -> None:
    from terradelta.sources import load_sidecar

    blocks = re.findall(r"```yaml\n(.*?)```", _docs(page), re.DOTALL)
    assert blocks
    for block in blocks:
        load_sidecar(yaml.safe_load(block))


def test_docs_list_every_layer() -> None:
    from terradelta.products import LAYERS

    page = _docs("docs/products.md")
    for layer in LAYERS.values():
        row = f"| `{layer.name}` | {layer.dtype} | {layer.nodata:g} | {layer.unit} | {layer.description} |"
        assert row in page, f"write into docs/products.md:\n{row}"


def test_docs_list_every_error() -> None:
    from terradelta import errors

    page = _docs("docs/errors.md")
    for name in errors.__all__:
        kind = getattr(errors, name)
        row = f"| `{name}` | {kind.exit_code} | {kind.__doc__.splitlines()[0]} |"
        assert row in page, f"write into docs/errors.md:\n{row}"


def test_docs_list_every_setting_of_the_robust_method() -> None:
    from terradelta.workflows.config import RobustSettings

    page = _docs("docs/robust.md")
    for key, field in RobustSettings.model_fields.items():
        row = f"| `{key}` | {field.default} | {field.description} |"
        assert row in page, f"write into docs/robust.md:\n{row}"


def test_readme_lists_every_verb() -> None:
    from typer.main import get_command

    from terradelta.cli.app import app

    page = _docs("README.md")
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        for inner in getattr(command, "commands", {"": None}):
            verb = f"{name} {inner}".strip()
            assert f"| `{verb}`" in page, f"README.md does not list {verb}"


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda p: p.name
)
def test_links_of_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.slow
def test_python_of_the_readme_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", _docs("README.md"), re.DOTALL)
    assert blocks
    subprocess.run(
        [sys.executable, "-c", blocks[0]], cwd=tmp_path, check=True, capture_output=True, timeout=300
    )
    assert (tmp_path / "out" / "report.html").exists()

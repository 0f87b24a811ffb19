"""The walls of DESIGN: imports go one way, read from the source of every module, lazy imports included."""

import ast
from pathlib import Path

import pytest

import gdengine

PACKAGE = Path(gdengine.__file__).parent
GROUND = {"cuda", "device", "flat", "kernels", "random", "tape"}
# One layer: an operator is a call of a function.
CORE = {"creation", "differentiation", "functional", "graph", "precision", "recomputation", "tensor"}
BELOW_TRAINING = {*GROUND, *CORE, "data", "models", "nn", "optim"}

# Each module or package of gdengine, and what it may import besides itself. "" is gdengine's own name: its version.
MAY_IMPORT = {
    "kernels": set(),
    "cuda": set(),
    "device": {"cuda"},
    "tape": {"cuda", "device"},
    "profiling": {"cuda", "device", "tape"},
    "flat": {"device", "tape"},
    "random": {"kernels"},
    "tensor": {*GROUND, *CORE},
    "functional": {*GROUND, *CORE},
    "creation": {*GROUND, *CORE},
    "precision": {*GROUND, *CORE},
    "graph": {*GROUND, *CORE},
    "recomputation": {*GROUND, *CORE},
    "differentiation": {*GROUND, *CORE},
    "nn": {*GROUND, *CORE, "optim"},  # nn.utils has PyTorch's names for the clipping of optim
    "models": {*GROUND, *CORE, "nn"},
    "optim": {*GROUND, "tensor"},  # it trains tensors, and computes on arrays
    "data": {"kernels", "random"},
    "dynamics": {"", *BELOW_TRAINING},
    "distributed": {"", *BELOW_TRAINING},
    "training": {"", *BELOW_TRAINING, "dynamics", "distributed"},
    "commands": {"", *BELOW_TRAINING, "dynamics", "distributed", "training"},
    "cli": {"", *BELOW_TRAINING, "commands", "dynamics", "distributed", "training"},
    "__main__": {"cli"},
    "": {*BELOW_TRAINING, "profiling"},
}
HEAVY = {"cupy", "matplotlib", "numba", "scipy", "sklearn", "tensorboardX", "tokenizers", "torch", "wandb"}

MODULES = sorted(path.relative_to(PACKAGE) for path in [*PACKAGE.rglob("*.py"), *(PACKAGE / "kernels").rglob("*.py")])
MODULES = list(dict.fromkeys(MODULES))


def imports(module):
    """(imported name, at import time) for every import in a module; gdengine's own as gdengine.unit.…"""
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    package = ("gdengine", *module.parent.parts)
    lazy = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in lazy
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = (*base, *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                yield ".".join((*prefix, alias.name)), node not in lazy


def unit_of(name):
    """The module or package of gdengine that an import names: "" for gdengine itself."""
    part = name.split(".")[1] if "." in name else ""
    return part if (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").exists() else ""


def test_every_module_is_looked_at():
    assert Path("tensor.py") in MODULES
    assert Path("functional/elementwise.py") in MODULES
    assert Path("kernels/linear/reference.py") in MODULES


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_one_way(module):
    unit = module.parts[0].removesuffix(".py").replace("__init__", "") if len(module.parts) == 1 else module.parts[0]
    assert unit in MAY_IMPORT, f"{unit} is new: say in MAY_IMPORT what it may import"
    for name, _ in imports(module):
        if name.split(".")[0] == "gdengine" and unit_of(name) != unit:
            assert unit_of(name) in MAY_IMPORT[unit], f"{module} imports {name}"


def test_heavy_packages_are_imported_when_they_are_needed():
    for module in MODULES:
        allowed = set()
        if module.parts[0] == "kernels" and (module.name == "cpu.py" or module.parent.name == "common"):
            allowed.add("numba")
        if module.parts[0] == "kernels" and module.name in ("cuda.py", "gpu.py"):
            allowed.add("cupy")
        for name, at_import in imports(module):
            top = name.split(".")[0]
            assert top != "torch", f"{module} imports PyTorch"
            assert top not in HEAVY - allowed or not at_import, f"{module} imports {name} at import time"


def files_of(name):
    """The modules that importing ``name`` runs: for gdengine.nn.Linear, those of gdengine and of gdengine.nn."""
    parts = name.split(".")[1:]
    for n in range(len(parts) + 1):
        path = Path(*parts[:n])
        if (PACKAGE / path).is_dir():
            yield path / "__init__.py"
        elif (PACKAGE / path).with_suffix(".py").exists():
            yield path.with_suffix(".py")


def test_import_gdengine_reaches_no_heavy_package():
    reached, stack = set(), [Path("__init__.py")]
    while stack:
        module = stack.pop()
        if module in reached:
            continue
        reached.add(module)
        for name, at_import in imports(module):
            if at_import:
                assert name.split(".")[0] not in HEAVY, f"import gdengine reaches {module}, which imports {name}"
                stack.extend(files_of(name) if name.split(".")[0] == "gdengine" else ())
    assert Path("functional/linear.py") in reached


def test_every_operation_has_its_contract_and_its_reference():
    for folder in sorted((PACKAGE / "kernels").iterdir()):
        if folder.is_dir() and folder.name not in ("common", "__pycache__"):
            assert (folder / "reference.py").exists(), folder.name
            contract = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
            assert contract, folder.name

"""The images cannot be built in a test; what they are built from can be checked."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("Dockerfile.*"))
INSTALL = (DOCKER / "install.sh").read_text("utf-8")
COMPOSE = (DOCKER / "compose.yaml").read_text("utf-8")


def bash(*arguments):
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    return subprocess.run(["bash", *arguments], capture_output=True, text=True, timeout=30)


def test_install_is_bash():
    assert bash("-n", str(DOCKER / "install.sh")).stderr == ""


@pytest.mark.parametrize("arguments", [[], ["cpu"], ["tpu", "somewhere"]], ids=str)
def test_install_says_how_it_is_used(arguments, tmp_path):
    done = bash(str(DOCKER / "install.sh"), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: docker/install.sh")


def test_extras_exist():
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {extra for extras in re.findall(r"extras=([\w,]+)", INSTALL) for extra in extras.split(",")}
    assert named
    assert named <= set(known)


def test_dockerfiles():
    assert [path.name for path in DOCKERFILES] == ["Dockerfile.cpu", "Dockerfile.cuda"]
    kinds = re.findall(r"^ +(\w+)\) extras=", INSTALL, re.MULTILINE)
    for path in DOCKERFILES:
        text = path.read_text("utf-8")
        base, *stages = re.findall(r"^FROM (\S+) AS (\w+)$", text, re.MULTILINE)
        assert re.search(r":\d+\.\d+\.\d+-", base[0]), f"{path.name} starts from {base[0]}, no exact version"
        assert [name for _, name in stages] == ["benchmarks", "main"]
        assert re.findall(r"^RUN /checkout/docker/install\.sh (\w+) ", text, re.MULTILINE)[0] in kinds
        for stage in text.split("\nFROM ")[2:]:
            user, entry = stage.find("\nUSER 10001\n"), stage.find("\nENTRYPOINT ")
            assert -1 < user < entry, f"{path.name}: a stage ends as root"
            assert "apt-get" not in stage[user:]


def test_compose_names_what_exists():
    for dockerfile, target in re.findall(r"dockerfile: (\S+)\n +target: (\S+)", COMPOSE):
        assert f"AS {target}\n" in (ROOT / dockerfile).read_text("utf-8")
    assert set(re.findall(r"context: (\S+)", COMPOSE)) == {".."}
    commands = re.findall(r"command: \[(\w+)", COMPOSE)
    assert commands == ["train", "train", "cpu", "gpu"]


def test_compose_is_yaml():
    yaml = pytest.importorskip("yaml", reason="PyYAML, which gdengine has no other use for, is not installed")
    services = yaml.safe_load(COMPOSE)["services"]
    assert len({service["image"] for service in services.values()}) == len(services)
    for name, service in services.items():
        assert service["profiles"]
        assert ("deploy" in service) == name.endswith("cuda")


def test_dockerignore_lets_in_what_is_copied():
    lines = (ROOT / ".dockerignore").read_text("utf-8").split()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    assert all((ROOT / name).exists() for name in let_in)
    assert {"gdengine", "kernels", "pyproject.toml", "README.md", "LICENSE", "docker/install.sh"} <= set(let_in)

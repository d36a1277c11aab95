"""The image of the Dockerfile: what its text says, and its steps in a fresh environment or by a container engine."""

import contextlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from test_notebook import NOTEBOOK, made_small, pictures_of, read_notebook

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "a-token-of-the-test"
# Settings of the notebook server that would open it, or that would write a secret into the image.
OPEN = ("token", "password", "allow-root", "allow_root", "allow_unauthenticated", "disable_check_xsrf", "auth")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (kind, rest of the line), continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def of_kind(kind: str) -> list[str]:
    return [rest for name, rest in instructions() if name == kind]


def server_command() -> list[str]:
    return json.loads(of_kind("CMD")[-1])


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a file out: a pattern holds for a path and all below it, the last one decides."""
    found = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            pattern = re.escape(line.strip().removeprefix("!"))
            pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            if re.fullmatch(f"{pattern}(/.*)?", path):
                found = not line.startswith("!")
    return found


def image_files() -> list[str]:
    """The files that `COPY . .` takes from a fresh clone."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file() and not ignored(name)]


# ---------------------------------------------------------------- what the text says


def test_the_base_is_pytorchs_own_image_with_a_torch_that_the_project_takes():
    base, = of_kind("FROM")
    version, = re.fullmatch(r"pytorch/pytorch:([\d.]+)-cuda[\d.]+-cudnn\d+-runtime", base).groups()
    wanted, = (Requirement(line.partition("#")[0]) for line in (ROOT / "requirements.txt").read_text().splitlines()
               if re.match(r"torch\W", line))
    assert wanted.specifier.contains(version)


def test_the_server_runs_as_a_user_without_rights():
    kinds = [kind for kind, _ in instructions()]
    user = of_kind("USER")[-1]
    assert user not in ("root", "0") and any(re.search(rf"useradd .*\b{user}\b", line) for line in of_kind("RUN"))
    assert "RUN" not in kinds[kinds.index("USER"):] and kinds[-1] == "CMD"
    copied = [shlex.split(line) for line in of_kind("COPY")]
    assert copied[-1] == [f"--chown={user}:{user}", ".", "."]
    folder = of_kind("WORKDIR")[-1]     # WORKDIR itself would make it root's
    assert any(re.search(rf"install --directory --owner={user} .*{folder}\b", line) for line in of_kind("RUN"))


def test_the_server_asks_for_a_token_and_the_image_holds_none():
    command = server_command()
    assert command[:2] == ["jupyter", "lab"] and "--ip=0.0.0.0" in command
    assert f"--port={of_kind('EXPOSE')[-1]}" in command
    assert not [word for word in command for part in OPEN if part in word.lower()]
    assert not [line for kind, line in instructions() if kind in ("ENV", "ARG") and
                re.search("token|password|secret", line, re.IGNORECASE)]
    assert not [name for name in image_files() if "jupyter" in name and "config" in name]


def test_the_server_asks_nothing_of_other_machines():
    command = " ".join(server_command())
    for setting in ("news_url=None", "check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                    "extension_manager=readonly"):
        assert f"--LabApp.{setting}" in command


def test_what_is_copied_is_there_and_not_ignored():
    files = image_files()
    for line in of_kind("COPY"):
        for source in [word for word in shlex.split(line) if not word.startswith("--")][:-1]:
            assert source == "." or source in files, source
    named = {word for line in of_kind("RUN") for word in re.findall(r"[\w-]+\.txt", line)}
    early = of_kind("COPY")[0].split()
    assert {name for name in named if (ROOT / name).exists()} <= set(early)


@pytest.mark.parametrize("name", [
    ".git/config", ".venv/bin/python", "models/__pycache__/gru.cpython-312.pyc", "data/raw/a.mp4", "data/train.csv",
    "work_dir/run/log.txt", "avnet_bestmodel.pth", "some/where/avnet_last.pth", "TimeSformer_divST.pyth",
    "fuse/submission_fused.csv", "notebooks/.ipynb_checkpoints/timesformer-checkpoint.ipynb"])
def test_history_data_results_and_weights_stay_outside(name):
    assert ignored(name)


def test_every_file_of_the_project_is_in_the_image():
    files = image_files()
    for room in ("models", "datatools", "utils", "synth", "fuse", "tools", "configs", "notebooks", "docs"):
        assert {str(path.relative_to(ROOT)) for path in (ROOT / room).rglob("*.py")} <= set(files)
        assert [name for name in files if name.startswith(f"{room}/")], room
    assert {str(NOTEBOOK), "README.md", *(path.name for path in ROOT.glob("*_main.py"))} <= set(files)


def run_steps(folder: Path, scratch: Path, python: Path, **environment: str) -> None:
    """Run the Dockerfile's RUN lines but that of the user, in `folder`; `scratch` stands for /tmp."""
    told = dict(word.split("=", 1) for line in of_kind("ENV") for word in shlex.split(line))
    environment = {**os.environ, **told, "PATH": f"{python.parent}:/usr/bin:/bin", **environment}
    for line in of_kind("RUN"):
        if "useradd" not in line:
            result = subprocess.run(["bash", "-o", "pipefail", "-c", line.replace("/tmp/", f"{scratch}/")], cwd=folder,
                                    env=environment, capture_output=True, text=True)
            assert result.returncode == 0, f"{line}\n{result.stdout[-3000:]}{result.stderr[-3000:]}"


def test_the_torch_that_is_there_stays_and_all_else_is_as_tested(tmp_path):
    """The steps, with a pip that lists two packages and writes down what it shall install."""
    (tmp_path / "bin").mkdir()
    pip = tmp_path / "bin/python3"
    pip.write_text("#!/bin/bash\ncase \"$3\" in list) echo torch==2.12.0+cu126; echo torchmetrics==1.0;;\n"
                   f"install) shift 3; echo \"$@\" > {tmp_path}/asked;; esac\n")
    pip.chmod(0o755)
    run_steps(ROOT, tmp_path, pip)
    words = (tmp_path / "asked").read_text().split()
    assert words == ["-r", "requirements-notebook.txt", "-c", f"{tmp_path}/torch.txt", "-c", f"{tmp_path}/others.txt"]
    assert (tmp_path / "torch.txt").read_text() == "torch==2.12.0+cu126\n"
    everything = (ROOT / "constraints.txt").read_text().splitlines()
    kept = (tmp_path / "others.txt").read_text().splitlines()
    left_out = {line.partition("==")[0] for line in set(everything) - set(kept)}
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-toolkit"} <= left_out
    assert not [name for name in left_out if not re.match("torch|triton|nvidia-|cuda-|#", name)]
    assert any(line.startswith("numpy==") for line in kept)


# ---------------------------------------------------------------- the steps, in a fresh environment


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def status(port: int, path: str = "/api/contents", token: str | None = None) -> int:
    """The HTTP status of an answer of the server on this machine; 0 where none comes."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}",
                                     headers={"Authorization": f"token {token}"} if token is not None else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_for(port: int, log: Path | None = None) -> None:
    """Until the server says its version, which needs no token."""
    end = time.monotonic() + 120
    while status(port, "/api") != 200:
        assert time.monotonic() < end, log.read_text() if log else "no answer within 120 s"
        time.sleep(0.5)


def check_token(port: int, token: str) -> None:
    wait_for(port)
    assert status(port) == status(port, token="") == status(port, token=f"{token}x") == 403
    assert status(port, token=token) == status(port, "/lab", token) == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/lab", timeout=10) as reply:
        assert "/login?" in reply.url


def command_at(folder: Path, port: int) -> list[str]:
    """The command of the Dockerfile's CMD, with a folder and a port of this machine."""
    told = {"--port": f"--port={port}", "--ServerApp.root_dir": f"--ServerApp.root_dir={folder}"}
    return [told.get(word.partition("=")[0], word) for word in server_command()]


@contextlib.contextmanager
def server(folder: Path, python: Path, log: Path, **environment: str) -> Iterator[int]:
    """The server of the Dockerfile's CMD, in `folder`, on a free port; what it prints goes to `log`."""
    port = free_port()
    program, *words = command_at(folder, port)
    words += ["--allow-root"] if os.geteuid() == 0 else []      # the tests' user; the image's is another one
    with open(log, "w") as out:
        process = subprocess.Popen([python.parent / program, *words], cwd=folder, stdout=out, stderr=out,
                                   env={**os.environ, "PATH": f"{python.parent}:/usr/bin:/bin", **environment})
    try:
        wait_for(port, log)
        yield port
    finally:
        process.terminate()
        process.wait(60)


def version_of_torch(python: Path) -> str:
    return subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True,
                          check=True).stdout.strip()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Iterator[tuple[Path, Path, dict[str, str]]]:
    """(the project as the image holds it, the Python of a new environment after the steps, environment variables)."""
    place = tmp_path_factory.mktemp("fresh")
    project, home, python = place / "project", place / "home", place / "base/bin/python3"
    home.mkdir()
    for name in image_files():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    # The base image: a Python with torch.
    subprocess.run([sys.executable, "-m", "venv", place / "base"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "torchvision", "-c", ROOT / "constraints.txt"],
                   check=True)
    before = version_of_torch(python)
    run_steps(project, place, python, HOME=str(home))
    assert version_of_torch(python) == before
    yield project, python, {"HOME": str(home)}
    shutil.rmtree(place)      # some gigabytes


@pytest.mark.soak
def test_in_a_fresh_environment_the_server_asks_for_the_token_that_it_was_given(fresh, tmp_path):
    project, python, environment = fresh
    with server(project, python, tmp_path / "log", JUPYTER_TOKEN=TOKEN, **environment) as port:
        check_token(port, TOKEN)


@pytest.mark.soak
def test_in_a_fresh_environment_an_empty_token_becomes_a_random_one(fresh, tmp_path):
    project, python, environment = fresh
    with server(project, python, tmp_path / "log", JUPYTER_TOKEN="", **environment) as port:
        token = re.search(r"\?token=([0-9a-f]{32,})", (tmp_path / "log").read_text())[1]
        check_token(port, token)


@pytest.mark.soak
def test_in_a_fresh_environment_root_gets_no_server(fresh):
    if os.geteuid():
        pytest.skip("the tests do not run as root")
    project, python, environment = fresh
    program, *words = command_at(project, free_port())
    result = subprocess.run([python.parent / program, *words], cwd=project, text=True, capture_output=True,
                            timeout=60, env={**os.environ, **environment})
    assert result.returncode and "Running as root" in result.stderr


@pytest.mark.soak
def test_in_a_fresh_environment_the_notebook_runs(fresh):
    project, python, environment = fresh
    nbformat.write(made_small(read_notebook()), project / "notebooks/small.ipynb")
    result = subprocess.run([python, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace",
                             "notebooks/small.ipynb"], cwd=project, capture_output=True, text=True,
                            env={**os.environ, "PATH": f"{python.parent}:/usr/bin:/bin", **environment})
    assert result.returncode == 0, result.stderr[-3000:]
    assert len(pictures_of(nbformat.read(project / "notebooks/small.ipynb", nbformat.NO_CONVERT))) == 4


# ---------------------------------------------------------------- the image, where there is an engine


def engine() -> str | None:
    """docker or podman, where it answers: a client alone builds nothing."""
    for name in ("docker", "podman"):
        if shutil.which(name) and not subprocess.run([name, "info"], capture_output=True).returncode:
            return name
    return None


@pytest.mark.soak
def test_the_image_is_built_and_its_server_asks_for_the_token():
    name = engine()
    if name is None:
        pytest.skip("no container engine answers here (docker info, podman info): the image is not built")
    image, port = "avtnet-test", free_port()
    subprocess.run([name, "build", "--tag", image, "."], cwd=ROOT, check=True)
    container = f"{image}-{port}"
    subprocess.run([name, "run", "--detach", "--rm", "--name", container, "-p", f"127.0.0.1:{port}:8888", "-e",
                    f"JUPYTER_TOKEN={TOKEN}", image], check=True)
    try:
        check_token(port, TOKEN)
        inside = ("test $(id -u) != 0 && touch here ../work/there && "
                  "python3 -m jupyter nbconvert --to notebook --execute --stdin --stdout > /dev/null")
        result = subprocess.run([name, "exec", "--interactive", container, "bash", "-c", inside], text=True,
                                capture_output=True, input=nbformat.writes(made_small(read_notebook())))
        assert result.returncode == 0, result.stderr[-3000:]
    finally:
        subprocess.run([name, "stop", container], check=True)
        subprocess.run([name, "image", "rm", image], check=True)

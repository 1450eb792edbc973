"""The quick suite's runtime: this machine's Python and packages as folders that any uid can read, by hard links."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from .commands import CommandError, run
from .paths import REPOSITORY, Paths

# Importing them once writes their bytecode: a cold import without it takes three times as long, in every pod.
WARM_UP = "import torch.distributed.run, rfdetr.training, pytorch_lightning, pycocotools.cocoeval, prometheus_client, pydantic"


def choose_key(site: Path) -> str:
    packages = sorted(path.name for path in site.glob("*.dist-info"))
    return hashlib.sha256("\n".join([sys.version, sys.base_prefix, *packages]).encode()).hexdigest()[:12]


def create_runtime(paths: Paths, env: Mapping[str, str]) -> Path:
    """A folder with `python/` (the interpreter and its library) and `site/` (the packages), made once per set of packages."""
    site = Path(sysconfig.get_path("purelib"))
    folder = paths.host_python / choose_key(site)
    if folder.is_dir():
        return folder
    shutil.rmtree(paths.host_python, ignore_errors=True)
    fresh = folder.with_suffix(".new")
    copy_interpreter(Path(sys.base_prefix), fresh / "python")
    link_tree(site, fresh / "site")
    open_to_all(fresh)
    warm = {"PYTHONPATH": str(fresh / "site"), "LD_LIBRARY_PATH": str(fresh / "python" / "lib"), "HOME": "/tmp"}
    python_env = {key: value for key, value in env.items() if not key.startswith("PYTHON")} | warm
    run([fresh / "python" / "bin" / "python", "-W", "ignore", "-c", WARM_UP], env=python_env, seconds=300)
    fresh.rename(folder)
    return folder


def copy_interpreter(prefix: Path, target: Path) -> None:
    """Only the interpreter, its shared library and the standard library: the prefix may be /usr."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (target / "bin").mkdir(parents=True)
    shutil.copy2((prefix / "bin" / version).resolve(), target / "bin" / version)
    for name in ("python", "python3"):
        (target / "bin" / name).symlink_to(version)
    link_tree(prefix / "lib" / version, target / "lib" / version)
    for packages in ("site-packages", "dist-packages"):
        shutil.rmtree(target / "lib" / version / packages, ignore_errors=True)
    for library in (prefix / "lib").glob("libpython3*.so*"):
        shutil.copy2(library, target / "lib" / library.name, follow_symlinks=False)


def link_tree(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        run(["cp", "-al", source, target], seconds=300)
    except CommandError:  # another file system
        shutil.rmtree(target, ignore_errors=True)
        run(["cp", "-a", source, target], seconds=900)


def open_to_all(folder: Path) -> None:
    """Everything below is readable for every uid; a file that is not is copied first, since its inode is the user's too."""
    for parent, _, files in os.walk(folder):
        Path(parent).chmod(0o755)
        for name in files:
            path = Path(parent, name)
            if path.is_symlink() or path.stat().st_mode & stat.S_IROTH:
                continue
            copy = path.with_name(name + ".open")
            shutil.copy2(path, copy)
            copy.chmod(path.stat().st_mode | (0o555 if os.access(path, os.X_OK) else 0o444))
            copy.rename(path)


def copy_sources(target: Path) -> None:
    """The packages as they stand now: what is edited while the suite runs does not change it."""
    for name in ("operator", "trainer_image"):
        shutil.copytree(REPOSITORY / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    open_to_all(target)

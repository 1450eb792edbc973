"""The suite's images, made here without a registry and named by a hash of what they are made from."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .commands import CommandError, run
from .paths import REPOSITORY, TRAINING_UID, HarnessError, Paths
from .store import Store, read_names

RELEASE = "bookworm"
# What torch, opencv (headless) and a Python of the machine load, beside what minbase has.
PACKAGES = (
    "ca-certificates", "libbz2-1.0", "libffi8", "libgomp1", "liblzma5", "libreadline8", "libsqlite3-0", "libssl3",
    "libstdc++6", "python3", "python3-venv", "zlib1g",
)  # fmt: skip
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/var/cache/apt/*")
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
INPUTS = ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE", "operator", "trainer_image")

# Process 1 of a pod's sandbox, and of any pod that names no command: it only waits.
QUICK = f"""\
FROM {{base}}
ENV PATH=/opt/host/python/bin:/usr/local/bin:/usr/bin:/bin LD_LIBRARY_PATH=/opt/host/python/lib \\
    PYTHONPATH=/opt/src/operator:/opt/src/trainer_image:/opt/host/site \\
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER {TRAINING_UID}
CMD ["/bin/sleep", "infinity"]
"""


@dataclass(frozen=True, slots=True)
class Images:
    """Names of images that every node has; `trainer` is None when this run does not need it."""

    quick: str
    operator: str
    trainer: str | None


def digest(parts: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:12]


def digest_files(root: Path, names: Iterable[str]) -> str:
    """One hash for files and folders: paths, contents and the right to execute."""
    parts: list[bytes] = []
    for name in names:
        path = root / name
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                parts += [str(file.relative_to(root)).encode(), b"x" * os.access(file, os.X_OK), file.read_bytes()]
    return digest(parts)


class Builder:
    """buildah with its storage in the cache, in a mount namespace of its own so that a killed build leaves no mount."""

    def __init__(self, paths: Paths, env: Mapping[str, str]) -> None:
        self._paths = paths
        self._env = dict(env) | {"BUILDAH_ISOLATION": "chroot", "TMPDIR": str(paths.images)}

    def buildah(self, *argv: str | Path, stdin: str | None = None, seconds: float = 60) -> str:
        storage: list[str | Path] = ["--root", self._paths.cache / "buildah", "--runroot", self._paths.run / "buildah"]
        command: list[str | Path] = ["unshare", "--mount", "--propagation", "private", "buildah", *storage, *argv]
        return run(command, env=self._env, stdin=stdin, seconds=seconds)

    def has(self, name: str) -> bool:
        try:
            self.buildah("inspect", "--type", "image", name)
        except CommandError:
            return False
        return True

    def build_text(self, name: str, text: str, context: Path) -> None:
        self.buildah("build", "--tag", name, "--file", "-", context, stdin=text, seconds=300)

    def build_target(self, name: str, target: str, base: str, *options: str) -> None:
        """The repository's Dockerfile, with the machine's certificates and its cache of wheels at hand."""
        arguments = ["--build-arg", f"BASE_IMAGE={base}"]
        if BUNDLE.exists():
            arguments += ["--volume", f"{BUNDLE}:{BUNDLE}:ro"]
            arguments += ["--build-arg", f"SSL_CERT_FILE={BUNDLE}", "--build-arg", f"PIP_CERT={BUNDLE}"]
        wheels = Path(self._env.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
        wheels.mkdir(parents=True, exist_ok=True)
        arguments += ["--volume", f"{wheels}:/var/cache/uv", "--build-arg", "UV_NO_CACHE=0"]
        self.buildah(
            "build", "--network", "host", "--layers", "--format", "docker", "--target", target, "--tag", name, *arguments,
            *options,
            "--file", REPOSITORY / "Dockerfile", REPOSITORY, seconds=1800,
        )  # fmt: skip

    def forget(self) -> None:
        """Everything built so far, the base too."""
        self.buildah("rmi", "--all", "--force", seconds=600)

    def export(self, name: str) -> Path:
        archive = self._paths.images / (name.rpartition("/")[2].replace(":", "-") + ".tar")
        archive.unlink(missing_ok=True)
        self.buildah("push", name, f"docker-archive:{archive}:{name}", seconds=900)
        return archive


def choose_sources() -> list[Path]:
    """The machine's own package sources where it runs the same release; else mmdebstrap's."""
    release = Path("/etc/os-release").read_text()
    candidates = [Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")]
    return [path for path in candidates if path.is_file()][:1] if RELEASE in release else []


def choose_base_name() -> str:
    sources = [path.read_bytes() for path in choose_sources()]
    return f"localhost/rfdetr-base:{digest([RELEASE.encode(), *map(str.encode, [*PACKAGES, *LEFT_OUT]), *sources])}"


def build_base(paths: Paths, env: Mapping[str, str], builder: Builder, name: str) -> None:
    """A small Debian with Python: the same for the operator, the trainer and the quick suite."""
    context = paths.images / "base"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    excludes = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", *excludes]
    command += ["--customize-hook=rm -rf $1/var/lib/apt/lists $1/var/cache/apt $1/var/log/*"]
    isolated = ["unshare", "--mount", "--propagation", "private"]
    run([*isolated, *command, RELEASE, context / "base.tar", *choose_sources()], env=env, seconds=600)
    builder.build_text(name, "FROM scratch\nADD base.tar /\n", context)
    shutil.rmtree(context)


def choose_target_name(target: str) -> str:
    return f"localhost/rfdetr-{target}:{digest_files(REPOSITORY, [*INPUTS, f'locks/{target}.txt'])}"


def prepare(paths: Paths, env: Mapping[str, str], *, trainer: bool) -> Images:
    """All images of this run are in the store; one that was built from the same inputs is not built again."""
    paths.images.mkdir(parents=True, exist_ok=True)
    builder, base = Builder(paths, env), choose_base_name()
    quick_text = QUICK.format(base=base)
    quick = f"localhost/rfdetr-quick:{digest([quick_text.encode()])}"
    images = Images(quick, choose_target_name("operator"), choose_target_name("trainer") if trainer else None)
    recipes: dict[str, Callable[[], None]] = {
        images.quick: partial(builder.build_text, images.quick, quick_text, paths.images),
        images.operator: partial(builder.build_target, images.operator, "operator", base),
    }
    if images.trainer is not None:
        recipes[images.trainer] = partial(builder.build_target, images.trainer, "trainer", base)
    missing = [name for name in recipes if name not in read_names(paths)]
    if missing:
        free_disk(builder, paths.cache, 30 if images.trainer in missing else 5)
        if not builder.has(base):
            build_base(paths, env, builder, base)
        with Store(paths, env) as store:
            for name in missing:
                make(builder, store, name, recipes[name])
    return images


def make(builder: Builder, store: Store, name: str, build: Callable[[], None]) -> None:
    """One image, built and in the store; its archive, a third copy of it, is gone again."""
    started = time.monotonic()
    if not builder.has(name):
        build()
    built = time.monotonic()
    archive = builder.export(name)
    try:
        store.load(name, archive)
    finally:
        archive.unlink()
    print(f"{name}: built in {built - started:.0f} s, stored in {time.monotonic() - built:.0f} s", flush=True)


def free_disk(builder: Builder, folder: Path, gigabytes: int) -> None:
    """The builder's layers are given up when the disk is short; they only save time."""
    if shutil.disk_usage(folder).free < gigabytes * 10**9:
        builder.forget()
    free = shutil.disk_usage(folder).free // 10**9
    if free < gigabytes:
        raise HarnessError(f"{folder} has {free} GB free; the images need {gigabytes} GB while they are built")

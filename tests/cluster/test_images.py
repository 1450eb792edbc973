"""The operator's image as it is built: small, the same each time, and with a list of what is in it."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.harness.cluster import Cluster
from cluster.harness.images import Builder, build_base, choose_base_name
from cluster.harness.paths import REPOSITORY

pytestmark = pytest.mark.cluster

LIMIT = 250 * 10**6
PYC_STAMP = slice(8, 16)  # time and size of the source


@dataclass(frozen=True, slots=True)
class Image:
    """Every file of an image, without its time stamps, and what the image says of itself."""

    files: dict[str, tuple[int, int, int, str]]
    size: int
    config: dict[str, Any]
    sbom: dict[str, Any]


def read_image(archive: Path) -> Image:
    """A docker archive, its layers laid over one another."""
    files: dict[str, tuple[int, int, int, str]] = {}
    sizes: dict[str, int] = {}
    sbom: dict[str, Any] = {}
    with tarfile.open(archive) as outer:
        (manifest,) = json.load(open_member(outer, "manifest.json"))
        config = json.load(open_member(outer, manifest["Config"]))["config"]
        for layer in manifest["Layers"]:
            for name, member, content in read_layer(outer, layer):
                files[name] = (member.mode, member.uid, member.type[0], digest(name, member, content))
                sizes[name] = member.size
                if name.endswith("operator.cdx.json"):
                    sbom = json.loads(content)
    return Image(files, sum(sizes.values()), config, sbom)


def open_member(archive: tarfile.TarFile, name: str) -> Any:
    """A file of an archive, open."""
    return archive.extractfile(name)


def read_layer(outer: tarfile.TarFile, layer: str) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
    """The members of a layer with their contents."""
    with tarfile.open(fileobj=open_member(outer, layer)) as inner:
        for member in inner:
            yield member.name, member, open_member(inner, member.name).read() if member.isfile() else b""


def digest(name: str, member: tarfile.TarInfo, content: bytes) -> str:
    """Of a link its target; of compiled Python what does not tell the time."""
    if name.endswith(".pyc"):
        content = content[: PYC_STAMP.start] + content[PYC_STAMP.stop :]
    return member.linkname or hashlib.sha256(content).hexdigest()


def build(cluster: Cluster, folder: Path, name: str) -> Image:
    """A build that reuses no step of an earlier one, only its downloads."""
    assert cluster.paths is not None
    cluster.paths.images.mkdir(parents=True, exist_ok=True)
    builder, base = Builder(cluster.paths, cluster.env), choose_base_name()
    if not builder.has(base):
        build_base(cluster.paths, cluster.env, builder, base)
    tag = f"localhost/rfdetr-image-test:{name}"
    builder.build_target(tag, "operator", base, "--no-cache")
    archive = builder.export(tag)
    builder.buildah("rmi", tag, seconds=120)
    return read_image(archive.rename(folder / f"{name}.tar"))


def list_locked() -> set[str]:
    """Names of the packages that Linux gets from the lock."""
    lines = (REPOSITORY / "locks" / "operator.txt").read_text().splitlines()
    return {line.partition("==")[0] for line in lines if re.match(r"[a-z0-9]", line) and "win32" not in line}


def test_the_operators_image(own_cluster: Cluster, tmp_path: Path) -> None:
    """Two builds differ in nothing but time stamps; at most 250 MB; its list of packages is the lock's."""
    first, second = build(own_cluster, tmp_path, "first"), build(own_cluster, tmp_path, "second")
    different = [
        name for name in first.files.keys() | second.files.keys() if first.files.get(name) != second.files.get(name)
    ]
    listed = {each["name"].lower().replace("_", "-") for each in first.sbom["components"]}

    assert [] == different
    assert first.size <= LIMIT
    assert (list_locked(), "CycloneDX") == (listed, first.sbom["bomFormat"])
    assert ("10001:10001", None) == (first.config["User"], first.config.get("Healthcheck"))

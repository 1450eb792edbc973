"""The nodes: their configuration, their agents, their loss of power and of network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .commands import run
from .control_plane import DNS, build_proxy_config
from .paths import HARNESS, Paths


@dataclass(frozen=True, slots=True)
class Node:
    """A node's name, its address on the bridge and the addresses of its pods."""

    name: str
    address: str
    pods: str


NODES = (Node("node1", "172.30.0.11", "10.244.1.0/24"), Node("node2", "172.30.0.12", "10.244.2.0/24"))


def build_containerd_config(paths: Paths, node: Node, sandbox: str) -> str:
    # restrict_oom_score_adj: a container's score cannot go below the node's where CAP_SYS_RESOURCE is absent
    folder = paths.node(node.name)
    return f"""\
version = 3
root = "{folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{sandbox}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "runc"
      SystemdCgroup = false
"""


def build_kubelet_config(pki: Path, node: Node) -> str:
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "address": "0.0.0.0",
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": f"{pki}/ca.crt"}},
        "authorization": {"mode": "AlwaysAllow"},
        "tlsCertFile": f"{pki}/{node.name}.crt",
        "tlsPrivateKeyFile": f"{pki}/{node.name}.key",
        "oomScoreAdj": 0,
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 8,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
    }
    return json.dumps(config)


def call(paths: Paths, env: dict[str, str], *argv: str | Path, seconds: float = 60) -> str:
    """One verb of node.sh."""
    return run([HARNESS / "node.sh", *argv], env=env | build_env(paths), seconds=seconds)


def build_env(paths: Paths) -> dict[str, str]:
    return {"RFDETR_RUN": str(paths.run), "RFDETR_BIN": str(paths.programs), "RFDETR_CGROUP": paths.cgroup}


def power_on(paths: Paths, env: dict[str, str], node: Node, sandbox: str) -> None:
    """The node's namespaces and its container runtime; its agents follow when the API server is there."""
    folder = paths.node(node.name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "containerd.toml").write_text(build_containerd_config(paths, node, sandbox))
    peers = [f"{other.pods}={other.address}" for other in NODES if other != node]
    call(paths, env, "up", node.name, node.address, node.pods, *peers)


def start_agents(paths: Paths, env: dict[str, str], node: Node) -> None:
    folder, pki = paths.node(node.name), paths.control_plane
    (folder / "kubelet.json").write_text(build_kubelet_config(pki, node))
    (folder / "proxy.json").write_text(build_proxy_config(node.name, pki / "proxy.kubeconfig"))
    script = (
        f"setsid kubelet --config={folder}/kubelet.json --kubeconfig={pki}/{node.name}.kubeconfig "
        f"--hostname-override={node.name} --node-ip={node.address} --root-dir=/var/lib/kubelet "
        f">>{folder}/kubelet.log 2>&1 </dev/null & "
        f"setsid kube-proxy --config={folder}/proxy.json >>{folder}/proxy.log 2>&1 </dev/null &"
    )
    call(paths, env, "exec", node.name, "bash", "-c", script)


def find(name: str) -> Node:
    return next(node for node in NODES if node.name == name)

"""The control plane: etcd, API server, controllers, scheduler, proxy and DNS as daemons in the fabric's network namespace."""

from __future__ import annotations

import json
from pathlib import Path

from .daemons import end_daemon, read_pid, start_daemon
from .paths import Paths

ADDRESS = "172.30.0.1"
SERVICES = "10.96.0.0/16"
PODS = "10.244.0.0/16"
DNS = "10.96.0.10"

# Only what changes something is written, so that a test can count the writes of one client.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}

# One second of life for an answer: a replaced pod's address is seen at once.
COREFILE = """\
.:53 {{
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {folder}/admin.kubeconfig
    ttl 1
  }}
}}
"""

DNS_OBJECTS = f"""\
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system}}
spec:
  clusterIP: {DNS}
  ports: [{{name: dns, port: 53, protocol: UDP}}, {{name: dns-tcp, port: 53, protocol: TCP}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns-1, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
ports: [{{name: dns, port: 53, protocol: UDP}}, {{name: dns-tcp, port: 53, protocol: TCP}}]
endpoints: [{{addresses: [{ADDRESS}], conditions: {{ready: true}}}}]
"""


def build_proxy_config(host: str, kubeconfig: Path) -> str:
    # conntrack's limits are the whole machine's: 0 leaves them alone
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": PODS,
        "hostnameOverride": host,
        "conntrack": {"maxPerCore": 0, "min": 0},
        "clientConnection": {"kubeconfig": str(kubeconfig)},
    }
    return json.dumps(config)


def build_etcd(folder: Path) -> list[str]:
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        "etcd", "--unsafe-no-fsync", f"--data-dir={folder}/etcd", f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    ]  # fmt: skip


def build_apiserver(folder: Path) -> list[str]:
    return [
        "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--service-cluster-ip-range={SERVICES}",
        f"--advertise-address={ADDRESS}", "--bind-address=0.0.0.0", "--secure-port=6443",
        f"--client-ca-file={folder}/ca.crt", f"--tls-cert-file={folder}/apiserver.crt",
        f"--tls-private-key-file={folder}/apiserver.key", f"--service-account-key-file={folder}/sa.pub",
        f"--service-account-signing-key-file={folder}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
        f"--kubelet-client-certificate={folder}/admin.crt", f"--kubelet-client-key={folder}/admin.key",
        f"--kubelet-certificate-authority={folder}/ca.crt", "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={folder}/audit-policy.json", f"--audit-log-path={folder}/audit.log",
    ]  # fmt: skip


def build_controllers(folder: Path) -> dict[str, list[str]]:
    """What needs the API server. A silent node is NotReady after 10 s."""
    return {
        "controller-manager": [
            "kube-controller-manager", f"--kubeconfig={folder}/controller-manager.kubeconfig",
            f"--service-account-private-key-file={folder}/sa.key", f"--root-ca-file={folder}/ca.crt",
            "--use-service-account-credentials=true", "--leader-elect=false", "--node-monitor-period=1s",
            "--node-monitor-grace-period=10s",
        ],
        "scheduler": ["kube-scheduler", f"--kubeconfig={folder}/scheduler.kubeconfig", "--leader-elect=false"],
        "proxy": ["kube-proxy", f"--config={folder}/proxy.json"],
        "coredns": ["coredns", "-conf", f"{folder}/Corefile"],
    }  # fmt: skip


def start(paths: Paths, name: str, argv: list[str], env: dict[str, str]) -> None:
    folder = paths.control_plane
    inside = ["nsenter", "-t", str(read_pid(paths.run / "fabric.pid")), "-n", *argv]
    start_daemon(folder / f"{name}.pid", inside, folder / f"{name}.log", env)


def start_api(paths: Paths, env: dict[str, str]) -> None:
    folder = paths.control_plane
    (folder / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
    start(paths, "etcd", build_etcd(folder), env)
    start(paths, "apiserver", build_apiserver(folder), env)


def start_controllers(paths: Paths, env: dict[str, str]) -> None:
    folder = paths.control_plane
    (folder / "proxy.json").write_text(build_proxy_config("control-plane", folder / "proxy.kubeconfig"))
    (folder / "Corefile").write_text(COREFILE.format(folder=folder))
    for name, argv in build_controllers(folder).items():
        start(paths, name, argv, env)


def stop(paths: Paths) -> None:
    for pid_file in sorted(paths.control_plane.glob("*.pid")):
        end_daemon(pid_file)

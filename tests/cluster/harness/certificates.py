"""The cluster's own authority, its certificates and its kubeconfigs: made anew for every run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .commands import run

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "{server}", certificate-authority: {folder}/ca.crt}}}}]
users: [{{name: {user}, user: {{client-certificate: {folder}/{user}.crt, client-key: {folder}/{user}.key}}}}]
contexts: [{{name: rfdetr-test, context: {{cluster: test, user: {user}}}}}]
current-context: rfdetr-test
"""
SERVER_NAMES = "DNS:kubernetes,DNS:kubernetes.default.svc,IP:10.96.0.1,IP:127.0.0.1"
USERS = {
    "admin": "/O=system:masters/CN=admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "proxy": "/CN=system:kube-proxy",
}


def create_authority(folder: Path) -> None:
    create_key(folder / "ca.key")
    request = ["openssl", "req", "-x509", "-new", "-key", "ca.key", "-out", "ca.crt", "-days", "30"]
    usage = "keyUsage=critical,keyCertSign,digitalSignature"
    run([*request, "-subj", "/CN=rfdetr-test", "-addext", usage], cwd=folder)
    create_key(folder / "sa.key")
    run(["openssl", "pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub"], cwd=folder)


def create_key(path: Path) -> None:
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path])


def create_certificate(folder: Path, name: str, subject: str, extensions: str) -> None:
    create_key(folder / f"{name}.key")
    run(["openssl", "req", "-new", "-key", f"{name}.key", "-out", f"{name}.csr", "-subj", subject], cwd=folder)
    (folder / f"{name}.ext").write_text(extensions)
    sign = ["openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
    run([*sign, "-days", "30", "-out", f"{name}.crt", "-extfile", f"{name}.ext"], cwd=folder)


def create_all(folder: Path, address: str, nodes: Mapping[str, str]) -> None:
    """Certificates and kubeconfigs for the API server, its clients and the nodes (name to address)."""
    create_authority(folder)
    create_certificate(
        folder,
        "apiserver",
        "/CN=kube-apiserver",
        f"subjectAltName=IP:{address},{SERVER_NAMES}\nextendedKeyUsage=serverAuth\n",
    )
    for user, subject in USERS.items():
        create_certificate(folder, user, subject, "extendedKeyUsage=clientAuth\n")
    for node, node_address in nodes.items():
        create_certificate(
            folder,
            node,
            f"/O=system:nodes/CN=system:node:{node}",
            f"subjectAltName=DNS:{node},IP:{node_address}\nextendedKeyUsage=clientAuth,serverAuth\n",
        )
    for user in [*USERS, *nodes]:
        text = KUBECONFIG.format(server=f"https://{address}:6443", folder=folder, user=user)
        (folder / f"{user}.kubeconfig").write_text(text)

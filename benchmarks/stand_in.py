"""A stand-in for an API server that serves no object: it answers discovery and lists, and holds watches open."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.operator_process import Site
from rfdetr_contract import names

Body = dict[str, Any]


def build_resource(name: str, kind: str, *, namespaced: bool = True) -> Body:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    return {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": verbs}


CORE = [
    build_resource("pods", "Pod"),
    build_resource("services", "Service"),
    build_resource("persistentvolumeclaims", "PersistentVolumeClaim"),
    build_resource("namespaces", "Namespace", namespaced=False),
    build_resource("nodes", "Node", namespaced=False),
]
OWN = [build_resource(names.PLURAL, names.KIND), build_resource(f"{names.PLURAL}/status", names.KIND)]
GROUP_VERSION = {"groupVersion": names.API_VERSION, "version": names.VERSION}
GROUP = {"name": names.GROUP, "versions": [GROUP_VERSION], "preferredVersion": GROUP_VERSION}
DISCOVERY: dict[str, Body] = {
    "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "groups": [GROUP]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": CORE},
    f"/apis/{names.GROUP}": {"kind": "APIGroup", **GROUP},
    f"/apis/{names.API_VERSION}": {"kind": "APIResourceList", "groupVersion": names.API_VERSION, "resources": OWN},
}


def choose_answer(path: str) -> Body | None:
    """The body for a GET that is not a watch; None for what is not there."""
    if path in DISCOVERY:
        return DISCOVERY[path]
    kinds = {resource["name"]: resource["kind"] for resource in (*CORE, *OWN)}
    kind = kinds.get(path.rpartition("/")[2])
    return {"kind": f"{kind}List", "metadata": {"resourceVersion": "1"}, "items": []} if kind else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parse_qs(parts.query).get("watch", ["false"])[0] in ("true", "1"):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.server.ended.wait()
            self.close_connection = True
            return
        body = choose_answer(parts.path)
        text = json.dumps(body or {"kind": "Status", "status": "Failure", "code": 404, "message": parts.path}).encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is the standard library's
        """Requests are not printed."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ended = threading.Event()


def build_kubeconfig(port: int) -> Body:
    cluster = {"name": "stand-in", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    context = {"name": "stand-in", "context": {"cluster": "stand-in", "user": "stand-in"}}
    user = {"name": "stand-in", "user": {"token": "none"}}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "contexts": [context],
        "users": [user],
        "current-context": "stand-in",
    }


@contextmanager
def open_stand_in(folder: Path) -> Iterator[Site]:
    """The stand-in for the block."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        path = folder / "kubeconfig.json"
        path.write_text(json.dumps(build_kubeconfig(server.server_address[1])))
        try:
            yield Site((), path, "trainer")
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()

"""A small API server over HTTP: enough of list, watch, get, create, delete and patch for the operator's own process.

It keeps every request with its sender, and can be told to fail. What it does not do (schemas, garbage collection,
pod phases, rights) is tested on the real one.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from fake_cluster import merge
from rfdetr_contract import names

Body = dict[str, Any]
KINDS = {"pods": "Pod", "services": "Service", "persistentvolumeclaims": "PersistentVolumeClaim"}


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    path: str
    agent: str
    port: int = 0  # on which it came
    status: int = 0  # of the answer; 0 as long as there is none


@dataclass
class FakeApi:
    """The objects by resource, namespace and name, and the watchers of each resource."""

    objects: dict[tuple[str, str, str], Body] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    watchers: list[tuple[str, asyncio.Queue[Body]]] = field(default_factory=list)
    version: int = 1
    has_crd: bool = True
    answer: web.HTTPException | None = None  # what every call gets, as long as it is set
    reports: dict[str, str] = field(default_factory=dict)  # what pods say through the proxy, by name
    forbidden: set[str] = field(default_factory=set)  # resources that nobody may touch
    denied: set[tuple[str, str]] = field(default_factory=set)  # verbs on resources that nobody has

    def application(self) -> web.Application:
        """All paths."""
        application = web.Application(middlewares=[self._remember])
        job = f"/apis/{names.API_VERSION}"
        application.add_routes(
            [
                web.get("/api", self._discover_core),
                web.get("/apis", self._discover_groups),
                web.get("/api/v1", self._discover),
                web.get(job, self._discover),
                web.get("/version", self._discover_core),
            ]
        )
        application.router.add_get("/api/v1/nodes/{name}", self._get_node)
        application.router.add_get("/api/v1/namespaces/{namespace}/pods/{name}/proxy/report", self._get_report)
        application.router.add_post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review)
        for prefix in ("/api/v1", job, "/apis/events.k8s.io/v1", "/apis/coordination.k8s.io/v1"):
            named = prefix + "/namespaces/{namespace}/{resource}/{name}"
            application.add_routes(
                [
                    web.get(prefix + "/{resource}", self._list),
                    web.get(prefix + "/namespaces/{namespace}/{resource}", self._list),
                    web.post(prefix + "/namespaces/{namespace}/{resource}", self._create),
                    web.get(named, self._get),
                    web.delete(named, self._delete),
                    web.put(named, self._put),
                    web.patch(named, self._patch),
                    web.patch(named + "/status", self._patch),
                ]
            )
        return application

    def put(self, resource: str, body: Body) -> None:
        """Store an object and tell the watchers."""
        meta = body["metadata"]
        key = (resource, meta["namespace"], meta["name"])
        kind = "MODIFIED" if key in self.objects else "ADDED"
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        meta.setdefault("uid", f"uid-{self.version}")
        self.objects[key] = body
        self._tell(resource, {"type": kind, "object": body})

    def remove(self, resource: str, namespace: str, name: str) -> None:
        """Remove an object and tell the watchers."""
        self._tell(resource, {"type": "DELETED", "object": self.objects.pop((resource, namespace, name))})

    def named(self, resource: str) -> list[str]:
        """Names of the objects of a resource."""
        return sorted(name for found, _, name in self.objects if found == resource)

    def break_watches(self, code: int) -> None:
        """Every watch gets an error event."""
        for _, queue in self.watchers:
            queue.put_nowait({"type": "ERROR", "object": {"kind": "Status", "code": code, "message": "broken"}})

    def _tell(self, resource: str, event: Body) -> None:
        for found, queue in self.watchers:
            if found == resource:
                queue.put_nowait(json.loads(json.dumps(event)))

    @web.middleware
    async def _remember(self, request: web.Request, handler: Any) -> web.StreamResponse:
        port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
        place = len(self.seen)
        self.seen.append(Seen(request.method, request.path, request.headers.get("User-Agent", ""), port))
        if request.match_info.get("resource") in self.forbidden:
            return web.json_response({"message": "forbidden"}, status=403)
        if self.answer is not None:
            asked = {name: value for name, value in self.answer.headers.items() if name == "Retry-After"}
            return web.json_response({"message": "told to fail"}, status=self.answer.status, headers=asked)
        response: web.StreamResponse = await handler(request)
        self.seen[place] = replace(self.seen[place], status=response.status)
        return response

    async def _discover_core(self, _request: web.Request) -> web.Response:
        return web.json_response({"versions": ["v1"], "major": "1", "minor": "37"})

    async def _discover_groups(self, _request: web.Request) -> web.Response:
        version = {"groupVersion": names.API_VERSION, "version": names.VERSION}
        groups = [{"name": names.GROUP, "versions": [version], "preferredVersion": version}]
        return web.json_response({"groups": groups if self.has_crd else []})

    async def _discover(self, request: web.Request) -> web.Response:
        verbs = ["get", "list", "watch", "create", "patch", "delete"]
        ours = [(names.PLURAL, names.KIND)] if self.has_crd else []
        # kopf waits until it has found namespaces, whether it may look at them or not
        core = [*KINDS.items(), ("namespaces", "Namespace"), ("events", "Event")]
        found = ours if names.GROUP in request.path else core
        resources = [
            {"name": name, "singularName": kind.lower(), "kind": kind, "namespaced": True, "verbs": verbs}
            for name, kind in found
        ]
        return web.json_response({"resources": resources})

    async def _list(self, request: web.Request) -> web.StreamResponse:
        resource, namespace = request.match_info["resource"], request.match_info.get("namespace")
        if resource == names.PLURAL and not self.has_crd:
            return web.json_response({"message": "404 page not found"}, status=404)
        if request.query.get("watch"):
            return await self._watch(request, resource)
        items = [
            body
            for (found, where, _), body in self.objects.items()
            if found == resource and namespace in (None, where) and is_selected(body, request.query)
        ]
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    async def _watch(self, request: web.Request, resource: str) -> web.StreamResponse:
        response = web.StreamResponse()
        queue: asyncio.Queue[Body] = asyncio.Queue()
        self.watchers.append((resource, queue))
        try:
            await response.prepare(request)
            while True:
                event = await queue.get()
                await response.write(json.dumps(event).encode() + b"\n")
        except ConnectionError:
            return response
        finally:
            self.watchers.remove((resource, queue))

    async def _create(self, request: web.Request) -> web.Response:
        resource, namespace = request.match_info["resource"], request.match_info["namespace"]
        body = await request.json()
        if request.query.get("dryRun"):
            return web.json_response(body, status=201)
        if (resource, namespace, body["metadata"]["name"]) in self.objects:
            return web.json_response({"message": "already exists"}, status=409)
        body["metadata"]["namespace"] = namespace
        if resource == "pods":
            body["status"] = {"phase": "Pending"}
        self.put(resource, body)
        return web.json_response(body, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        found = self.objects.get(read_key(request))
        return web.json_response(found or {"message": "not found"}, status=200 if found else 404)

    async def _delete(self, request: web.Request) -> web.Response:
        key = read_key(request)
        found, asked = self.objects.get(key), await request.json()
        if found is None:
            return web.json_response({"message": "not found"}, status=404)
        if asked.get("preconditions", {}).get("uid") != found["metadata"]["uid"]:
            return web.json_response({"message": "the UID does not match"}, status=409)
        self.remove(*key)
        return web.json_response(found)

    async def _put(self, request: web.Request) -> web.Response:
        key, body = read_key(request), await request.json()
        found = self.objects.get(key)
        if found is None:
            return web.json_response({"message": "not found"}, status=404)
        if body["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
            return web.json_response({"message": "the object has been modified"}, status=409)
        self.put(key[0], body)
        return web.json_response(body)

    async def _get_node(self, request: web.Request) -> web.Response:
        found = self.objects.get(("nodes", "", request.match_info["name"]))
        return web.json_response(found or {"message": "not found"}, status=200 if found else 404)

    async def _get_report(self, request: web.Request) -> web.Response:
        said = self.reports.get(request.match_info["name"])
        return web.Response(text=said or "no such pod", status=200 if said else 503)

    async def _review(self, request: web.Request) -> web.Response:
        asked = (await request.json())["spec"]["resourceAttributes"]
        resource = "/".join(part for part in (asked["resource"], asked.get("subresource", "")) if part)
        return web.json_response({"status": {"allowed": (asked["verb"], resource) not in self.denied}}, status=201)

    async def _patch(self, request: web.Request) -> web.Response:
        key = read_key(request)
        found, patch = self.objects.get(key), await request.json()
        if found is None:
            return web.json_response({"message": "not found"}, status=404)
        wanted = patch.get("metadata", {}).get("resourceVersion")
        if wanted not in (None, found["metadata"]["resourceVersion"]):
            return web.json_response({"message": "the object has been modified"}, status=409)
        self.put(key[0], merge(found, patch))
        return web.json_response(self.objects[key])


def read_key(request: web.Request) -> tuple[str, str, str]:
    """Resource, namespace and name of a path."""
    info = request.match_info
    return info["resource"], info["namespace"], info["name"]


def is_selected(body: Body, query: Any) -> bool:
    """The labels match the selector."""
    labels = body["metadata"].get("labels") or {}
    pairs = [part.split("=", 1) for part in query.get("labelSelector", "").split(",") if part]
    return all(labels.get(key) == value for key, value in pairs)

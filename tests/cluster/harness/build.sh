#!/usr/bin/env bash
# The programs of a cluster, built from Go modules into $RFDETR_CLUSTER_CACHE/bin: build.sh [kubernetes|etcd|containerd|coredns|helm|registry|actionlint ...]
# A program that is there at the wanted version (bin/.NAME) is left alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=versions.env
source "$here/versions.env"
cache=${RFDETR_CLUSTER_CACHE:-$HOME/.cache/rfdetr-cluster}
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"

die() { echo "build.sh: $*" >&2; exit 1; }

is_built() { # VERSION NAME...
  local version=$1 name
  shift
  for name; do
    [[ -x $cache/bin/$name && $(cat "$cache/bin/.$name" 2>/dev/null) == "$version" ]] || return 1
  done
}

need_go() {
  command -v go >/dev/null || die "go is not installed; Go 1.26 or newer builds the cluster's programs"
  local minor
  minor=$(go env GOVERSION | sed -nE 's/^go1\.([0-9]+).*/\1/p')
  ((${minor:-0} >= 26)) || die "$(go env GOVERSION) is too old; Go 1.26 or newer builds the cluster's programs"
}

# `go install MODULE@VERSION` refuses modules with replace directives, so each program is pinned by a module of its own.
write_module() { # FOLDER MODULE VERSION PACKAGE...
  local folder=$cache/mod/$1 module=$2 version=$3
  shift 3
  mkdir -p "$folder"
  printf 'module tools\n\ngo 1.26.0\n\nrequire %s v%s\n' "$module" "$version" >"$folder/go.mod"
  { printf '//go:build tools\n\npackage tools\n\nimport (\n' && printf '\t_ "%s"\n' "$@" && printf ')\n'; } >"$folder/tools.go"
}

# k8s.io/kubernetes asks for its staging modules at v0.0.0; they are published as v0.MINOR.PATCH.
append_staging_modules() { # FOLDER
  local description gomod module
  description=$(go mod download -json "k8s.io/kubernetes@v$KUBERNETES")
  gomod=$(sed -nE 's/^[[:space:]]*"GoMod": "(.*)",?$/\1/p' <<<"$description")
  {
    printf '\nreplace (\n'
    grep -oE 'k8s\.io/[a-z0-9-]+ => \./staging' "$gomod" | cut -d' ' -f1 | sort -u |
      while read -r module; do printf '\t%s => %s v0.%s\n' "$module" "$module" "${KUBERNETES#*.}"; done
    printf ')\n'
  } >>"$cache/mod/$1/go.mod"
}

compile() { # FOLDER VERSION LINKER_FLAGS PACKAGE...
  local folder=$cache/mod/$1 version=$2 flags=$3 package name started
  shift 3
  cd "$folder"
  go mod tidy >tidy.log 2>&1 || { cat tidy.log >&2; die "the modules of $folder do not resolve"; }
  for package; do
    case $package in
      go.etcd.io/etcd/server/v3) name=etcd ;;
      helm.sh/helm/v3/cmd/helm) name=helm3 ;;
      *) name=$(basename "$package") ;;
    esac
    is_built "$version" "$name" && continue
    started=$SECONDS
    go build -ldflags "-s -w $flags" -o "$cache/bin/$name.new" "$package"
    mv "$cache/bin/$name.new" "$cache/bin/$name"
    echo "$version" >"$cache/bin/.$name"
    echo "built $name $version in $((SECONDS - started)) s"
  done
}

build_kubernetes() {
  local names=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl) stamp=k8s.io/component-base/version
  is_built "$KUBERNETES" "${names[@]}" && return
  need_go
  write_module kubernetes k8s.io/kubernetes "$KUBERNETES" "${names[@]/#/k8s.io/kubernetes/cmd/}"
  append_staging_modules kubernetes
  # without these the server calls itself v0.0.0-master
  compile kubernetes "$KUBERNETES" \
    "-X $stamp.gitVersion=v$KUBERNETES -X $stamp.gitMajor=1 -X $stamp.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES") -X $stamp.gitTreeState=clean" \
    "${names[@]/#/k8s.io/kubernetes/cmd/}"
}

build_etcd() {
  local module=go.etcd.io/etcd/server/v3
  is_built "$ETCD" etcd && return
  need_go
  write_module etcd "$module" "$ETCD" "$module"
  compile etcd "$ETCD" "" "$module"
}

build_containerd() {
  local module=github.com/containerd/containerd/v2 names=(containerd containerd-shim-runc-v2 ctr)
  is_built "$CONTAINERD" "${names[@]}" && return
  need_go
  write_module containerd "$module" "$CONTAINERD" "${names[@]/#/$module/cmd/}"
  compile containerd "$CONTAINERD" "" "${names[@]/#/$module/cmd/}"
}

build_coredns() {
  local module=github.com/coredns/coredns
  is_built "$COREDNS" coredns && return
  need_go
  write_module coredns "$module" "$COREDNS" "$module"
  compile coredns "$COREDNS" "" "$module"
}

build_helm() {
  local module=helm.sh/helm/v4 minor=${KUBERNETES%.*}
  is_built "$HELM" helm && is_built "$HELM3" helm3 && return
  need_go
  write_module helm "$module" "$HELM" "$module/cmd/helm"
  compile helm "$HELM" "-X $module/internal/version.version=v$HELM" "$module/cmd/helm"
  module=helm.sh/helm/v3
  write_module helm3 "$module" "$HELM3" "$module/cmd/helm"
  # without these Helm 3 takes Kubernetes for 1.20 when it renders without a cluster
  compile helm3 "$HELM3" \
    "-X $module/internal/version.version=v$HELM3 -X $module/pkg/chartutil.k8sVersionMinor=${minor#*.} -X $module/pkg/lint/rules.k8sVersionMinor=${minor#*.}" \
    "$module/cmd/helm"
}

build_registry() {
  local module=github.com/distribution/distribution/v3
  is_built "$REGISTRY" registry && return
  need_go
  write_module registry "$module" "$REGISTRY" "$module/cmd/registry"
  compile registry "$REGISTRY" "" "$module/cmd/registry"
}

build_actionlint() {
  local module=github.com/rhysd/actionlint
  is_built "$ACTIONLINT" actionlint && return
  need_go
  write_module actionlint "$module" "$ACTIONLINT" "$module/cmd/actionlint"
  compile actionlint "$ACTIONLINT" "" "$module/cmd/actionlint"
}

mkdir -p "$cache/bin" "$cache/mod"
(($# > 0)) || set -- kubernetes etcd containerd coredns helm registry actionlint
for part; do
  case $part in
    kubernetes | etcd | containerd | coredns | helm | registry) (build_"$part") ;;
    actionlint) (build_actionlint) || echo "build.sh: no actionlint: the release's workflow is looked at by zizmor alone" >&2 ;;
    *) die "unknown part '$part'; one of kubernetes, etcd, containerd, coredns, helm, registry, actionlint" ;;
  esac
done

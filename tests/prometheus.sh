#!/usr/bin/env bash
# Prometheus and promtool for the tests, unpacked into FOLDER from Debian's own package; no root, nothing is started.
# A machine that has both on its PATH, or has no apt, is left alone.
set -euo pipefail

folder=$(cd "$1" && pwd)
if command -v promtool >/dev/null && command -v prometheus >/dev/null; then exit 0; fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  echo "prometheus.sh: no prometheus on the PATH and no apt to take it from: tests of the alerts will be skipped" >&2
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if ! apt-get download -qq prometheus >/dev/null 2>&1; then
  mkdir -p state/lists/partial cache/archives/partial
  private=(-o "Dir::State=$work/state" -o "Dir::State::Lists=$work/state/lists" -o "Dir::Cache=$work/cache"
    -o APT::Sandbox::User= -o Dir::State::Status=/var/lib/dpkg/status)
  apt-get "${private[@]}" update -qq
  apt-get "${private[@]}" download -qq prometheus >/dev/null
fi
dpkg-deb -x prometheus_*.deb unpacked
install -m 755 unpacked/usr/bin/prometheus unpacked/usr/bin/promtool "$folder"

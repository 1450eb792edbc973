#!/usr/bin/env bash
# The system packages of the cluster harness, for Debian and Ubuntu. What is there already is left alone.
set -euo pipefail

packages=(buildah ca-certificates conntrack containernetworking-plugins ebtables ethtool iproute2 ipset iptables
  kmod mmdebstrap openssl procps runc socat util-linux)

missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
((${#missing[@]} == 0)) && exit 0
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
  echo "packages.sh: the test cluster needs these packages, which only root on Debian or Ubuntu can install here: ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null

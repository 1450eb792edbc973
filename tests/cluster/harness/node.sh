#!/usr/bin/env bash
# A Kubernetes node without a container engine: its own pid, mount, network, uts, ipc and cgroup namespaces and its own cgroups.
#   node.sh fabric-up | fabric-down            the network namespace with the bridge that joins the nodes; the control plane lives there
#   node.sh up NAME IP POD_SUBNET [PEER_SUBNET=PEER_IP ...]
#   node.sh exec NAME COMMAND...               inside a node, accounted in its cgroups
#   node.sh down NAME                          power loss: process 1 is killed, and the kernel ends the rest of its namespace
#   node.sh link NAME up|down                  the node's network cable
# The machine's own network namespace is not touched, and the bridge has no uplink.
set -euo pipefail

run=${RFDETR_RUN:?} bin=${RFDETR_BIN:?} group=${RFDETR_CGROUP:?}
root=/sys/fs/cgroup
hierarchies=(cpu cpuacct cpuset memory devices freezer blkio pids systemd unified)
gateway=172.30.0.1

started() { # PID: its start time, which tells it from a later process of the same number
  sed -E 's/^.*\) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}
remember() { echo "$2 $(started "$2")" >"$1"; } # FILE PID
alive() { # FILE
  local pid start
  read -r pid start <"$1" 2>/dev/null && [[ -n $start && $(started "$pid") == "$start" ]]
}
pid_of() { cut -d' ' -f1 "$1"; }
fabric() { nsenter -t "$(pid_of "$run/fabric.pid")" -n "$@"; }
until_true() { # TENTHS COMMAND...
  local tries=$1
  shift
  for ((i = 0; i < tries; i++)); do
    "$@" && return
    sleep 0.1
  done
  return 1
}
join_cgroups() { # NAME
  local hierarchy
  for hierarchy in "${hierarchies[@]}"; do
    [[ -d $root/$hierarchy/$group/$1 ]] && echo $$ >"$root/$hierarchy/$group/$1/cgroup.procs"
  done
  return 0
}

fabric_up() {
  mkdir -p "$run"
  setsid unshare --net sleep infinity >/dev/null 2>&1 </dev/null &
  local pid=$!
  disown
  until_true 50 eval "[[ \$(readlink /proc/$pid/ns/net) != \$(readlink /proc/self/ns/net) && \$(cat /proc/$pid/comm) == sleep ]]"
  remember "$run/fabric.pid" "$pid"
  fabric ip link set lo up
  # A bridge without a fixed address takes its lowest port's: a node that leaves would break the other's ARP for seconds.
  fabric ip link add br0 address 02:00:00:00:00:01 type bridge
  fabric ip addr add "$gateway/24" dev br0
  fabric ip link set br0 up
  fabric sysctl -qw net.ipv4.ip_forward=1
  fabric ip route add 10.96.0.0/16 dev br0 # any route does: it only lets the ClusterIPs reach the OUTPUT chain
}

fabric_down() {
  alive "$run/fabric.pid" && kill -9 "$(pid_of "$run/fabric.pid")"
  rm -f "$run/fabric.pid"
}

make_cgroups() { # NAME
  local hierarchy folder
  for hierarchy in "${hierarchies[@]}"; do
    [[ -d $root/$hierarchy ]] || continue
    mkdir -p "$root/$hierarchy/$group/$1"
    [[ $hierarchy == cpuset ]] || continue
    for folder in "$root/cpuset/$group" "$root/cpuset/$group/$1"; do
      cat "$root/cpuset/cpuset.cpus" >"$folder/cpuset.cpus"
      cat "$root/cpuset/cpuset.mems" >"$folder/cpuset.mems"
    done
  done
}

remove_cgroups() { # NAME
  local hierarchy
  for hierarchy in "${hierarchies[@]}"; do
    [[ -d $root/$hierarchy/$group/$1 ]] && find "$root/$hierarchy/$group/$1" -depth -type d -exec rmdir {} + 2>/dev/null
    rmdir "$root/$hierarchy/$group" 2>/dev/null || true
  done
  for hierarchy in "${hierarchies[@]}"; do [[ -d $root/$hierarchy/$group/$1 ]] && return 1; done
  return 0
}

node_up() { # NAME IP POD_SUBNET PEERS...
  local name=$1 ip=$2 node=$run/$1 outer inner
  mkdir -p "$node"/{kubelet,log/pods,log/containers,cni/net.d,cni/state,sys}
  rm -f "$node/ready"
  make_cgroups "$name"
  # The shell joins the node's cgroups before it unshares, so the cgroup namespace's root is the node's own group.
  setsid "$0" __outer "$@" >"$node/node.log" 2>&1 </dev/null &
  outer=$!
  disown
  until_true 100 eval "inner=\$(pgrep -P $outer -o) && [[ -n \$inner ]]" || { cat "$node/node.log" >&2; exit 1; }
  remember "$node/pid" "$inner"
  fabric ip link add "v-$name" type veth peer name eth0 netns "$inner"
  fabric ip link set "v-$name" master br0 up
  until_true 150 test -e "$node/ready" || { tail -n 20 "$node/node.log" "$node/containerd.log" >&2; exit 1; }
  fabric ip route replace "$3" via "$ip"
}

outer() {
  join_cgroups "$1"
  exec unshare --pid --fork --mount --net --uts --ipc --cgroup --mount-proc --propagation private "$0" __inner "$@"
}

mount_node() { # NODE
  local node=$1 hierarchy options
  umount -R /sys # first, or the machine's cgroup mounts stay visible
  mount -t sysfs sysfs /sys
  mount -t tmpfs -o mode=755 tmpfs $root
  for hierarchy in "${hierarchies[@]}"; do
    [[ $hierarchy == unified ]] && continue
    options=$hierarchy
    [[ $hierarchy == systemd ]] && options=none,name=systemd
    mkdir "$root/$hierarchy"
    mount -t cgroup -o "$options" cgroup "$root/$hierarchy"
  done
  mkdir -p /var/lib/kubelet /var/log/pods /var/log/containers /etc/cni/net.d /var/lib/cni
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/netns /run/lock
  mount --bind "$node/kubelet" /var/lib/kubelet
  mount --bind "$node/log/pods" /var/log/pods
  mount --bind "$node/log/containers" /var/log/containers
  mount --bind "$node/cni/net.d" /etc/cni/net.d
  mount --bind "$node/cni/state" /var/lib/cni
  mount --make-rshared /
}

shield_sysctls() { # NODE: the kubelet sets these, and they are the whole machine's; it gets files of its own instead
  local setting file
  for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
    file=$1/sys/${setting%=*}
    mkdir -p "$(dirname "$file")"
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
  done
}

inner() { # NAME IP POD_SUBNET PEERS...
  local name=$1 ip=$2 subnet=$3 node=$run/$1 peer
  shift 3
  hostname "$name"
  mount_node "$node"
  shield_sysctls "$node"
  ip link set lo up
  until_true 100 eval "ip link show eth0 >/dev/null 2>&1"
  ip addr add "$ip/24" dev eth0
  ip link set eth0 up
  ip route add default via "$gateway"
  for peer; do ip route add "${peer%=*}" via "${peer#*=}"; done
  sysctl -qw net.ipv4.ip_forward=1
  sysctl -qw net.bridge.bridge-nf-call-iptables=1 || true # absent where the bridge's netfilter is not loaded: same-node ClusterIPs only
  rm -rf /var/lib/cni/* # a node that lost its power has no pod networks left
  cat >/etc/cni/net.d/10-pods.conflist <<CNI
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true, "mtu": 1500,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$subnet"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
CNI
  export PATH=$bin:$PATH
  containerd -c "$node/containerd.toml" >"$node/containerd.log" 2>&1 &
  until_true 100 eval "ctr version >/dev/null 2>&1"
  echo yes >"$node/ready"
  # bash as process 1 reaps the orphans
  while :; do
    sleep 3600 &
    wait $! || true
  done
}

node_exec() { # NAME COMMAND...
  local name=$1 pid
  shift
  alive "$run/$name/pid" || { echo "node.sh: $name is down" >&2; exit 1; }
  pid=$(pid_of "$run/$name/pid")
  join_cgroups "$name"
  export PATH=$bin:$PATH
  exec nsenter -t "$pid" --mount --uts --ipc --net --pid --cgroup --wd=/ "$@"
}

node_down() { # NAME
  local file=$run/$1/pid
  alive "$file" && kill -9 "$(pid_of "$file")"
  until_true 100 eval "! alive '$file'"
  until_true 100 remove_cgroups "$1" || { echo "node.sh: cgroups of $1 are still in use" >&2; exit 1; }
  rm -f "$file" "$run/$1/ready"
}

case ${1:-} in
  fabric-up) fabric_up ;;
  fabric-down) fabric_down ;;
  up) node_up "${@:2}" ;;
  exec) node_exec "${@:2}" ;;
  down) node_down "$2" ;;
  link) fabric ip link set "v-$2" "$3" ;;
  __outer) outer "${@:2}" ;;
  __inner) inner "${@:2}" ;;
  *)
    sed -n '3,7s/^# *//p' "$0" >&2
    exit 2
    ;;
esac

#!/usr/bin/env bash
# make test-cluster: packages, programs, images, then the end-to-end suite; extra arguments go to pytest.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../../.." && pwd)
cd "$repository"
python=$repository/.venv/bin/python
suite=("$python" -m pytest tests/cluster -m cluster "$@")

if [[ ${RFDETR_TEST_CLUSTER:-} == 1 && -n ${KUBECONFIG:-} ]]; then
  exec "${suite[@]}"
fi
if [[ $(id -u) != 0 ]]; then
  echo "make test-cluster needs root (namespaces, mounts, cgroups); or set KUBECONFIG and RFDETR_TEST_CLUSTER=1 to use a cluster that is there" >&2
  exit 1
fi
"$here/packages.sh"
"$here/build.sh"
# Building takes longer than a test may, so it is done before the first one.
PYTHONPATH=tests "$python" -m cluster.harness images --trainer
exec "${suite[@]}"

#!/usr/bin/env bash
# pictures.sh FOLDER [JOB_NAME [NAMESPACE]]: the three dashboards over what tools.dashboards.record left in FOLDER, into docs/img.
set -euo pipefail
folder=$1 job=${2:-shelves} namespace=${3:-vision}
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
port=${PORT:-19090}
read -r from to < <(python3 - "$folder/times.json" <<'EOF'
import datetime, json, sys
times = json.load(open(sys.argv[1]))
print(*(datetime.datetime.fromtimestamp(times[key], datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for key in ("began", "ended")))
EOF
)

config=$(mktemp)
echo 'global: {}' >"$config"
prometheus --config.file="$config" --storage.tsdb.path="$folder/fleet/prometheus/data" --storage.tsdb.retention.time=100y \
  --query.lookback-delta=10s --web.listen-address="127.0.0.1:$port" --log.level=warn &
server=$!
trap 'kill $server; wait $server || true; rm -f "$config"' EXIT
until curl -sf "http://127.0.0.1:$port/-/ready" >/dev/null; do sleep 0.2; done

for board in fleet training-run operator; do
  query="from=$from&to=$to&scrape=2"
  [[ $board == training-run ]] && query+="&var-namespace=$namespace&var-job_name=$job"
  node "$here/shot.mjs" --dashboard "$root/charts/rfdetr-operator/files/dashboards/$board.json" --out "${OUT:-$root/docs/img}/$board" \
    --prometheus "http://127.0.0.1:$port" --query "$query" --allow-empty
done

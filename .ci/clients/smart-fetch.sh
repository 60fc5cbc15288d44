#!/usr/bin/env bash
# smart-fetch.sh : the crawl of PyPI smart-fetch against the gateway; environment: see client-env.sh.
# It brings discovery, assertion, searches and paging itself and asks for 21 scopes of its own choice.
# Prints one JSON line with the resources it stored; status 1 when the crawl failed, or reported an error, or got no Patient.
set -euo pipefail
. "$(dirname "$0")/client-env.sh"

out=$(mktemp -d "$W/smart-fetch.XXXXXX")
trap 'rm -rf "$out"' EXIT
if [ -n "${CA:-}" ]; then export SSL_CERT_FILE=$CA; fi

status=0
"$W/venv/bin/smart-fetch" crawl --verbose --no-compression --fhir-url "$FHIR_BASE" --smart-client-id "$CLIENT_ID" --smart-key "$KEY" \
  --id-list "$PATIENT" --type Patient,Observation,Condition "$out/data" >"$out/log" 2>&1 || status=$?

lines() { if [ -f "$out/data/$1.ndjson" ]; then wc -l <"$out/data/$1.ndjson"; else echo 0; fi; }
errors=$(lines error/OperationOutcome)
ok=true
if [ "$status" != 0 ] || [ "$errors" != 0 ] || [ "$(lines Patient)" != 1 ]; then ok=false; fi
jq -nc --argjson ok $ok --argjson status "$status" --argjson errors "$errors" --argjson patient "$(lines Patient)" \
  --argjson observation "$(lines Observation)" --argjson condition "$(lines Condition)" \
  '{client: "smart-fetch", patient_entries: $patient, observation_entries: $observation, condition_entries: $condition,
    errors: $errors, exit: $status, ok: $ok}'
if [ $ok = false ]; then
  tail -20 "$out/log" >&2
  cat "$out"/data/error/*.ndjson >&2 2>/dev/null || true
  exit 1
fi

#!/usr/bin/env bash
# kit.sh : fhir-kit-client against the gateway; environment: see client-env.sh. One JSON line; status 1 when a step failed.
set -euo pipefail
. "$(dirname "$0")/client-env.sh"
cp "$CI/clients/kit.mjs" "$W/node/" # packages are looked up beside the file
if [ -n "${CA:-}" ]; then export NODE_EXTRA_CA_CERTS=$CA; fi
exec node "$W/node/kit.mjs"

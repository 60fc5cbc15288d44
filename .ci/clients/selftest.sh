#!/usr/bin/env bash
# selftest.sh : issuer and clients against a stub over TLS with the real record system behind it.
# Shows that a client which fails at the gateway fails because of the gateway. Needs ehr.sh up before.
set -euo pipefail
. "$(dirname "$0")/../env.sh"

export STUB_PORT=${STUB_PORT:-18197} ISSUER_PORT=${ISSUER_PORT:-18198}
export UPSTREAM=http://127.0.0.1:${HAPI_PORT:-18080}/fhir ISSUER=http://127.0.0.1:$ISSUER_PORT
export FHIR_BASE=https://127.0.0.1:$STUB_PORT/fhir PATIENT=${PATIENT:-p1} COUNT=${COUNT:-3}
run=$W/selftest && rm -rf "$run" && mkdir -p "$run"
export STUB_TLS=$run CA=$run/ca.pem ISSUER_DIR=$run/issuer

cd "$run"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj '/CN=Self-test CA' 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj '/CN=127.0.0.1' 2>/dev/null
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 \
  -extfile <(echo 'subjectAltName=IP:127.0.0.1') 2>/dev/null

cp "$CI/clients/stub.mjs" "$W/node/"
node "$W/node/stub.mjs" >stub.log 2>&1 &
stub=$!
trap 'kill $stub; "$CI/clients/issuer.sh" stop' EXIT
GATEWAY_AUD=$FHIR_BASE "$CI/clients/issuer.sh" start >/dev/null
export CLIENT_ID KEY

# what HAPI itself says
count() { curl -fs -H 'Cache-Control: no-cache' "$UPSTREAM/$1&_total=accurate&_count=1" | jq -e .total; }
lab=$(count "Observation?patient=$PATIENT&category=laboratory")
conditions=$(count "Condition?patient=$PATIENT")
step "expected: $lab laboratory Observations, $conditions Conditions"

for alg in rs384 es384; do
  CLIENT_ID=payer-$alg KEY=$ISSUER_DIR/payer-$alg.jwks
  for client in kit hapi smart-fetch; do
    line=$("$CI/clients/$client.sh") || die "$client with $alg: $line"
    echo "$line"
    case $client in
      kit) want="[$lab, $conditions, $lab]" got='[.observation_entries, .condition_entries, .post_search_entries]' ;;
      hapi) want="[$lab, $conditions, $lab, $lab, $conditions, $lab]" \
        got='[.xml_first_observation_entries, .xml_first_condition_entries, .xml_first_post_search_entries, .json_observation_entries, .json_condition_entries, .json_post_search_entries]' ;;
      smart-fetch) want="[1, $conditions]" got='[.patient_entries, .condition_entries]' ;;
    esac
    jq -e --argjson want "$want" "$got == \$want" <<<"$line" >/dev/null || die "$client with $alg counted other than $want"
  done
done

head -c 200 /dev/urandom | base64 -w0 >stranger.txt
[ "$(curl -s -o /dev/null -w '%{http_code}' --cacert "$CA" -H "Authorization: Bearer $(cat stranger.txt)" "$FHIR_BASE/Patient/p1")" = 401 ] || die "the stub lets everyone in"
step "done"

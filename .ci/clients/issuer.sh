#!/usr/bin/env bash
# issuer.sh start | stop : the authorization server of issuer.mjs on http://127.0.0.1:$ISSUER_PORT (18196 unless set)
# start needs GATEWAY_AUD; it prints the folder that holds one private CLIENT.jwks for each of ISSUER_CLIENTS.
set -euo pipefail
. "$(dirname "$0")/../env.sh"

export ISSUER_PORT=${ISSUER_PORT:-18196} ISSUER_DIR=${ISSUER_DIR:-$W/issuer}
export ISSUER_CLIENTS=${ISSUER_CLIENTS:-payer-rs384:RS384 payer-es384:ES384}
issuer=http://127.0.0.1:$ISSUER_PORT pidfile=$ISSUER_DIR/pid-$ISSUER_PORT
mkdir -p "$ISSUER_DIR" && chmod 700 "$ISSUER_DIR"
running() { [ -f "$pidfile" ] && ps -o args= -p "$(cat "$pidfile")" | grep -q 'issuer\.mjs'; }

case ${1:-} in
  start)
    : "${GATEWAY_AUD:?set GATEWAY_AUD to the FHIR base of the gateway}"
    if running; then die "already running"; fi
    cp "$CI/clients/issuer.mjs" "$W/node/" # packages are looked up beside the file
    setsid node "$W/node/issuer.mjs" >"$ISSUER_DIR/log-$ISSUER_PORT" 2>&1 </dev/null &
    echo $! >"$pidfile"
    for _ in $(seq 300); do
      if curl -fs -o /dev/null "$issuer/.well-known/openid-configuration"; then
        step "start: $issuer for $ISSUER_CLIENTS"
        echo "$ISSUER_DIR"
        exit
      fi
      running || break
      sleep 0.2
    done
    cat "$ISSUER_DIR/log-$ISSUER_PORT" >&2
    die "start"
    ;;
  stop)
    if running; then kill "$(cat "$pidfile")"; fi
    rm -f "$pidfile"
    step "stop: done"
    ;;
  *) sed -n '2,3p' "$0" && exit 2 ;;
esac

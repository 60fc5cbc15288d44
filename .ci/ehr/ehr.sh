#!/usr/bin/env bash
# ehr.sh COMMAND : a HAPI FHIR R4 server on http://127.0.0.1:$HAPI_PORT/fhir (18080 unless set)
#   build              compile, collect the jars (the only step that uses the network)
#   start [ARGUMENT..] begin from the saved database if there is one, and wait until it answers
#   load SHARED        patients and attack fixtures from below SHARED; nothing to do when the start brought them
#   save               stop; every later start begins with what was stored
#   up SHARED          all of these, as far as needed: ends with a loaded server
#   stop
# HAPI_HEAP: heap limit (1g). ARGUMENT: Spring properties such as --hapi.handling=lenient
set -euo pipefail
. "$(dirname "$0")/../env.sh"

export HAPI_PORT=${HAPI_PORT:-18080}
here=$CI/ehr home=$W/ehr run=$W/ehr/run-$HAPI_PORT base=http://127.0.0.1:$HAPI_PORT/fhir
sources=("$here/pom.xml" "$here/src/main/java/ehr/Ehr.java" "$here/src/main/resources/application.yaml")
mkdir -p "$run"

pid() { cat "$run/pid" 2>/dev/null; }
running() { [ -n "$(pid)" ] && ps -o args= -p "$(pid)" | grep -q ' ehr\.Ehr '; }
key() { digest "${sources[@]}" "$here/load.py" "$1"/data/patients/synthea-2019-enriched/*.json "$1"/attacks/attack-fixtures*.json; }
same() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

build() {
  if stamp "$home/app/.done" "${sources[@]}"; then step "build: done before"; return; fi
  step "build: Maven"
  maven "$home/app" "$here/pom.xml" || die "build"
  stamp_set "$home/app/.done" "${sources[@]}"
}

start() {
  if running; then step "start: already running, process $(pid)"; return; fi
  [ -f "$home/app/.done" ] || die "start: not built"
  if curl -s -o /dev/null -m 5 "$base"; then die "start: port $HAPI_PORT is taken"; fi
  rm -rf "${run:?}"/* && mkdir -p "$run/tmp"
  if [ -f "$home/saved.key" ]; then
    cp "$home/saved.mv.db" "$run/db.mv.db"
    cp "$home/saved.key" "$run/loaded"
  fi
  # First compiler tier and serial collector: half the processor time until it is ready.
  HAPI_DB="jdbc:h2:file:$run/db;DB_CLOSE_DELAY=-1" setsid java -Xmx"${HAPI_HEAP:-1g}" -XX:+UseSerialGC \
    -XX:TieredStopAtLevel=1 -Djava.io.tmpdir="$run/tmp" -cp "$home/app/ehr.jar:$home/app/lib/*" ehr.Ehr \
    --spring.profiles.active=permissive "$@" >"$run/log" 2>&1 </dev/null &
  echo $! >"$run/pid"
  local limit=$((SECONDS + 600)) began=$SECONDS
  sleep 1
  until curl -fs -o /dev/null -m 60 "$base/metadata?_elements=status"; do
    running || { tail -30 "$run/log" >&2; die "start: the server ended, see $run/log"; }
    [ $SECONDS -lt $limit ] || die "start: no answer in 600 s, see $run/log"
    sleep 0.5
  done
  step "start: $base after $((SECONDS - began)) s, $(awk '/VmRSS/ {print int($2 / 1024)}' "/proc/$(pid)/status") MiB"
}

load() {
  running || die "load: not running"
  if same "$run/loaded" "$(key "$1")"; then step "load: done before"; return; fi
  [ ! -f "$run/loaded" ] || die "load: the database holds other data; run '$0 up $1' or remove $home/saved.*"
  python3 "$here/load.py" "$base" "$1" || die "load"
  key "$1" >"$run/loaded"
  step "load: done"
}

stop() {
  running || { step "stop: not running"; return; }
  kill "$(pid)"
  for _ in $(seq 300); do running || break; sleep 0.2; done
  running && die "stop: process $(pid) does not end"
  rm -f "$run/pid"
  step "stop: done"
}

save() {
  [ -f "$run/loaded" ] || die "save: nothing was loaded on port $HAPI_PORT"
  stop
  rm -f "$home/saved.key"
  cp "$run/db.mv.db" "$home/saved.mv.db"
  cp "$run/loaded" "$home/saved.key"
  step "save: $(stat -c %s "$home/saved.mv.db") bytes in $home/saved.mv.db"
}

up() {
  build
  if ! same "$home/saved.key" "$(key "$1")"; then
    stop
    rm -f "$home"/saved.*
    start
    load "$1"
    save
  fi
  start
}

case ${1:-} in
  build | save | stop) "$1" ;;
  start) shift && start "$@" ;;
  load | up) "$1" "$(realpath "${2:?name the shared folder}")" ;;
  *) sed -n '2,9p' "$0" && exit 2 ;;
esac

#!/usr/bin/env bash
# hapi.sh build   compile and collect the jars
# hapi.sh         HAPI's client against the gateway; environment: see client-env.sh. One JSON line; status 1 when a step failed.
set -euo pipefail
. "$(dirname "$0")/../env.sh"
here=$CI/clients/hapi app=$W/hapi-client
sources=("$here/pom.xml" "$here/src/main/java/interop/HapiClient.java")

if ! stamp "$app/.done" "${sources[@]}"; then
  step "build: Maven"
  maven "$app" "$here/pom.xml" || die "build"
  stamp_set "$app/.done" "${sources[@]}"
elif [ "${1:-}" = build ]; then
  step "build: done before"
fi
[ "${1:-}" != build ] || exit 0

. "$(dirname "$0")/client-env.sh"
trust=()
if [ -n "${CA:-}" ]; then
  store=$(mktemp -d) && trap 'rm -rf "$store"' EXIT
  keytool -importcert -noprompt -alias ca -file "$CA" -keystore "$store/trust" -storepass changeit >/dev/null 2>&1 || die "cannot read $CA"
  trust=(-Djavax.net.ssl.trustStore="$store/trust" -Djavax.net.ssl.trustStorePassword=changeit)
fi
java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${trust[@]}" -cp "$app/hapi-client.jar:$app/lib/*" interop.HapiClient

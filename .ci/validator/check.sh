#!/usr/bin/env bash
# check.sh build
# check.sh [--shared DIR] [OPTION..] FILE|DIR..     prints OK or ERROR with reasons per file; status 1 if there is an error
# check.sh [--shared DIR] [OPTION..] --stdin        JSON lines in, JSON lines out
#   --shared DIR   also know the profiles of BALP, CDex, HRex, US Core and PAS, and today's terminology, from below DIR
# Options and line format: see Check.java. After the build no network is used.
set -euo pipefail
. "$(dirname "$0")/../env.sh"

here=$CI/validator app=$W/validator/app home=$W/validator/home
sources=("$here/pom.xml" "$here/src/main/java/check/Check.java")

check=(java -Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$app/validator.jar:$app/lib/*" check.Check --home "$home")

build() {
  if stamp "$app/.done" "${sources[@]}"; then step "build: done before"; return; fi
  step "build: Maven"
  maven "$app" "$here/pom.xml" || die "build"
  step "build: R4 definitions and self-test"
  "${check[@]}" --stdin </dev/null >/dev/null || die "self-test"
  stamp_set "$app/.done" "${sources[@]}"
}

case ${1:-} in
  build) build && exit ;;
  '') sed -n '2,7p' "$0" && exit 2 ;;
esac
[ -f "$app/.done" ] || die "not built"

defs=()
if [ "$1" = --shared ]; then
  data=$(realpath "${2:?name the shared folder}")/data
  shift 2
  for d in standards/terminology/v3 standards/terminology/fhir standards/balp/{StructureDefinition,ValueSet,CodeSystem} \
    profile-closure cdex/hrex-1.2.0/conformance cdex/cdex-ci-2026-06/conformance; do
    [ -d "$data/$d" ] || die "$data/$d is missing"
    defs+=(--defs "$data/$d")
  done
  # real systems, used by HL7's examples, that nobody here has the content of
  for system in http://terminology.hl7.org/CodeSystem/v3-HL7DocumentFormatCodes http://hl7.org/fhir/uv/sdc/CodeSystem/temp \
    http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType; do
    defs+=(--known-system "$system")
  done
fi
exec "${check[@]}" "${defs[@]}" "$@"

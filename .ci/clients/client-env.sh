# shellcheck shell=bash
# Sourced by the clients. What each of them is told:
#   FHIR_BASE  base URL of the gateway        ISSUER     base URL of the authorization server that it trusts
#   CLIENT_ID  who asks                       KEY        JWKS file with this client's private key
#   PATIENT    whose records                  CA         PEM file of the authority behind https addresses (optional)
#   CATEGORY   of Observations (laboratory)   COUNT      page size of the Observation search (2)
#   SCOPE      what is asked for (reading Patient, Observation and Condition)
. "$(dirname "$0")/../env.sh"
for name in FHIR_BASE ISSUER CLIENT_ID KEY PATIENT; do
  [ -n "${!name:-}" ] || die "set $name"
done
[ -f "$KEY" ] || die "no key file $KEY"
export FHIR_BASE=${FHIR_BASE%/} ISSUER CLIENT_ID PATIENT CATEGORY=${CATEGORY:-laboratory} COUNT=${COUNT:-2}
KEY=$(realpath "$KEY")
export KEY SCOPE=${SCOPE:-system/Patient.rs system/Observation.rs system/Condition.rs}
if [ -n "${CA:-}" ]; then CA=$(realpath "$CA"); fi

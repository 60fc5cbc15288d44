# All of a patient's records for which somebody answers, by purpose: payment takes what is answered for, treatment and legal
# purposes take everything, marked.
package portcullis

agreed := [{"code": "answered", "text": "Released for a test.", "basis": "a test with synthetic patients"}]

# METADATA
# entrypoint: true
default decision := {
	"allow": false,
	"reasons": [{"code": "nothing", "text": "Nothing is released.", "basis": "a test with synthetic patients"}],
}

decision := {
	"allow": true,
	"reasons": agreed,
	"patients": input.request.patients,
	"types": types,
	"withhold_labels": ["urn:suite|hidden"],
	"includes": ["Provenance:target"],
	"cache_seconds": 600,
} if {
	count(input.request.patients) > 0
	input.client.purpose in {"HLEGAL", "HPAYMT", "TREAT"}
}

attributable := {
	"AllergyIntolerance",
	"Condition",
	"DiagnosticReport",
	"DocumentReference",
	"Encounter",
	"Immunization",
	"MedicationRequest",
	"Observation",
	"Procedure",
}

types := object.union({"Provenance": {"elements": ["*"]}}, {name: {"elements": ["*"], "authorship": accepted} | some name in attributable})

accepted := ["asserted-by-hie", "asserted-by-source", "verified"] if input.client.purpose == "HPAYMT"

else := ["asserted-by-hie", "asserted-by-source", "contradicted", "unknown", "verified"]

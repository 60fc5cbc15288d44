# Everything about the patients that are asked about: for tests that nothing is lost on the way.
package portcullis

agreed := [{"code": "everything", "text": "Released for a test.", "basis": "a test with synthetic patients"}]

# METADATA
# entrypoint: true
default decision := {
	"allow": false,
	"reasons": [{"code": "nothing", "text": "Nothing is released.", "basis": "a test with synthetic patients"}],
}

decision := object.union(release, {"patients": input.request.patients}) if count(input.request.patients) > 0

else := object.union(release, {"patients": {"roster": "everyone"}}) if input.request.interaction == "search-type"

else := object.union(release, {"patients": []}) if input.request.interaction == "read"

release := {
	"allow": true,
	"reasons": agreed,
	"types": {"*": {"elements": ["*"]}},
	"withhold_labels": [],
	"includes": [
		"DiagnosticReport:result",
		"Encounter:participant",
		"MedicationRequest:medication",
		"MedicationRequest:requester",
		"Observation:encounter",
		"Observation:performer",
		"Provenance:target",
	],
}

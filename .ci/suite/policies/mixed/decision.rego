# One kind of decision for each resource type: for tests of everything that a gateway says.
package portcullis

basis := "a test with invented patients"

refusals := {
	"Encounter": [
		{"code": "not-agreed", "text": "Encounters are not agreed.", "basis": basis},
		{"code": "ask-again", "text": "Ask with another purpose.", "basis": basis},
	],
	"Procedure": [{"code": "concealed", "text": "Nothing can be released.", "basis": basis}],
}

# METADATA
# entrypoint: true
default decision := {"allow": false, "reasons": [{"code": "nothing", "text": "Nothing is released.", "basis": "a test"}]}

decision := {"allow": "perhaps"} if input.request.type == "Goal"

else := {"allow": false, "reasons": refusals.Encounter} if input.request.type == "Encounter"

else := {"allow": false, "reasons": refusals.Procedure, "conceal": true} if input.request.type == "Procedure"

else := object.union(release, {"patients": ["p2"]}) if input.request.type == "Flag"

else := object.union(release, {"patients": ["p1"]})

release := {
	"allow": true,
	"reasons": [{"code": "agreed", "text": "Released for a test.", "basis": basis}],
	"types": {
		"*": {"elements": ["*"]},
		"Condition": {"elements": ["clinicalStatus", "verificationStatus", "category", "subject", "onset[x]"]},
		"Patient": {"elements": ["active", "name.family", "gender"]},
	},
	"withhold_labels": ["http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY"],
	"includes": ["Observation:performer", "Provenance:target"],
	"page_cap": data.page_cap,
	"provenance": "asked",
}

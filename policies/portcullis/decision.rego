# METADATA
# title: The decision
# description: >-
#   Everything the gateway asks ends here. What no rule permits is refused; permissions come first, and each of them
#   states every condition it needs, so that a rule that fails to apply can only lead to a refusal.
# scope: package
# schemas:
#   - input: schema.input
package portcullis

# METADATA
# title: No contract names the caller's organization
# entrypoint: true
default decision := {
	"allow": false,
	"reasons": [{
		"code": "no-contract",
		"text": "No agreement of this provider covers the requesting organization.",
		"basis": "45 CFR 164.502(a); 45 CFR 164.514(h)",
	}],
}

decision := release_of_the_patient if release_of_the_patient

else := release_of_the_roster if release_of_the_roster

else := release_of_a_supporting_resource if release_of_a_supporting_resource

else := refusal(treatment_is_for_providers) if treatment_is_asserted

else := refusal(purpose_not_agreed) if {
	contract
	not purpose_is_agreed
}

else := refusal(type_not_agreed) if {
	contract
	not type_is_agreed
}

else := refusal(patient_needed) if {
	contract
	input.request.interaction == "search-type"
	count(input.request.patients) == 0
}

else := refusal(one_patient) if {
	contract
	count(input.request.patients) > 1
}

else := object.union(refusal(not_a_member), {"conceal": true}) if contract

refusal(reason) := {"allow": false, "reasons": [reason]}

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

decision := release_of_the_patient if {
	type_is_agreed
	purpose_is_agreed
	member_may_be_released
}

else := release_of_the_roster if {
	type_is_agreed
	purpose_is_agreed
	member_is_asked_for_by_number
}

else := release_of_a_supporting_resource if {
	supporting_type_is_agreed
	purpose_is_agreed
	input.request.interaction == "read"
}

else := refusal(reasons.treatment) if treatment_is_asserted

else := refusal(reasons.purpose) if {
	contract
	not purpose_is_agreed
}

else := refusal(reasons.not_agreed) if {
	contract
	not type_is_agreed
}

else := refusal(reasons.population) if {
	contract
	input.request.interaction == "search-type"
	count(input.request.patients) == 0
}

else := refusal(reasons.one_patient) if {
	contract
	count(input.request.patients) > 1
}

else := object.union(refusal(reasons.not_a_member), {"conceal": true}) if contract

refusal(reason) := {"allow": false, "reasons": [reason]}

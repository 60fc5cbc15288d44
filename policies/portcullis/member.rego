# Members: whether the one patient that the request is about is the payer's, with coverage and without objection.
package portcullis

# METADATA
# description: The patient; there is none where the request is about several, whose coverages would differ.
patient := input.request.patients[0] if count(input.request.patients) == 1

known := input.facts.patients[patient]

member_may_be_released if {
	member_is_on_the_roster
	count(coverages) > 0
	not consent_forbids
}

member_is_on_the_roster if {
	some stay in known.roster
	stay.roster == contract.roster
	is_current(stay)
}

# METADATA
# description: Whether today lies between `start` and `end`, of which either may be absent.
is_current(period) if {
	object.get(period, "start", "0001-01-01") <= input.time.today
	object.get(period, "end", "9999-12-31") >= input.time.today
}

# METADATA
# description: >-
#   The patient's coverages by this payer. Without a first day no date of service can be shown to lie in them.
coverages contains coverage if {
	some coverage in known.coverage
	coverage.status == "active"
	coverage.start <= input.time.today
	is_by_the_payer(coverage)
}

is_by_the_payer(coverage) if {
	some reference in coverage.payor_references
	reference in contract.payor_references
}

is_by_the_payer(coverage) if {
	some identifier in coverage.payor_identifiers
	identifier in contract.payor_identifiers
}

# METADATA
# description: A search for a Patient by nothing but the payer's own numbers, before it is known who that is.
member_is_asked_for_by_number if {
	input.request.type == "Patient"
	input.request.interaction == "search-type"
	count(input.request.patients) == 0
	count(member_numbers) > 0
	count(other_values) == 0
}

member_numbers contains value.code if {
	some parameter in input.request.parameters
	some value in parameter.values
	is_member_number(parameter, value)
	value.code
}

other_values contains value if {
	some parameter in input.request.parameters
	some value in parameter.values
	not is_member_number(parameter, value)
}

is_member_number(parameter, value) if {
	parameter.name == "identifier"
	not parameter.modifier
	value.system == contract.member_id_system
	value.code
}

# Release: what a permission says and when; every number and name in it is the contract's.
package portcullis

# METADATA
# description: The records of one member, with dates of service within a coverage.
release_of_the_patient := object.union(release, {
	"patients": [patient],
	"types": object.union(patient_types, supporting_types),
}) if {
	type_is_agreed
	purpose_is_agreed
	member_may_be_released
}

# METADATA
# description: >-
#   The id of whoever on the payer's roster has the number that was asked for, and nothing else: whether a Consent
#   forbids more cannot be known before it is known who that is.
release_of_the_roster := object.union(release, {
	"patients": {"roster": contract.roster},
	"types": {"Patient": {"elements": ["active"], "searchable": ["identifier"]}},
}) if {
	type_is_agreed
	purpose_is_agreed
	member_is_asked_for_by_number
}

# METADATA
# description: One practitioner or organization, and no patient's record.
release_of_a_supporting_resource := object.union(release, {
	"patients": [],
	"types": supporting_types,
}) if {
	supporting_type_is_agreed
	purpose_is_agreed
	input.request.interaction == "read"
}

release := {
	"allow": true,
	"reasons": [{
		"code": "agreed",
		"text": "Released for an agreed purpose, limited to the minimum necessary.",
		"basis": contract.basis,
	}],
	"withhold_labels": withheld_labels,
	"includes": contract.includes,
	"page_cap": contract.page_cap,
	"cache_seconds": contract.cache_seconds,
}

supporting_types := {name: {"elements": agreed.elements} |
	some name, agreed in contract.supporting
	agreed.elements
}

patient_types := {name: object.union({"elements": agreed.elements}, object.union(conditions(agreed), responsibility(name, agreed))) |
	some name, agreed in contract.types
	agreed.elements
}

# METADATA
# description: >-
#   Who must be known to answer for a record. Nobody pays, plans or reports on the word of nobody: without an author, or
#   with two that exclude each other, a record leaves for treatment alone, where it may be better than none, and says how
#   doubtful it is. A contract or a type of it with `"attributed": false` asks for nobody.
responsibility(name, agreed) := {} if name in kept_by_an_office

else := {} if contract.attributed == false

else := {} if agreed.attributed == false

else := {"authorship": ["asserted-by-hie", "asserted-by-source", "contradicted", "unknown", "verified"]} if {
	input.client.purpose in purposes_of_treatment
}

else := {"authorship": ["asserted-by-hie", "asserted-by-source", "verified"]}

# METADATA
# description: >-
#   Types that have no author: an office keeps them, or, as a Provenance, they say who answers for others and leave only
#   with those.
kept_by_an_office := {"Account", "Coverage", "Patient", "Person", "Provenance"}

# METADATA
# description: What records of a type must match, as alternatives in FHIR search syntax.
conditions(agreed) := {"where": [concat("&", [condition, window]) |
	some condition in agreed.where
	some [parameter, window] in dates_of_service
	parameter == agreed.date
]} if {
	agreed.date
	agreed.where
}

else := {"where": [window |
	some [parameter, window] in dates_of_service
	parameter == agreed.date
]} if {
	agreed.date
}

else := {"where": [concat("", ["payor=", payors])]} if {
	agreed.by_payer
	payors
}

else := {}

payors := concat(",", contract.payor_references)

# METADATA
# description: The payer's coverages of the patient, as conditions on each search parameter that holds a date of service.
dates_of_service contains [parameter, window] if {
	some parameter in date_parameters
	some coverage in coverages
	coverage.start
	coverage.end
	window := sprintf("%s=ge%s&%s=le%s", [parameter, coverage.start, parameter, coverage.end])
}

dates_of_service contains [parameter, window] if {
	some parameter in date_parameters
	some coverage in coverages
	coverage.start
	not coverage.end
	window := sprintf("%s=ge%s", [parameter, coverage.start])
}

date_parameters contains agreed.date if {
	some agreed in contract.types
	agreed.date
}

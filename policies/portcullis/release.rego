# Release: what a permission says; every number and name in it is the contract's.
package portcullis

# METADATA
# description: The records of the one patient, with dates of service within a coverage.
release_of_the_patient := object.union(release, {
	"patients": [patient],
	"types": object.union(patient_types, supporting_types),
})

# METADATA
# description: The demographics of whoever on the payer's roster has the number that was asked for.
release_of_the_roster := object.union(release, {
	"patients": {"roster": contract.roster},
	"types": {"Patient": {"elements": contract.types.Patient.elements}},
})

# METADATA
# description: One practitioner or organization, and no patient's record.
release_of_a_supporting_resource := object.union(release, {
	"patients": [],
	"types": supporting_types,
})

release := {
	"allow": true,
	"reasons": [reasons.agreed],
	"withhold_labels": withheld_labels,
	"includes": contract.includes,
	"page_cap": contract.page_cap,
	"cache_seconds": contract.cache_seconds,
}

supporting_types := {name: {"elements": agreed.elements} | some name, agreed in contract.supporting}

patient_types := {name: object.union({"elements": agreed.elements}, conditions(agreed)) |
	some name, agreed in contract.types
}

# METADATA
# description: What records of a type must match, as alternatives in FHIR search syntax.
conditions(agreed) := {"where": [concat("&", [condition, window(agreed.date, coverage)]) |
	some condition in agreed.where
	some coverage in coverages
]} if {
	agreed.date
	agreed.where
}

else := {"where": [window(agreed.date, coverage) | some coverage in coverages]} if agreed.date

else := {"where": [sprintf("payor=%s", [payors])]} if agreed.by_payer

else := {}

payors := concat(",", contract.payor_references)

window(parameter, coverage) := sprintf("%s=ge%s&%s=le%s", [
	parameter,
	coverage.start,
	parameter,
	coverage.end,
]) if {
	coverage.end
}

else := sprintf("%s=ge%s", [parameter, coverage.start])

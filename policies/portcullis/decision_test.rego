# The starter contract, permission by permission and refusal by refusal.
package portcullis_test

import data.portcullis.decision

codes(made) := [reason.code | some reason in made.reasons]

test_a_members_labs_are_released if {
	made := decision with input as labs
	made.allow == true
	made.patients == ["p1"]
	codes(made) == ["agreed"]
	made.page_cap == 100
}

test_dates_of_service_lie_within_the_coverage if {
	made := decision with input as labs
	count(made.types.Observation.where) == 2
	every condition in made.types.Observation.where {
		endswith(condition, "&date=ge2024-01-01&date=le2024-12-31")
		startswith(condition, "category=")
	}
	made.types.Encounter.where == ["date=ge2024-01-01&date=le2024-12-31"]
}

answered_for := ["asserted-by-hie", "asserted-by-source", "verified"]

test_for_payment_somebody_must_answer_for_a_record if {
	made := decision with input as labs
	every name in ["Condition", "Encounter", "Observation"] {
		made.types[name].authorship == answered_for
	}
}

test_nobody_is_the_author_of_what_an_office_keeps if {
	made := decision with input as labs
	every name in ["Coverage", "Patient", "Provenance", "Organization", "Practitioner"] {
		made.types[name]
		not made.types[name].authorship
	}
}

test_for_operations_somebody_must_answer_for_a_record if {
	changed := [object.union(agreed, {"purposes": ["HOPERAT", "CAREMGT"]}) | some agreed in data.contracts]
	every purpose in ["HOPERAT", "CAREMGT"] {
		made := decision with input as for_purpose(purpose) with data.contracts as changed
		made.types.Condition.authorship == answered_for
	}
}

test_for_treatment_every_record_leaves_and_says_who_answers_for_it if {
	changed := [object.union(agreed, {"party": "provider", "purposes": ["TREAT"]}) | some agreed in data.contracts]
	made := decision with input as for_purpose("TREAT") with data.contracts as changed
	made.types.Condition.authorship == ["asserted-by-hie", "asserted-by-source", "contradicted", "unknown", "verified"]
}

test_a_type_that_is_not_attributed_is_released_without_author if {
	changed := [object.union(agreed, {"types": {"Condition": {"attributed": false}}}) | some agreed in data.contracts]
	made := decision with input as labs with data.contracts as changed
	made.types.Condition
	not made.types.Condition.authorship
	made.types.Observation.authorship == answered_for
}

test_a_contract_that_is_not_attributed_asks_for_no_author if {
	changed := [object.union(agreed, {"attributed": false}) | some agreed in data.contracts]
	made := decision with input as labs with data.contracts as changed
	made.types.Observation
	{name | some name, rule in made.types; rule.authorship} == set()
}

test_only_a_plain_false_switches_authorship_off if {
	every word in ["no", 0, null, {}] {
		changed := [object.union(agreed, {"attributed": word}) | some agreed in data.contracts]
		made := decision with input as labs with data.contracts as changed
		made.types.Observation.authorship == answered_for
	}
}

test_every_coverage_opens_its_own_dates if {
	two := [year_2024, object.union(year_2024, {"start": "2025-03-01", "end": "2025-06-30"})]
	made := decision with input as covered_by(two)
	made.types.Encounter.where == ["date=ge2024-01-01&date=le2024-12-31", "date=ge2025-03-01&date=le2025-06-30"]
}

test_every_coverage_in_one_expression if {
	made := decision with input as covered_by([year_2024, object.union(year_2024, {"start": "2025-03-01", "end": "2025-06-30"})])
	count(made.types.Observation.where) == 4
}

test_a_coverage_without_end_is_open if {
	made := decision with input as covered_by([json.remove(year_2024, ["end"])])
	made.types.Encounter.where == ["date=ge2024-01-01"]
}

test_only_agreed_types_are_released if {
	made := decision with input as labs
	{name | some name, _ in made.types} == {
		"Condition",
		"Coverage",
		"Encounter",
		"Observation",
		"Organization",
		"Patient",
		"Practitioner",
		"Provenance",
	}
	made.types.Coverage.where == ["payor=Organization/payer-a-org"]
}

test_sensitive_labels_are_withheld if {
	made := decision with input as labs
	every label in {
		"http://terminology.hl7.org/CodeSystem/v3-ActCode|42CFRPart2",
		"http://terminology.hl7.org/CodeSystem/v3-ActCode|ETH",
		"http://terminology.hl7.org/CodeSystem/v3-ActCode|HIV",
		"http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY",
		"http://terminology.hl7.org/CodeSystem/v3-ActCode|PSYTHPN",
		"http://terminology.hl7.org/CodeSystem/v3-ActCode|SDV",
		"http://terminology.hl7.org/CodeSystem/v3-ActCode|SEX",
		"http://terminology.hl7.org/CodeSystem/v3-ActCode|SUD",
		"http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R",
		"http://terminology.hl7.org/CodeSystem/v3-Confidentiality|V",
	} {
		label in made.withhold_labels
	}
}

test_demographics_are_minimal if {
	made := decision with input as labs
	every element in made.types.Patient.elements {
		not element in {"*", "identifier", "birthDate", "telecom", "address", "contact", "photo", "link", "name"}
	}
}

test_only_two_includes if {
	made := decision with input as labs
	made.includes == ["Observation:performer", "Provenance:target"]
}

test_every_payment_purpose_is_agreed if {
	every purpose in ["HPAYMT", "CLMATTCH", "COVAUTH", "COVERAGE"] {
		made := decision with input as object.union(labs, {"client": {"purpose": purpose}})
		made.allow == true
	}
}

test_a_plan_does_not_treat if {
	every purpose in ["TREAT", "ETREAT", "BTG"] {
		made := decision with input as object.union(labs, {"client": {"purpose": purpose}})
		made.allow == false
		codes(made) == ["treatment-is-for-providers"]
	}
}

test_treatment_in_one_expression if {
	made := decision with input as object.union(labs, {"client": {"purpose": "TREAT"}})
	made.allow == false
}

test_other_purposes_are_refused if {
	made := decision with input as object.union(labs, {"client": {"purpose": "HMARKT"}})
	made.allow == false
	codes(made) == ["purpose-not-agreed"]
}

test_a_stranger_is_refused if {
	made := decision with input as object.union(labs, {"client": {"organization": "payer-x"}})
	made.allow == false
	codes(made) == ["no-contract"]
}

test_nothing_is_refused if {
	made := decision with input as {}
	made.allow == false
}

test_two_contracts_with_one_organization_are_none if {
	made := decision with input as labs
		with data.contracts as array.concat(data.contracts, data.contracts)
	made.allow == false
	codes(made) == ["no-contract"]
}

test_other_types_are_refused if {
	made := decision with input as object.union(labs, {"request": {"type": "DocumentReference"}})
	made.allow == false
	codes(made) == ["type-not-agreed"]
	not made.conceal
}

test_a_patient_off_the_roster_looks_absent if {
	made := decision with input as on_rosters([])
	made.allow == false
	made.conceal == true
}

test_another_payers_member_looks_absent if {
	made := decision with input as on_rosters([{"roster": "payer-b", "member_id": "1", "start": "2024-01-01"}])
	made.conceal == true
}

test_a_membership_that_is_over_looks_absent if {
	made := decision with input as on_rosters([{"roster": "payer-a", "member_id": "1", "end": "2026-11-22"}])
	made.conceal == true
}

test_a_membership_ends_with_its_last_day if {
	made := decision with input as on_rosters([{"roster": "payer-a", "member_id": "1", "end": "2026-11-23"}])
	made.allow == true
}

test_a_membership_that_has_not_begun_looks_absent if {
	made := decision with input as on_rosters([{"roster": "payer-a", "member_id": "1", "start": "2026-11-24"}])
	made.conceal == true
}

test_a_member_without_coverage_looks_absent if {
	made := decision with input as covered_by([])
	made.conceal == true
}

test_another_payers_coverage_does_not_count if {
	made := decision with input as covered_by([object.union(year_2024, {"payor_references": ["Organization/payer-b-org"]})])
	made.conceal == true
}

test_a_payor_may_be_named_by_identifier if {
	made := decision with input as covered_by([object.union(year_2024, {
		"payor_references": [],
		"payor_identifiers": ["http://hl7.org/fhir/sid/us-naic|00001"],
	})])
	made.allow == true
}

test_a_cancelled_coverage_does_not_count if {
	made := decision with input as covered_by([object.union(year_2024, {"status": "cancelled"})])
	made.conceal == true
}

test_a_coverage_without_beginning_does_not_count if {
	made := decision with input as covered_by([json.remove(year_2024, ["start"])])
	made.conceal == true
}

test_a_coverage_that_has_not_begun_does_not_count if {
	made := decision with input as covered_by([object.union(year_2024, {"start": "2026-11-24", "end": "2027-11-24"})])
	made.conceal == true
}

test_an_unknown_patient_looks_absent if {
	made := decision with input as object.union(labs, {"request": {"patients": ["p2"]}})
	made.conceal == true
}

test_a_read_of_nobodys_record_looks_absent if {
	made := decision with input as object.union(labs, {"request": {"interaction": "read", "id": "o1", "patients": [], "parameters": []}})
	made.allow == false
	made.conceal == true
}

test_a_read_of_a_members_record_is_released if {
	made := decision with input as object.union(labs, {"request": {"interaction": "read", "id": "o1", "parameters": []}})
	made.allow == true
}

test_a_population_is_refused if {
	made := decision with input as object.union(labs, {"request": {"patients": [], "parameters": []}})
	made.allow == false
	codes(made) == ["patient-needed"]
}

test_two_patients_are_refused if {
	made := decision with input as object.union(labs, {"request": {"patients": ["p1", "p2"]}})
	made.allow == false
	codes(made) == ["one-patient"]
}

test_members_are_found_by_the_payers_number if {
	made := decision with input as lookup([member_id("MBR-P1")])
	made.allow == true
	made.patients == {"roster": "payer-a"}
	made.types == {"Patient": {"elements": ["active"], "searchable": ["identifier"]}}
}

test_members_are_not_found_by_other_numbers if {
	ssn := {"name": "identifier", "values": [{"system": "http://hl7.org/fhir/sid/us-ssn", "code": "1"}]}
	made := decision with input as lookup([ssn])
	codes(made) == ["patient-needed"]
}

test_members_are_not_found_by_numbers_of_any_system if {
	made := decision with input as lookup([{"name": "identifier", "values": [{"code": "MBR-P1"}]}])
	codes(made) == ["patient-needed"]
}

test_members_are_not_found_by_every_number if {
	made := decision with input as lookup([{"name": "identifier", "values": [{"system": "http://payer-a.example/member"}]}])
	codes(made) == ["patient-needed"]
}

test_a_number_and_a_name_are_refused if {
	made := decision with input as lookup([member_id("MBR-P1"), {"name": "family", "values": [{"text": "Smith"}]}])
	codes(made) == ["patient-needed"]
}

test_all_but_a_number_is_refused if {
	made := decision with input as lookup([object.union(member_id("MBR-P1"), {"modifier": "not"})])
	codes(made) == ["patient-needed"]
}

test_a_practitioner_may_be_read if {
	made := decision with input as object.union(labs, {"request": {
		"interaction": "read",
		"type": "Practitioner",
		"id": "pr1",
		"patients": [],
		"parameters": [],
	}})
	made.allow == true
	made.patients == []
	{name | some name, _ in made.types} == {"Organization", "Practitioner"}
}

test_practitioners_are_not_searched if {
	made := decision with input as object.union(labs, {"request": {"type": "Practitioner", "patients": [], "parameters": []}})
	made.allow == false
	codes(made) == ["type-not-agreed"]
}

test_a_denial_of_everything_looks_absent if {
	made := decision with input as consented([denial({})])
	made.conceal == true
}

test_a_denial_to_this_payer_looks_absent if {
	made := decision with input as consented([denial({"actors": ["Organization/payer-a-org"]})])
	made.conceal == true
}

test_a_denial_for_this_purpose_looks_absent if {
	made := decision with input as consented([denial({"purposes": ["http://terminology.hl7.org/CodeSystem/v3-ActReason|HPAYMT"]})])
	made.conceal == true
}

test_a_denial_to_another_changes_nothing if {
	made := decision with input as consented([denial({"actors": ["Organization/payer-b-org"]})])
	made.allow == true
}

test_a_denial_for_another_purpose_changes_nothing if {
	made := decision with input as consented([denial({"purposes": ["http://terminology.hl7.org/CodeSystem/v3-ActReason|HRESCH"]})])
	made.allow == true
}

test_a_denial_that_is_over_changes_nothing if {
	made := decision with input as consented([denial({"start": "2024-01-01", "end": "2026-11-22"})])
	made.allow == true
}

test_a_denial_of_withheld_labels_changes_nothing if {
	made := decision with input as consented([denial({"labels": ["http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY"]})])
	made.allow == true
}

test_a_denial_of_other_labels_looks_absent if {
	made := decision with input as consented([denial({"labels": ["http://terminology.hl7.org/CodeSystem/v3-Confidentiality|N"]})])
	made.conceal == true
}

test_a_denial_of_withheld_and_other_labels_looks_absent if {
	made := decision with input as consented([denial({"labels": [
		"http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY",
		"http://terminology.hl7.org/CodeSystem/v3-Confidentiality|N",
	]})])
	made.conceal == true
}

test_an_inactive_denial_changes_nothing if {
	made := decision with input as consented([object.union(denial({}), {"status": "inactive"})])
	made.allow == true
}

test_a_denial_of_another_scope_changes_nothing if {
	made := decision with input as consented([object.union(denial({}), {"scope": ["http://terminology.hl7.org/CodeSystem/consentscope|research"]})])
	made.allow == true
}

test_a_permission_changes_nothing if {
	made := decision with input as consented([denial({"type": "permit"})])
	made.allow == true
}

test_a_consent_that_is_not_understood_looks_absent if {
	made := decision with input as consented([object.union(denial({"type": "permit"}), {"supported": false})])
	made.conceal == true
}

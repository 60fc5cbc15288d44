# One good request, from which every test makes its own by `object.union`.
package portcullis_test

labs := {
	"client": {"id": "payer-a-etl", "organization": "https://payer-a.example.org", "purpose": "HPAYMT", "attributes": {}},
	"scopes": [{"type": "*", "read": true, "search": true}],
	"request": {
		"interaction": "search-type",
		"type": "Observation",
		"patients": ["p1"],
		"parameters": [{"name": "patient", "values": [{"type": "Patient", "id": "p1"}]}],
		"includes": [],
		"elements": [],
		"count_only": false,
	},
	"facts": {"patients": {"p1": {
		"coverage": [year_2024],
		"consents": [],
		"roster": [{"roster": "payer-a", "member_id": "MBR-P1", "start": "2024-01-01"}],
	}}},
	"time": {"today": "2026-11-23", "back": {"P12M": "2025-11-23"}},
}

year_2024 := {
	"status": "active",
	"payor_references": ["Organization/payer-a-org"],
	"payor_identifiers": [],
	"types": [],
	"start": "2024-01-01",
	"end": "2024-12-31",
}

# METADATA
# description: The lab request with other coverages of p1.
covered_by(coverages) := object.union(labs, {"facts": {"patients": {"p1": {"coverage": coverages}}}})

# METADATA
# description: The lab request with other stays of p1 on rosters.
on_rosters(stays) := object.union(labs, {"facts": {"patients": {"p1": {"roster": stays}}}})

# METADATA
# description: The lab request where p1 has consented thus.
consented(consents) := object.union(labs, {"facts": {"patients": {"p1": {"consents": consents}}}})

# METADATA
# description: The lab request for another purpose.
for_purpose(purpose) := object.union(labs, {"client": {"purpose": purpose}})

lookup(parameters) := object.union(labs, {"request": {
	"type": "Patient",
	"patients": [],
	"parameters": parameters,
}})

member_id(value) := {"name": "identifier", "values": [{"system": "http://payer-a.example/member", "code": value}]}

denial(provision) := {
	"status": "active",
	"scope": ["http://terminology.hl7.org/CodeSystem/consentscope|patient-privacy"],
	"category": [],
	"policy": [],
	"supported": true,
	"provisions": [object.union(
		{
			"level": 0,
			"type": "deny",
			"actors": [],
			"actions": [],
			"labels": [],
			"purposes": [],
			"classes": [],
			"codes": [],
		},
		provision,
	)],
}

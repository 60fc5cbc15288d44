# Contracts: which agreement covers the caller, and whether the request is among what it agrees to.
package portcullis

# METADATA
# description: The agreement with the caller's organization. Two agreements with one organization are none.
contract := contracts_found[0] if count(contracts_found) == 1

contracts_found := [agreed |
	some agreed in data.contracts
	agreed.organization == input.client.organization
]

purpose_is_agreed if input.client.purpose in contract.purposes

# METADATA
# description: A type with patient data.
type_is_agreed if contract.types[input.request.type]

# METADATA
# description: >-
#   A type that patient data refers to and that is none itself: a laboratory, a practitioner. It may be read by id.
supporting_type_is_agreed if contract.supporting[input.request.type]

# METADATA
# description: >-
#   Treatment has no minimum-necessary limit (45 CFR 164.502(b)(2)(i)), which is for providers; breaking the glass is
#   for whoever treats in an emergency. A health plan does neither.
treatment_is_asserted if {
	contract.party == "health-plan"
	input.client.purpose in purposes_of_treatment
}

purposes_of_treatment := {"BTG", "COC", "ERTREAT", "ETREAT", "TREAT", "TREATDS"}

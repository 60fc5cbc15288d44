# Consent: payment needs none (45 CFR 164.506), but a restriction that was agreed to is kept. Read at its widest: a
# Consent that is not understood in full forbids, and a permission nested in a denial is not followed.
package portcullis

consent_forbids if {
	some consent in consents_in_force
	consent.supported == false
}

consent_forbids if {
	some consent in consents_in_force
	some provision in consent.provisions
	provision.type == "deny"
	is_current(provision)
	is_about_the_payer(provision)
	is_about_the_purpose(provision)
	not is_met_by_labels(provision)
}

consents_in_force contains consent if {
	some consent in known.consents
	consent.status == "active"
	"http://terminology.hl7.org/CodeSystem/consentscope|patient-privacy" in consent.scope
}

is_about_the_payer(provision) if count(provision.actors) == 0

is_about_the_payer(provision) if {
	some actor in provision.actors
	actor in contract.payor_references
}

is_about_the_purpose(provision) if count(provision.purposes) == 0

is_about_the_purpose(provision) if {
	some purpose in provision.purposes
	purpose == sprintf("http://terminology.hl7.org/CodeSystem/v3-ActReason|%s", [input.client.purpose])
}

# METADATA
# description: A denial of nothing but labels that are withheld from everyone changes nothing.
is_met_by_labels(provision) if {
	count(provision.labels) > 0
	count([label | some label in provision.labels; not label in withheld_labels]) == 0
}

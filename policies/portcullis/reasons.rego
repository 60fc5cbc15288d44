# Reasons: what clients are told when they are refused. A text says what would make the request succeed, and nothing
# about a patient. Every reason names the law or contract that it rests on.
package portcullis

treatment_is_for_providers := {
	"code": "treatment-is-for-providers",
	"text": "A health plan does not treat. Ask with a payment purpose: HPAYMT, CLMATTCH, COVAUTH or COVERAGE.",
	"basis": "45 CFR 164.502(b)(2)(i); 45 CFR 164.506(c)(2)",
}

purpose_not_agreed := {
	"code": "purpose-not-agreed",
	"text": "The agreement does not cover this purpose of use. Ask with HPAYMT, CLMATTCH, COVAUTH or COVERAGE.",
	"basis": "45 CFR 164.506(c)(3); 45 CFR 164.514(d)(3)(i)",
}

type_not_agreed := {
	"code": "type-not-agreed",
	"text": "The agreement does not cover this resource type or interaction.",
	"basis": "45 CFR 164.502(b)(1); 45 CFR 164.514(d)(3)(i)",
}

patient_needed := {
	"code": "patient-needed",
	"text": "Name the patient: add the patient parameter, or look the member up with Patient?identifier=.",
	"basis": "45 CFR 164.514(d)(5)",
}

one_patient := {
	"code": "one-patient",
	"text": "Ask about one patient at a time; dates of service are limited by each patient's coverage.",
	"basis": "45 CFR 164.514(d)(3)(i)",
}

not_a_member := {
	"code": "not-a-member",
	"text": "Nothing can be released.",
	"basis": "45 CFR 164.506(c)(3)",
}

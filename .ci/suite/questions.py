"""What payers ask by Direct Query: the example queries of CDex and each row of its scenario table.

A question is a search with {p} for the patient's id. REFUSED are the rows and shapes that Direct Query does not serve
here, each with the status of the refusal and the reason.
"""

LOINC = "http://loinc.org%7C"
PROVENANCE = "&_revinclude=Provenance:target"

QUESTIONS = [
    # CDex 2.1.0, Direct Query page: the examples, as they should be written and as they are
    ("example", "Condition?patient={p}&clinical-status=active,recurrence,remission"),
    ("example, as published", "Condition?patient={p}&clinical-status=active,recurrance,remission"),
    ("example", "Condition?patient={p}&clinical-status=active,recurrence,remission" + PROVENANCE),
    ("example, as published", "Condition?patient={p}&clinical-status=active,recurrance,remission" + PROVENANCE),
    ("example, as published", "Condition?patient={p}&clinical-status=Active"),
    ("example", "Observation?patient={p}&code=4548-4&date=gt2020-01-01"),
    ("example, as published", "Observation?patient={p}&code=4548-5&date=gt2020-01-01"),
    ("example", "DocumentReference?patient={p}&type=34117-2&_sort=-period&_count=1"),
    ("example", "Patient?identifier={member}&birthdate={birthdate}&name={family}&gender={gender}"),
    ("example", "Patient?identifier={member}"),
    # the scenario table
    ("claim attachments", "DocumentReference?patient={p}&type=" + LOINC + "11506-3"),
    ("claim attachments", "Encounter?patient={p}&date=ge2022-06-13&date=le2022-06-13"),
    ("claim attachments", "Encounter?patient={p}&date=ge2019-06-01&date=le2020-06-30"),
    ("prior authorization", "Condition?patient={p}&category=problem-list-item"),
    ("prior authorization", "Observation?patient={p}&code=2708-6,59408-5"),
    ("prior authorization", "DeviceRequest?patient={p}"),
    ("medical necessity", "Procedure?patient={p}&date=ge2016-01-01"),
    ("medical necessity", "DiagnosticReport?patient={p}&category=LAB&date=ge2016-01-01"),
    ("medical necessity", "ServiceRequest?patient={p}&category=108252007&authored=ge2016-01-01"),
    ("risk adjustment", "Condition?patient={p}&category=encounter-diagnosis"),
    ("risk adjustment", "Encounter?patient={p}&date=ge2025-01-01&date=le2025-12-31"),
    ("risk adjustment", "Encounter?patient={p}&date=ge2019-01-01&date=le2019-12-31"),
    ("risk adjustment", "DocumentReference?patient={p}&category=clinical-note&date=ge2016-01-01"),
    ("quality measures", "Observation?patient={p}&code=4548-4&date=gt2018-01-01"),
    ("quality measures", "Observation?patient={p}&code=85354-9&date=ge2018-01-01"),
    ("quality measures", "Immunization?patient={p}"),
    ("quality measures", "Procedure?patient={p}&code=73761001&date=ge2010-01-01"),
    ("member records", "Patient?_id={p}"),
    ("member records", "Patient?_id={p}&gender=http://hl7.org/fhir/administrative-gender%7C{gender}"),
    ("member records", "AllergyIntolerance?patient={p}"),
    ("member records", "CarePlan?patient={p}&category=assess-plan"),
    ("member records", "CarePlan?patient={p}"),
    ("member records", "Condition?patient={p}" + PROVENANCE),
    ("member records", "Coverage?patient={p}"),
    ("member records", "DiagnosticReport?patient={p}&_include=DiagnosticReport:result&_count=10"),
    ("member records", "DocumentReference?patient={p}"),
    ("member records", "Encounter?patient={p}" + PROVENANCE),
    ("member records", "Encounter?patient={p}&_include=Encounter:participant&_count=9"),
    ("member records", "Goal?patient={p}"),
    ("member records", "MedicationRequest?patient={p}&intent=order"),
    ("member records", "Observation?patient={p}&_count=25" + PROVENANCE),
    ("member records", "Observation?patient={p}&category=laboratory&_include=Observation:encounter&_count=50"),
    ("member records", "Procedure?patient={p}"),
    ("referral", "DiagnosticReport?patient={p}&category=LAB&date=ge2019-01-01"),
    ("medical records", "DocumentReference?patient={p}&type=11506-3&_sort=-period&_count=1"),
    ("medical records", "DocumentReference?patient={p}&type=18842-5&_sort=-date&_count=3"),
    ("medical records", "DocumentReference?patient={p}&type=34117-2,18842-5,34133-9"),
    ("c-cda", "DocumentReference?patient={p}&type=34133-9"),
    ("medications", "MedicationRequest?patient={p}&intent=order&status=active&_include=MedicationRequest:medication"),
    ("laboratory results", "Observation?patient={p}&category=laboratory&date=ge2016-01-01"),
    ("laboratory results", "Observation?patient={p}&category=laboratory&status=http://hl7.org/fhir/observation-status%7Cfinal"),
    ("laboratory results", "Observation?patient={p}&category=laboratory&_sort=-date&_count=40&_include=Observation:performer"),
    ("assessments", "Observation?patient={p}&category=survey"),
    ("assessments", "QuestionnaireResponse?patient={p}&questionnaire=http://hospital.example/forms/intake"),
    ("assessments", "QuestionnaireResponse?patient={p}"),
    ("assessments", "Condition?patient={p}&category=health-concern"),
    ("vital signs", "Observation?patient={p}&category=vital-signs&date=ge2016-01-01"),
    ("vital signs", "Observation?patient={p}&code=85354-9"),
    ("clinical notes", "DocumentReference?patient={p}&category=clinical-note"),
    ("clinical notes", "DiagnosticReport?patient={p}&category=" + LOINC + "LP29684-5"),
    ("clinical notes", "DiagnosticReport?patient={p}&category=" + LOINC + "LP29708-2"),
    ("clinical notes", "DiagnosticReport?patient={p}&category=" + LOINC + "LP7839-6"),
]

REFUSED = [
    # method and path, status, reason
    ("GET", "DocumentReference/$docref?patient={p}&type=34133-9", 400, "an operation; the C-CDA rows are served by search"),
    ("POST", "Patient/$match", 400, "an operation; the member is found by Patient?identifier="),
    ("GET", "Patient/$everything?_id={p}", 400, "an operation on all patients"),
    ("GET", "Observation?patient.identifier={member}", 400, "a chain reads what the client is not given"),
    ("GET", "Patient?_has:Observation:patient:code=4548-4", 400, "a reverse chain reads what the client is not given"),
    ("GET", "Observation?patient={p}&_include=*", 400, "an include without a name has no end"),
    ("GET", "Observation?patient={p}&_include:iterate=Observation:performer", 400, "an include of includes"),
    ("GET", "Observation?patient={p}&_filter=code eq 4548-4", 400, "a second query language"),
    ("GET", "Observation?patient={p}&frequency=daily", 400, "no parameter of this name"),
    ("GET", "Observation?patient={p}&date=%3E=2020-01-01", 400, "a prefix of DSTU1, which must not be dropped"),
    ("GET", "Observation?patient=", 400, "an empty value, which the record system would drop"),
    ("GET", "Observation/o-p1-lab1/_history", 400, "versions are not released"),
    ("POST", "Task", 400, "Task-based exchange is not Direct Query (claims audit, care coordination, referral)"),
    ("POST", "Observation", 400, "nothing is written"),
]

# A read that names no patient: these types say whose they are in no way that can be checked.
UNOWNED = ["Binary/bin-p1", "Binary/bin-p2", "Bundle/bundle-doc-1", "Group/grp1", "Provenance/prov-p1", "AuditEvent/ae1",
           "Subscription/sub1"]

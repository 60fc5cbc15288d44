"""The starter contract, stated a second time.

Written from the agreement in words, not from its Rego: which types a payer may have of its member, with dates of
service within a coverage by that payer, without sensitive labels, codes and categories, and of each type which
elements. `released` gives a resource as the payer may see it, or None.
"""

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
INLINE_LABEL = "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label"

SENSITIVE = {
    ACT_CODE: "42CFRPart2 BH ETH ETHUD GDIS HIPAASelfPay HIV MH OPIOIDUD PSY PSYTHPN SDV SEX SEXAB STD SUD".split(),
    CONFIDENTIALITY: "C ETH HIV PSY R S SDV T V".split(),
    ACT_REASON: ["HTEST"],
}
NEVER_CATEGORIES = {"social-history", "survey", "exam", "therapy", "activity", "sdoh"}
NEVER_LABORATORY = {"7917-8", "75622-1", "7918-6"}
NEVER_CONDITIONS = {"35489007", "75544000", "86406008"}

# What stays of each type. The part before a dot stays with what is named behind it and nothing else.
ELEMENTS = {
    "Patient": "active name.family name.given gender",
    "Coverage": "status type subscriberId beneficiary relationship period payor class",
    "Encounter": "status class type subject period participant.individual location.location serviceProvider",
    "Condition": "clinicalStatus verificationStatus category code bodySite subject encounter onset[x] abatement[x] recordedDate",
    "Observation": "status category code subject encounter effective[x] issued performer value[x] dataAbsentReason"
    " interpretation referenceRange component.code component.value[x] component.dataAbsentReason"
    " component.interpretation component.referenceRange",
    "Provenance": "target recorded activity agent.type agent.role agent.who",
    "Organization": "identifier active type name",
    "Practitioner": "identifier active name.family name.given name.prefix name.suffix qualification.code",
}
SUPPORTING = {"Organization", "Practitioner"}
OF_A_MEMBER = set(ELEMENTS) - SUPPORTING

# Search parameters that read an element which the payer is not given, so that the answer would tell it.
TELLING = {("Patient", "birthdate"), ("Patient", "name"), ("Patient", "identifier")}

PAYER = {"Organization/payer-a-org", "Organization/da7596d2-071d-5aae-aa7e-f7867d840e81"}


def codings(concepts):
    concepts = concepts if isinstance(concepts, list) else [concepts] if concepts else []
    return [coding for concept in concepts for coding in concept.get("coding", [])]


def codes(concepts):
    return {coding.get("code") for coding in codings(concepts)}


def is_sensitive(label):
    system, code = label.get("system"), label.get("code")
    systems = [system] if system else list(SENSITIVE)
    return any(one in SENSITIVE and (not code or code in SENSITIVE[one]) for one in systems)


def inline_labels(value):
    if isinstance(value, list):
        for item in value:
            yield from inline_labels(item)
    elif isinstance(value, dict):
        if value.get("url") == INLINE_LABEL:
            yield from (part for name, part in value.items() if name.startswith("value"))
        for part in value.values():
            yield from inline_labels(part)


def has_modifier(value):
    if isinstance(value, list):
        return any(map(has_modifier, value))
    return isinstance(value, dict) and ("modifierExtension" in value or any(map(has_modifier, value.values())))


def days(resource):
    """First and last day of service, as text; None where none is stated."""
    kind = resource["resourceType"]
    if kind == "Encounter":
        period = resource.get("period", {})
    elif kind == "Condition":
        period = {"start": resource.get("recordedDate"), "end": resource.get("recordedDate")}
    elif "effectivePeriod" in resource:
        period = resource["effectivePeriod"]
    else:
        moment = resource.get("effectiveDateTime") or resource.get("effectiveInstant")
        period = {"start": moment, "end": moment}
    start, end = period.get("start"), period.get("end")
    if not start and not end:
        return None
    return (start or "0001")[:10], (end or "9999")[:10]


def is_of_service(resource, coverages):
    of = days(resource)
    return of is not None and any(of[1] >= start and of[0] <= (end or "9999") for start, end in coverages)


def is_agreed(resource, coverages):
    kind = resource["resourceType"]
    if kind in ("Encounter", "Condition", "Observation") and not is_of_service(resource, coverages):
        return False
    if kind == "Condition":
        return not codes(resource.get("code")) & NEVER_CONDITIONS
    if kind == "Observation":
        categories = codings(resource.get("category"))
        of = {coding.get("code") for coding in categories if coding.get("system") == CATEGORY}
        if {coding.get("code") for coding in categories} & NEVER_CATEGORIES:
            return False
        laboratory = "laboratory" in of and not codes(resource.get("code")) & NEVER_LABORATORY
        return laboratory or "vital-signs" in of
    if kind == "Coverage":
        return any(payor.get("reference") in PAYER for payor in resource.get("payor", []))
    return kind in ELEMENTS


def kept(name, elements):
    """What of the element `name` stays: all (True), nothing (False), or the elements below it that do."""
    below = []
    for element in elements:
        first, _, rest = element.partition(".")
        choice = first.removesuffix("[x]")
        if first == name or (choice != first and name.startswith(choice) and name[len(choice):][:1].isupper()):
            if not rest:
                return True
            below.append(rest)
    return below or False


def says_no_more(reference):
    """Whether what a reference shows is the agreed name of a party or place: of a record it says nothing."""
    kind = reference.split("/")[0]
    return kind in SUPPORTING and "name" in ELEMENTS[kind].split()


def plain(value):
    """A value without extensions, without references to what was contained, and without what a reference repeats."""
    if isinstance(value, list):
        return [item for item in map(plain, value) if item is not None] or None
    if isinstance(value, dict):
        parts = {name: plain(part) for name, part in value.items() if name != "extension" and name[0] != "_"}
        parts = {name: part for name, part in parts.items() if part is not None}
        if isinstance(value.get("reference"), str):
            parts.pop("identifier", None)
            if not says_no_more(value["reference"]):
                parts.pop("display", None)
            if value["reference"].startswith("#"):
                del parts["reference"]
        return parts or None
    return value


def part(value, elements):
    if isinstance(value, list):
        return [item for item in (part(item, elements) for item in value) if item is not None] or None
    if not isinstance(value, dict):
        return None
    left = {}
    for name, member in value.items():
        of = False if name[0] == "_" else kept(name, elements)
        rest = plain(member) if of is True else part(member, of) if of else None
        if rest is not None:
            left[name] = rest
    return left or None


def found(resource):
    """A Patient that was looked up by the payer's number."""
    return shown(resource, "active")


def shown(resource, elements=None):
    """The resource with the elements that stay, tagged as incomplete."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name in ("versionId", "lastUpdated", "security")}
    meta["tag"] = [{
        "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
        "code": "SUBSETTED",
        "display": "subsetted",
    }]
    head = {"resourceType": resource["resourceType"], "id": resource["id"], "meta": meta}
    body = {name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta", "contained", "text")}
    return {**head, **(part(body, (elements or ELEMENTS[resource["resourceType"]]).split()) or {})}


def released(resource, coverages):
    """The resource as the payer may see it, where it may; `coverages` are the first and last days of the member's."""
    labels = [*resource.get("meta", {}).get("security", []), *inline_labels(resource)]
    withheld = resource["resourceType"] not in ELEMENTS or any(map(is_sensitive, labels)) or has_modifier(resource)
    return None if withheld or not is_agreed(resource, coverages) else shown(resource)

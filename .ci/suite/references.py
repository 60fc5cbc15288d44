"""Where the references in a resource may lead, stated a second time.

`is_about`: whose a resource is. `cut`: a resource without what must not leave it: references to other patients, to
content, and to a patient by number alone. `without`: neither side of a comparison with references to what is withheld,
which go where the gateway knows it in time.
"""

import re

SUBJECTS = ("patient", "subject", "beneficiary", "individual")
LITERAL = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(/_history/[A-Za-z0-9.-]{1,64})?")
SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED", "display": "subsetted"}


def is_about(id, resource):
    """Whether it is all the patient's: it says so plainly, and no focus of it is somebody else."""
    if resource["resourceType"] == "Patient":
        return resource["id"] == id
    named = [resource[name] for name in SUBJECTS if name in resource] + resource.get("focus", [])
    return all(one.get("reference") == f"Patient/{id}" and "identifier" not in one for one in named)


def target(text, base):
    """Type and id that a literal reference names on this server, or None."""
    found = LITERAL.fullmatch(text.removeprefix(f"{base}/"))
    return found and (found[1], found[2])


def is_barred(value, id, base):
    text = value.get("reference")
    if text is None:
        return isinstance(value.get("identifier"), dict) and value.get("type") == "Patient"
    named = target(text, base)
    if named is None:
        return "Patient/" in text or "Patient?" in text
    return named[0] == "Binary" or (named[0] == "Patient" and named[1] != id)


def pruned(value, bars):
    """A value without what is barred in it and what is left empty by that."""
    if isinstance(value, dict):
        if bars(value):
            return None
        parts = {name: (part, pruned(part, bars)) for name, part in value.items()}
        return {name: left for name, (part, left) in parts.items() if left is not None} or (None if value else value)
    if isinstance(value, list):
        return [left for left in (pruned(item, bars) for item in value) if left is not None] or (None if value else value)
    return value


def cut(resource, id, base):
    """What leaves of a resource of the patient's under a policy that releases all of it. One with a link to content is
    written anew, whether or not the link stays."""
    left = unlinked(pruned(resource, lambda value: is_barred(value, id, base)), base)
    if left == resource and not has_content_link(resource):
        return resource
    return tagged({name: part for name, part in left.items() if name != "text"})


def unlinked(value, base):
    """A value without URLs of content that is somewhere else."""
    def leads_away(name, part):
        return name == "url" and isinstance(part, str) and "/Binary/" in part and ":" in part and not part.startswith(f"{base}/")

    if isinstance(value, list):
        return [unlinked(item, base) for item in value]
    if isinstance(value, dict):
        return {name: unlinked(part, base) for name, part in value.items() if not leads_away(name, part)}
    return value


def has_content_link(value):
    if isinstance(value, list):
        return any(map(has_content_link, value))
    return isinstance(value, dict) and ("Binary/" in str(value.get("url", "")) or any(map(has_content_link, value.values())))


def tagged(resource):
    meta = resource.get("meta", {})
    return {**resource, "meta": {**meta, "tag": [*meta.get("tag", []), SUBSETTED]}}


def without(resource, withheld, base):
    """Without references to any of `withheld`, names such as Encounter/e1."""
    def bars(value):
        named = target(value["reference"], base) if isinstance(value.get("reference"), str) else None
        return named is not None and "/".join(named) in withheld

    return pruned(resource, bars) if withheld else resource

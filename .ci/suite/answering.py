"""Who answers for a record, stated a second time.

Written from what is required in words, not from the gateway's sources. A record is

contradicted        two things that are known of it cannot both be true
unknown             nobody who can be looked up is named, or a rule is not met
asserted-by-hie     an exchange passed it on and nothing says that it may, or made it of an original that is known
asserted-by-source  the organisation that it comes from answers for it

`World` holds what the record system holds: Provenance, people and organisations; a `Registry` says whose word is taken.
Signatures are not spoken of here.
"""

import base64
import datetime
import re
import xml.etree.ElementTree as ET

NPI, NPI_OID = "http://hl7.org/fhir/sid/us-npi", "2.16.840.1.113883.4.6"
AUTHOR, TRANSMITTER = "author", "transmitter"
ALLOWED = {"asserted-by-hie", "asserted-by-source", "verified"}
EVERY = ALLOWED | {"unknown", "contradicted"}

# Who made a record, by its own elements, and who keeps it.
AUTHORS = {
    "AllergyIntolerance": ["recorder", "asserter"], "Condition": ["recorder", "asserter"],
    "DiagnosticReport": ["performer", "resultsInterpreter"], "DocumentReference": ["author", "authenticator"],
    "Encounter": ["participant.individual", "serviceProvider"], "Immunization": ["performer.actor"],
    "MedicationRequest": ["requester", "recorder"], "Observation": ["performer"],
    "Procedure": ["performer.actor", "recorder", "asserter"],
}
KEEPERS = {"DocumentReference": ["custodian"]}


def values(resource, path):
    """All values at a path, through lists."""
    found = [resource]
    for name in path.split("."):
        found = [one[name] for one in found if isinstance(one, dict) and name in one]
        found = [item for one in found for item in (one if isinstance(one, list) else [one])]
    return found


def is_npi(value):
    """Ten digits, the first 1 or 2, the last the check digit."""
    digits = [int(digit) for digit in "80840" + value] if re.fullmatch("[12][0-9]{9}", value) else [1]
    return sum(sum(divmod(digit * (1 + place % 2), 10)) for place, digit in enumerate(reversed(digits))) % 10 == 0


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class Party:
    """Somebody: a name in the record system or none, and identifiers."""

    def __init__(self, kind, name, identifiers):
        self.kind, self.name, self.identifiers = kind, name, frozenset(identifiers)

    def is_one_with(self, other):
        return (self.name and self.name == other.name) or bool(self.identifiers & other.identifiers)


class Statement:
    """Whom one place names: persons, organisations as authors, all organisations behind them."""

    def __init__(self):
        self.persons, self.bodies, self.organisations = [], [], []

    def everybody(self):
        return [*self.persons, *self.organisations]


class Registry:
    """`sources`: by NPI, what is agreed: `types` (None is all), `validates`, `speakers`, `exchange_asserts`."""

    def __init__(self, exchange, sources):
        self.exchange, self.sources = exchange, sources

    def of(self, party):
        return next((npi for npi in self.sources if f"{NPI}|{npi}" in party.identifiers), None)

    def is_exchange(self, party):
        return f"{NPI}|{self.exchange}" in party.identifiers


class World:
    def __init__(self, resources, now):
        """`resources`: everything that the record system holds, as JSON."""
        self.named = {f"{one['resourceType']}/{one['id']}": one for one in resources}
        self.now, self.about = now, {}
        for one in self.named.values():
            if one["resourceType"] == "Provenance":
                for target in one["target"]:
                    name, _, version = target["reference"].partition("/_history/")
                    self.about.setdefault(name, []).append((version, one))

    def party(self, name):
        resource = self.named.get(name)
        identifiers = [f"{one['system']}|{one['value']}" for one in (resource or {}).get("identifier", []) if one.get("system")]
        return Party(name.split("/")[0], name, identifiers)

    def add(self, statement, reference):
        """Adds an author; a role is its practitioner and its organisation."""
        name = reference["reference"]
        kind = name.split("/")[0]
        if kind == "PractitionerRole" and name in self.named:
            for part in ("practitioner", "organization"):
                self.add_part(statement, self.named[name].get(part), part)
        elif kind == "Organization":
            statement.bodies.append(self.party(name))
            statement.organisations.append(self.party(name))
        else:
            statement.persons.append(self.party(name))

    def add_part(self, statement, reference, part):
        if reference:
            side = statement.organisations if part == "organization" else statement.persons
            side.append(self.party(reference["reference"]))

    def own(self, record):
        statement = Statement()
        for path in AUTHORS[record["resourceType"]]:
            for reference in values(record, path):
                self.add(statement, reference)
        return statement

    def told(self, record):
        """Provenance about this version, or about none in particular."""
        version = record.get("meta", {}).get("versionId")
        name = f"{record['resourceType']}/{record['id']}"
        return [Told(self, one) for of, one in self.about.get(name, []) if of in ("", version)]


class Told:
    """What one Provenance says."""

    def __init__(self, world, resource):
        self.authors, self.transmitters = Statement(), []
        self.recorded = moment(resource["recorded"])
        for agent in resource["agent"]:
            codes = {coding["code"] for coding in agent.get("type", {}).get("coding", [])}
            if AUTHOR in codes:
                world.add(self.authors, agent["who"])
                world.add_part(self.authors, agent.get("onBehalfOf"), "organization")
            if TRANSMITTER in codes:
                self.transmitters.append(world.party(agent["who"]["reference"]))
        entities = [one for one in resource.get("entity", []) if one["role"] == "source"]
        self.originals = [one["what"]["reference"] for one in entities]


def header(record):
    """Authors and organisations that the header of a C-CDA document in the record names."""
    statement, custodians = Statement(), []
    for attachment in values(record, "content.attachment"):
        if "xml" not in attachment.get("contentType", "") or "data" not in attachment:
            continue
        root = ET.fromstring(base64.b64decode(attachment["data"]))
        for place in ("author/{*}assignedAuthor", "legalAuthenticator/{*}assignedEntity"):
            for author in root.findall("{*}" + place):
                statement.persons.append(Party("Practitioner", None, ids(author)))
                statement.organisations += [Party("Organization", None, ids(one)) for one in author.findall("{*}representedOrganization")]
        custodians += [Party("Organization", None, ids(one)) for one in root.findall("{*}custodian//{*}representedCustodianOrganization")]
    return statement, custodians


def ids(element):
    of_npi = [one.get("extension") for one in element.findall("{*}id") if one.get("root") == NPI_OID]
    return [f"{NPI}|{value}" for value in of_npi]


def is_refuted(ours, theirs):
    """Whether both name somebody, and nobody in common."""
    return bool(ours and theirs) and not any(one.is_one_with(other) for one in ours for other in theirs)


def is_known(statement, keepers=()):
    """Whether it leads to somebody who can be looked up: who has an identifier, or has somebody's who does."""
    named = statement.persons or statement.bodies
    return bool(named) and any(one.identifiers for one in [*statement.everybody(), *keepers])


def verdict(record, world, registry=None):
    own, told = world.own(record), world.told(record)
    document, custodians = header(record)
    keepers = [world.party(one["reference"]) for path in KEEPERS.get(record["resourceType"], []) for one in values(record, path)]
    keepers += custodians
    for one in told:
        theirs = one.authors
        exchanges = registry and any(registry.is_exchange(body) for body in theirs.bodies)
        if is_refuted(own.persons, theirs.persons) or (not exchanges and is_refuted(own.bodies, theirs.bodies)):
            return "contradicted"
        if one.recorded > world.now + datetime.timedelta(minutes=5):
            return "contradicted"
    if is_refuted(own.persons, document.persons):
        return "contradicted"
    statements = [own, document, *(one.authors for one in told)]
    identifiers = {each for statement in statements for party in statement.everybody() for each in party.identifiers}
    if not all(is_npi(each.split("|")[1]) for each in identifiers if each.startswith(NPI + "|")):
        return "unknown"
    if registry is None:
        return max(of_an_ehr(own, told, document, keepers), default="unknown", key=RANK.index)
    return of_an_exchange(record["resourceType"], own, told, document, keepers, world, registry)


RANK = ["unknown", "asserted-by-hie", "asserted-by-source"]


def of_an_ehr(own, told, document, keepers):
    """What each statement amounts to where the upstream's records are its own, but for those that others passed on."""
    for statement in (own, document):
        if is_known(statement, keepers):
            yield "asserted-by-source"
    for one in told:
        if is_known(one.authors, keepers):
            own_hand = all(any(sent.is_one_with(of) for of in one.authors.organisations) for sent in one.transmitters)
            yield "asserted-by-source" if own_hand else "asserted-by-hie"


def of_an_exchange(kind, own, told, document, keepers, world, registry):
    """The verdict where the upstream holds records of others, as far as the registry takes its word."""
    sources, found = set(), []
    for one in told:
        organisations = one.authors.organisations
        made_here = bool(organisations) and all(map(registry.is_exchange, organisations))
        if made_here:
            of = originals(one, world, registry)
            if not of:
                return "unknown"
        else:
            known = [party for party in organisations if party.name in world.named]
            of = {registry.of(party) for party in known if not registry.is_exchange(party)}
            if None in of:
                return "unknown"
        for sent in one.transmitters:
            by_itself = any(sent.is_one_with(party) for party in organisations)
            if not by_itself and of and not all(speaks(sent, registry.sources[source]) for source in of):
                return "unknown"
        sources |= of
        if is_known(one.authors, keepers):
            vouched = of and not made_here and all(party.name in world.named for party in organisations)
            found.append("asserted-by-source" if vouched else "asserted-by-hie")
    behind = [*keepers, *own.organisations, *document.organisations]
    kept_by = {registry.of(party) for party in behind if not registry.is_exchange(party)}
    sources |= kept_by - {None}
    if not sources or not all(lets(registry.sources[source], registry.exchange, kind) for source in sources):
        return "unknown"
    if any(is_known(statement, keepers) for statement in (own, document)):
        found.append("asserted-by-hie")
    best = max(found, default="unknown", key=RANK.index)
    allowed = all(registry.sources[source].get("exchange_asserts") for source in sources)
    return best if best != "asserted-by-hie" or allowed else "unknown"


def originals(told, world, registry):
    """The registered sources of the originals that an exchange made a record of; none where one of them is not known."""
    found = set()
    for name in told.originals:
        original = world.named.get(name)
        if original is None:
            return set()
        parties = [*world.own(original).organisations]
        parties += [world.party(one["reference"]) for path in KEEPERS.get(original["resourceType"], []) for one in values(original, path)]
        parties += [party for one in world.told(original) for party in one.authors.organisations]
        parties = [party for party in parties if not registry.is_exchange(party)]
        of = {registry.of(party) for party in parties} - {None}
        if not of or any(registry.of(party) is None for party in parties if party.name in world.named):
            return set()
        found |= of
    return found


def speaks(party, source):
    return any(f"{NPI}|{speaker}" in party.identifiers for speaker in source.get("speakers", ()))


def lets(source, exchange, kind):
    """Whether a source's agreement covers a type of record, and the exchange may pass it on."""
    types = source.get("types")
    return source.get("validates", True) and (types is None or kind in types) and exchange in source.get("speakers", ())

//! Whom a statement of authorship leads to.
//!
//! Takes: links, and what is held under their names. Gives: a [`Statement`]: persons, organisations as authors, and the
//! organisations behind them. Guarantees: a role is its practitioner and its organisation, a device is itself and its owner;
//! two spellings of one person are one. Refuses: to follow a reference beside which stands an identifier that disagrees with
//! where it leads, or that leads to two resources; such a statement is broken, or ambiguous.

use super::evidence::Held;
use super::finding::Answer;
use super::names::Name;
use super::party::{Class, Link, Party};
use crate::fhir::identifier::Identifier;

/// Somebody.
#[derive(Clone, Debug)]
pub(super) enum Who {
    /// Under a name, described or not.
    Held(Name, Class),
    /// Described on the spot.
    Stated(Box<Party>),
    /// Under a name that nothing else speaks of.
    Absent(Class),
}

impl Who {
    /// The description, if there is one.
    pub(super) fn party<'e>(&'e self, held: &'e [Held]) -> Option<&'e Party> {
        match self {
            Self::Held(name, _) => held.get(name.0 as usize)?.description(),
            Self::Stated(party) => Some(party),
            Self::Absent(_) => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Held(_, class) | Self::Absent(class) => *class,
            Self::Stated(party) => party.class,
        }
    }

    fn identifiers<'e>(&'e self, held: &'e [Held]) -> &'e [Identifier] {
        self.party(held).map_or(&[], |party| &party.identifiers)
    }

    /// Whether this is the same person or organisation as another.
    pub(super) fn is(&self, other: &Self, held: &[Held]) -> Answer {
        if let (Self::Held(one, _), Self::Held(two, _)) = (self, other)
            && one == two
        {
            return Answer::Match;
        }
        let (ours, theirs) = (self.identifiers(held), other.identifiers(held));
        if ours.iter().any(|identifier| theirs.contains(identifier)) {
            return Answer::Match;
        }
        let npi = |all: &[Identifier]| all.iter().any(Identifier::is_npi);
        let is_like = self.class() == other.class() && !matches!(self.class(), Class::Role | Class::Other);
        let named = |who: &Self| matches!(who, Self::Held(..) | Self::Absent(_));
        if is_like && ((named(self) && named(other)) || (npi(ours) && npi(theirs))) {
            Answer::Mismatch
        } else {
            Answer::CannotTell
        }
    }
}

/// Whether two lists have somebody in common; a mismatch where each of one is known to be none of the other.
pub(super) fn compare(ours: &[Who], theirs: &[Who], held: &[Held]) -> Option<Answer> {
    let mut found = None;
    for one in ours {
        for two in theirs {
            match one.is(two, held) {
                Answer::Match => return Some(Answer::Match),
                Answer::CannotTell => found = Some(Answer::CannotTell),
                Answer::Mismatch => found = found.or(Some(Answer::Mismatch)),
            }
        }
    }
    found
}

/// The authors that one place names.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    /// Practitioners, patients, devices; roles that do not lead to one; what is known by an identifier alone.
    pub(super) persons: Vec<Who>,
    /// Organisations that are named as author themselves.
    pub(super) bodies: Vec<Who>,
    /// Those, and the ones that persons act for.
    pub(super) organisations: Vec<Who>,
    /// A reference leads nowhere, or beside it stands what disagrees.
    pub(super) is_broken: bool,
    /// A reference leads to two.
    pub(super) is_ambiguous: bool,
}

impl Statement {
    pub(super) fn is_empty(&self) -> bool {
        self.persons.is_empty() && self.bodies.is_empty()
    }

    /// Adds an author.
    pub(super) fn add_author(&mut self, link: &Link, held: &[Held]) {
        let Some((who, class)) = self.follow(link, held) else { return };
        match class {
            Class::Organization => {
                self.bodies.push(who.clone());
                self.organisations.push(who);
            }
            Class::Role => {
                match who.party(held).map(|party| (party.practitioner.clone(), party.organization.clone())) {
                    Some((practitioner, organization)) => {
                        organization.iter().for_each(|link| self.add_organisation(link, held));
                        match practitioner {
                            Some(link) => self.add_person(&link, held),
                            None => {
                                let body = organization.and_then(|link| self.follow(&link, held));
                                self.bodies.extend(body.map(|(who, _)| who));
                            }
                        }
                    }
                    None => self.persons.push(who),
                }
            }
            _ => {
                let owner = who.party(held).and_then(|party| party.organization.clone());
                owner.iter().for_each(|link| self.add_organisation(link, held));
                self.persons.push(who);
            }
        }
    }

    /// Adds the practitioner of a role, which is not followed further.
    fn add_person(&mut self, link: &Link, held: &[Held]) {
        let found = self.follow(link, held);
        self.persons.extend(found.map(|(who, _)| who));
    }

    /// Adds an organisation that stands behind an author, or keeps the record.
    pub(super) fn add_organisation(&mut self, link: &Link, held: &[Held]) {
        match self.follow(link, held) {
            Some((who, Class::Organization | Class::Other)) => self.organisations.push(who),
            Some(_) => self.is_broken = true,
            None => {}
        }
    }

    fn follow(&mut self, link: &Link, held: &[Held]) -> Option<(Who, Class)> {
        match link {
            Link::Held { name, class, beside } => {
                let known = held.get(name.0 as usize);
                let party = known.and_then(Held::description);
                self.is_ambiguous |= known.is_some_and(|known| known.is_ambiguous);
                self.is_broken |= party.zip(beside.as_ref()).is_some_and(|(party, beside)| disagrees(party, beside));
                let class = party.map_or(*class, |party| party.class);
                Some((Who::Held(*name, class), class))
            }
            Link::Stated(party) => Some((Who::Stated(party.clone()), party.class)),
            Link::Absent(class) => Some((Who::Absent(*class), *class)),
            Link::Broken => {
                self.is_broken = true;
                None
            }
        }
    }
}

/// Whether somebody has an identifier of the same system, and none of them is this.
fn disagrees(party: &Party, beside: &Identifier) -> bool {
    let mut same_system = party.identifiers.iter().filter(|own| own.system() == beside.system()).peekable();
    same_system.peek().is_some() && same_system.all(|own| own != beside)
}

//! SMART scopes (App Launch 2.2, scopes and launch context), of which only the `system/` level grants anything here.
//!
//! Takes: a scope string. Gives: [`Scopes`], the grants it holds and a record of what it held besides.
//! Guarantees: a scope that cannot be understood in full grants nothing; an intersection never grants more
//! than either side. Refuses: letters out of order, unknown types, constraints that are no plain search filter.

use std::fmt;

use thiserror::Error;

use crate::fhir::name::ResourceType;

#[cfg(test)]
mod tests;

/// Search parameters on every resource that filter; any other name that begins with `_` shapes the answer.
const FILTERS_ON_EVERY_TYPE: [&str; 6] = ["_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"];

/// Why one scope grants nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ScopeError {
    /// A character that RFC 6749 section 3.3 does not allow.
    #[error("character that no scope may hold")]
    Character,
    /// The part after `?` is no plain `name=value` filter: empty, repeated separators, a modifier, a chain.
    #[error("constraint is not a plain search filter")]
    Constraint,
    /// `openid`, `fhirUser`, `launch/…`, an extension: about a person or an app, not about access.
    #[error("not an access scope")]
    Kind,
    /// `patient/` or `user/`, which need a person in context.
    #[error("level is not system")]
    Level,
    /// Letters other than `cruds` in that order, or none.
    #[error("permissions are not letters of cruds in order")]
    Permissions,
    /// Not a resource type of R4.
    #[error("unknown resource type")]
    Type,
}

/// What may be done with a resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// `c`
    Create,
    /// `d`
    Delete,
    /// `r`: read, vread and the history of one resource.
    Read,
    /// `s`: search and history of a type or of everything.
    Search,
    /// `u`: update and patch.
    Update,
}

impl Permission {
    /// In the order of `cruds`.
    const ORDER: [(char, Self); 5] =
        [('c', Self::Create), ('r', Self::Read), ('u', Self::Update), ('d', Self::Delete), ('s', Self::Search)];

    fn bit(self) -> u8 {
        match self {
            Self::Create => 1,
            Self::Read => 2,
            Self::Update => 4,
            Self::Delete => 8,
            Self::Search => 16,
        }
    }
}

/// A set of [`Permission`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permissions(u8);

impl Permissions {
    /// Whether `permission` is in the set.
    pub fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    fn parse(text: &str) -> Result<Self, ScopeError> {
        match text {
            "read" => return Ok(Self(Permission::Read.bit() | Permission::Search.bit())),
            "write" => {
                return Ok(Self(Permission::Create.bit() | Permission::Update.bit() | Permission::Delete.bit()));
            }
            "*" => return Ok(Self(0b1_1111)),
            _ => {}
        }
        let mut order = Permission::ORDER.into_iter();
        let mut set = 0;
        for letter in text.chars() {
            let (_, permission) = order.find(|(known, _)| *known == letter).ok_or(ScopeError::Permissions)?;
            set |= permission.bit();
        }
        if set == 0 { Err(ScopeError::Permissions) } else { Ok(Self(set)) }
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, permission) in Permission::ORDER {
            if self.has(permission) {
                fmt::Write::write_char(f, letter)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One `system/` scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    resource_type: Option<ResourceType>,
    permissions: Permissions,
    constraint: Option<Box<str>>,
}

impl Grant {
    /// Reads one scope.
    pub fn parse(scope: &str) -> Result<Self, ScopeError> {
        let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if !scope.bytes().all(allowed) {
            return Err(ScopeError::Character);
        }
        let (level, rest) = scope.split_once('/').ok_or(ScopeError::Kind)?;
        match level {
            "system" => {}
            "patient" | "user" => return Err(ScopeError::Level),
            _ => return Err(ScopeError::Kind),
        }
        let (target, constraint) = match rest.split_once('?') {
            Some((target, constraint)) => (target, Some(constraint)),
            None => (rest, None),
        };
        let (type_name, permissions) = target.split_once('.').ok_or(ScopeError::Permissions)?;
        let resource_type = match type_name {
            "*" => None,
            name => Some(ResourceType::parse(name).map_err(|_| ScopeError::Type)?),
        };
        if let Some(constraint) = constraint {
            check_constraint(constraint)?;
        }
        Ok(Self { resource_type, permissions: Permissions::parse(permissions)?, constraint: constraint.map(Box::from) })
    }

    /// The type it is about; `None` for `*`.
    pub fn resource_type(&self) -> Option<ResourceType> {
        self.resource_type
    }

    /// What it allows.
    pub fn permissions(&self) -> Permissions {
        self.permissions
    }

    /// The query that every resource under this grant must match, as the scope wrote it: `name=value` joined by `&`,
    /// percent-encoding untouched. All parts apply together.
    pub fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    /// Whether this grant is about `resource_type` and allows `permission`.
    pub fn allows(&self, resource_type: ResourceType, permission: Permission) -> bool {
        self.is_about(resource_type) && self.permissions.has(permission)
    }

    fn is_about(&self, resource_type: ResourceType) -> bool {
        self.resource_type.is_none_or(|own| own == resource_type)
    }

    fn intersection(&self, other: &Self) -> Option<Self> {
        let resource_type = match (self.resource_type, other.resource_type) {
            (Some(left), Some(right)) if left != right => return None,
            (left, right) => left.or(right),
        };
        let permissions = Permissions(self.permissions.0 & other.permissions.0);
        let constraint = match (&self.constraint, &other.constraint) {
            (Some(left), Some(right)) if left != right => Some(format!("{left}&{right}").into()),
            (left, right) => left.clone().or_else(|| right.clone()),
        };
        (permissions.0 != 0).then_some(Self { resource_type, permissions, constraint })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system/{}.{}", self.resource_type.map_or("*", ResourceType::as_str), self.permissions)?;
        self.constraint.iter().try_for_each(|constraint| write!(f, "?{constraint}"))
    }
}

/// A scope that was not understood or has no meaning here, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredScope {
    /// The scope as it was written.
    pub scope: Box<str>,
    /// Why it grants nothing.
    pub why: ScopeError,
}

/// What a scope string grants: the union of its grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    grants: Vec<Grant>,
    ignored: Vec<IgnoredScope>,
}

impl Scopes {
    /// Reads scopes separated by blanks. What is no `system/` scope is recorded and grants nothing.
    pub fn parse(text: &str) -> Self {
        let mut scopes = Self::default();
        for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
            match Grant::parse(scope) {
                Ok(grant) => scopes.insert(grant),
                Err(why) => scopes.ignored.push(IgnoredScope { scope: scope.into(), why }),
            }
        }
        scopes
    }

    /// What both sides grant. A pair of different constraints applies together.
    pub fn intersection(&self, bound: &Self) -> Self {
        let mut both = Self { grants: Vec::new(), ignored: self.ignored.clone() };
        for own in &self.grants {
            for other in &bound.grants {
                if let Some(grant) = own.intersection(other) {
                    both.insert(grant);
                }
            }
        }
        both
    }

    /// Adds a grant, once.
    pub fn insert(&mut self, grant: Grant) {
        if !self.grants.contains(&grant) {
            self.grants.push(grant);
        }
    }

    /// Every grant, in the order it was written.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// What was written and grants nothing.
    pub fn ignored(&self) -> &[IgnoredScope] {
        &self.ignored
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// The grants about one type; each stands alone.
    pub fn for_type(&self, resource_type: ResourceType) -> impl Iterator<Item = &Grant> {
        self.grants.iter().filter(move |grant| grant.is_about(resource_type))
    }

    /// Whether some grant, constrained or not, allows `permission` on `resource_type`.
    pub fn may(&self, resource_type: ResourceType, permission: Permission) -> bool {
        self.grants.iter().any(|grant| grant.allows(resource_type, permission))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, grant) in self.grants.iter().enumerate() {
            write!(f, "{}{grant}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// Modifiers and chains in scopes are experimental in SMART, result parameters are no filter, and an empty value
/// is ignored by servers, which would widen the grant.
fn check_constraint(constraint: &str) -> Result<(), ScopeError> {
    for item in constraint.split('&') {
        let (name, value) = item.split_once('=').ok_or(ScopeError::Constraint)?;
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && name.starts_with(|first: char| first.is_ascii_alphabetic());
        let values_present = value.split(',').all(|part| !part.is_empty());
        if !values_present || !(plain || FILTERS_ON_EVERY_TYPE.contains(&name)) {
            return Err(ScopeError::Constraint);
        }
    }
    Ok(())
}

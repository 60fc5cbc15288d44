//! The evidence that somebody registered is asking.
//!
//! Takes: a registration and, where there is one, a verified token. Gives: [`Client`], cheap to clone.
//! Guarantees: one purpose, which the registration allows; scopes that the registration bounds.
//! Refuses: a purpose that is missing or not allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::claims::Claims;
use super::{IdentifyError, Permission, Purpose, Scopes};
use crate::config::Registration;
use crate::fhir::name::ResourceType;
use crate::signature::Dialect;

/// How a client proved that it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A token that whoever holds it may use.
    Bearer,
    /// A token bound to the certificate of the connection (RFC 8705 section 3).
    BoundToken,
    /// The certificate of the connection alone (RFC 8705 section 2).
    Certificate,
}

/// A payer's system that may ask, for one purpose.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    registration: Arc<Registration>,
    method: Method,
    purpose: Purpose,
    scopes: Scopes,
    issuer: Option<Box<str>>,
    token_id: Option<Box<str>>,
    expires: Option<i64>,
}

impl Client {
    pub(super) fn of_certificate(registration: &Arc<Registration>) -> Result<Self, IdentifyError> {
        Ok(Self(Arc::new(Inner {
            method: Method::Certificate,
            purpose: effective_purpose(None, registration)?,
            scopes: registration.scopes.clone(),
            issuer: None,
            token_id: None,
            expires: None,
            registration: Arc::clone(registration),
        })))
    }

    pub(super) fn of_token(
        registration: &Arc<Registration>,
        issuer: &str,
        claims: &Claims,
    ) -> Result<Self, IdentifyError> {
        Ok(Self(Arc::new(Inner {
            method: if claims.thumbprint.is_some() { Method::BoundToken } else { Method::Bearer },
            purpose: effective_purpose(claims.purpose, registration)?,
            scopes: claims.scopes.intersection(&registration.scopes),
            issuer: Some(issuer.into()),
            token_id: claims.token_id.as_deref().map(Box::from),
            expires: Some(claims.expires),
            registration: Arc::clone(registration),
        })))
    }

    /// Its name in the configuration, and `client_id` of its tokens.
    pub fn id(&self) -> &str {
        &self.0.registration.id
    }

    /// URI of the organization it acts for.
    pub fn organization(&self) -> &str {
        &self.0.registration.organization
    }

    /// The purpose of this request.
    pub fn purpose(&self) -> Purpose {
        self.0.purpose
    }

    /// What token and registration both grant.
    pub fn scopes(&self) -> &Scopes {
        &self.0.scopes
    }

    /// Whether some scope, constrained or not, allows `permission` on `resource_type`.
    pub fn may(&self, resource_type: ResourceType, permission: Permission) -> bool {
        self.0.scopes.may(resource_type, permission)
    }

    /// Texts that the configuration gives it, for the policy.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.0.registration.attributes
    }

    /// The edition of CDex in which searchsets for it are signed, where that was agreed.
    pub fn signed_answers(&self) -> Option<Dialect> {
        self.0.registration.signed_answers
    }

    /// How it proved that it is there.
    pub fn method(&self) -> Method {
        self.0.method
    }

    /// `iss` of the token.
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }

    /// `jti` of the token.
    pub fn token_id(&self) -> Option<&str> {
        self.0.token_id.as_deref()
    }

    /// `exp` of the token, in seconds since the Unix epoch.
    pub fn expires(&self) -> Option<i64> {
        self.0.expires
    }

    /// Whether both came from one look at the proof.
    #[cfg(test)]
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A client of this name, purpose and scopes, for the tests of later steps.
    #[cfg(test)]
    pub(crate) fn for_test(id: &str, purpose: &str, scopes: &str) -> Self {
        Self::with_attributes(id, purpose, scopes, &[])
    }

    /// A client with attributes, for the tests of later steps.
    #[cfg(test)]
    pub(crate) fn with_attributes(id: &str, purpose: &str, scopes: &str, attributes: &[(&str, &str)]) -> Self {
        let purpose = Purpose::parse(purpose).unwrap();
        let registration = Registration {
            id: id.to_owned(),
            organization: format!("https://{id}.example.com"),
            proof: crate::config::Proof::Token { issuer: "https://as.example.org".to_owned(), certificate: None },
            purposes: vec![purpose],
            purpose: Some(purpose),
            scopes: Scopes::parse(scopes),
            bound: false,
            signed_answers: None,
            attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        Self::of_certificate(&Arc::new(registration)).unwrap()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}, {}, {})", self.id(), self.purpose(), self.scopes())
    }
}

fn effective_purpose(stated: Option<Purpose>, registration: &Registration) -> Result<Purpose, IdentifyError> {
    let purpose = stated.or(registration.purpose).ok_or(IdentifyError::PurposeNotAllowed("the token states none"))?;
    if registration.purposes.contains(&purpose) {
        Ok(purpose)
    } else {
        Err(IdentifyError::PurposeNotAllowed("not among the client's"))
    }
}

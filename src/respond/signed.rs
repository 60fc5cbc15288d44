//! Searchsets signed as the organisation: what may leave, and nothing else, with a signature over all of it.
//!
//! Takes: a searchset that was released, finished to its last link, and a signer. Gives: [`Signed`], made only here.
//! Guarantees: what is signed was filtered or composed of answers, and is as it is sent; nothing is changed behind the
//! signature. Refuses: what [`crate::signature::sign`] refuses.

use bytes::Bytes;

use super::Merged;
use crate::clock::Now;
use crate::filter::Released;
use crate::signature::{Dialect, SignError, Signer, sign};

/// The body of a signed answer.
#[derive(Debug)]
pub struct Signed(Vec<u8>);

/// A searchset that may leave, and is finished.
#[derive(Debug)]
pub enum Finished {
    /// One that was filtered.
    Released(Released),
    /// One that is made of answers.
    Merged(Merged),
}

impl Signed {
    /// Signs a searchset.
    ///
    /// # Errors
    /// [`SignError`]: then there is nothing that may be sent.
    pub fn new(finished: &Finished, signer: &Signer, when: Now, dialect: Dialect) -> Result<Self, SignError> {
        let bytes = match finished {
            Finished::Released(released) => released.as_bytes(),
            Finished::Merged(merged) => merged.as_bytes(),
        };
        sign(bytes, signer, when, dialect).map(Self)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Signed> for Bytes {
    fn from(signed: Signed) -> Self {
        signed.0.into()
    }
}

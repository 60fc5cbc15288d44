//! Evidence of authorship, as the EHR has it.
//!
//! Takes: a [`LookUp`] and room for the record of its exchange. Gives: the bytes of a searchset. Guarantees: kept like any
//! answer, below the decision. Refuses: more than [`limits::ATTRIBUTED_PAGE_BYTES`].

use bytes::Bytes;

use super::answers::CacheKey;
use super::body::{UpstreamBody, Whole};
use super::{Ehr, FetchError, checked};
use crate::audit::HeldSpace;
use crate::fhir::name::ResourceType;
use crate::id::ExchangeId;
use crate::limits;
use crate::rewrite::LookUp;

impl Ehr {
    /// Looks up, or finds in the cache.
    pub async fn learn(
        &self,
        look_up: &LookUp,
        _space: &impl HeldSpace,
        exchange: ExchangeId,
    ) -> Result<Bytes, FetchError> {
        let key = CacheKey::of(look_up.target(), look_up.form());
        let life = match key.resource_type().map(ResourceType::parse) {
            Some(Ok(resource_type)) => self.answers.keep(resource_type, look_up.keep()),
            _ => look_up.keep(),
        };
        if let Some(bytes) = self.answers.find(&key, life) {
            return Ok(bytes);
        }
        let answer = self.send(look_up.target(), look_up.form().cloned(), exchange).await?;
        let bytes = whole(checked(answer)?).await?;
        self.answers.keep_for(key, &bytes, life);
        Ok(bytes)
    }

    /// Holds the whole of an answer whose records' authorship is to be judged.
    pub async fn hold(&self, mut head: Vec<u8>, mut rest: UpstreamBody) -> Result<Bytes, FetchError> {
        while let Some(bytes) = rest.next().await? {
            if head.len() + bytes.len() > limits::ATTRIBUTED_PAGE_BYTES {
                return Err(FetchError::TooLarge);
            }
            head.extend_from_slice(&bytes);
        }
        Ok(head.into())
    }
}

async fn whole(body: UpstreamBody) -> Result<Bytes, FetchError> {
    match body.whole(limits::ATTRIBUTED_PAGE_BYTES).await? {
        Whole::Complete(bytes) => Ok(bytes),
        Whole::Larger { .. } => Err(FetchError::TooLarge),
    }
}

//! Who looks on while the gateway judges.
//!
//! Takes: the answer of an open door. Gives: what the gateway's own filter, under the decision of a real exchange,
//! makes of each resource in it, by what was known of its author. Guarantees: keeps the first exchange only, and of what was
//! known the first page. Refuses: nothing.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::filter::{Attribution, Bases, FilterError, Judged, explain};
use crate::gateway::Witness;
use crate::id::ExchangeId;
use crate::rewrite::Question;

/// The verdicts on an answer of an open door.
pub struct Onlooker {
    open_door: Vec<u8>,
    seen: Mutex<Option<Account>>,
}

/// What became of each resource, and in which exchange.
#[derive(Clone, Debug)]
pub struct Account {
    /// The exchange.
    pub exchange: ExchangeId,
    /// The verdicts, or why there are none.
    pub judged: Result<Vec<Judged>, FilterError>,
    /// Whether it was known by then who answers for the records.
    pub is_attributed: bool,
}

impl Onlooker {
    /// Will look at this answer once a question is asked.
    pub fn new(open_door: Vec<u8>) -> Self {
        Self { open_door, seen: Mutex::new(None) }
    }

    /// What was seen.
    pub fn account(&self) -> Option<Account> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Witness for Onlooker {
    fn asked(&self, exchange: ExchangeId, question: &Question, bases: Bases<'_>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let judged = || explain(&self.open_door, question, bases, None);
        seen.get_or_insert_with(|| Account { exchange, judged: judged(), is_attributed: false });
    }

    fn attributed(&self, exchange: ExchangeId, question: &Question, bases: Bases<'_>, attribution: &Arc<Attribution>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = seen.as_mut().filter(|account| account.exchange == exchange && !account.is_attributed) {
            account.judged = explain(&self.open_door, question, bases, Some(Arc::clone(attribution)));
            account.is_attributed = true;
        }
    }
}

impl fmt::Debug for Onlooker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Onlooker").finish_non_exhaustive()
    }
}

//! A FHIR R4 gateway that stands between an EHR and the payers that may ask it, and releases the minimum necessary.
//!
//! # The life of a request
//!
//! A request passes nine steps. Each is a plain function of the module of its name; each takes the evidence of the step
//! before and gives its own, which no other module can make. An answer that skipped a step does not compile.
//!
//! | step | module | from | to | the question it answers |
//! |---|---|---|---|---|
//! | 1 | [`accept`] | [`accept::Arrival`] | [`accept::Accepted`] | can this HTTP be read in one way only? |
//! | 2 | [`identify`] | `Accepted` | [`identify::Client`] | who is asking, and for what purpose? |
//! | 3 | [`understand`] | `Accepted` | [`understand::Interaction`] | what is asked, to the last parameter? |
//! | 4 | [`decide`] | `Client`, `Interaction`, facts | [`decide::Permit`] | what may be released? |
//! | 5 | [`rewrite`] | `Interaction`, `Permit` | [`rewrite::Prepared`] | what is the EHR asked? |
//! | 6 | [`fetch`] | `Prepared` | [`fetch::Fetched`] | what does the EHR say? |
//! | 7 | [`filter`] | `Fetched` and the `Permit` | [`filter::Released`] | what of it may leave? |
//! | 8 | [`audit`] | all of the above | [`audit::Receipt`] | is it on record, durably? |
//! | 9 | [`respond`] | `Released`, `Receipt` | [`respond::Answer`] | how is it said? |
//!
//! [`listen`] brings requests in, [`gateway`] composes the steps, [`start`] builds a gateway from a [`config`], and
//! [`cli`] is what a person types. A refusal at any step goes to `audit` and `respond` like everything else.
//!
//! # What holds
//!
//! 1. *Parse, then rebuild.* Nothing is forwarded: what reaches the EHR was written from typed values. What is not
//!    understood is refused.
//! 2. *The EHR is not believed.* Every resource is judged on its own content, whatever it says it matches.
//! 3. *One decision, both sides.* The permit that shapes the question judges the answer.
//! 4. *Fail closed.* A policy that errs, a fact that is missing, a clock that runs out: nothing is released.
//! 5. *No answer without a record.* The audit record is on disk before the first byte leaves.
//! 6. *Forbidden looks like absent.* Where knowing would be telling, a refusal is an empty answer.
//! 7. *No patient in logs, metrics, errors or URLs.*
//!
//! Modules are declared here in the order in which a request meets them, then those that everything stands on.

#![forbid(unsafe_code)]

// The rim: sockets, TLS and HTTP, each wait and size bounded.
pub mod listen;

// The composition: one exchange from arrival to answer.
pub mod gateway;

// Step 1: HTTP that can be read in one way only.
pub mod accept;

// Step 2: who is asking, proved by token or certificate.
pub mod identify;

// Step 3: what is asked, as a typed value.
pub mod understand;

// Step 4: what may be released, by Rego policies.
pub mod decide;

// Step 5: the one request that may go to the EHR.
pub mod rewrite;

// Step 6: the EHR's answer, from cache or connection.
pub mod fetch;

// Step 7: what of the answer may leave.
pub mod filter;

// Who is responsible for a record, and on what evidence.
pub mod authorship;

// Step 8: the record, durable before the answer.
pub mod audit;

// Step 9: the answer, and the one table of refusals.
pub mod respond;

// Documents about the gateway itself, which need no permit.
pub mod publish;

// Health and metrics, on an address of their own.
pub mod admin;

// From a configuration to a running gateway.
pub mod start;

// The command line.
pub mod cli;

// The demonstration: an EHR in memory, and a search with and without the gateway.
pub mod demo;

// The attack suite: a corpus of attacks, played against the gateway's own program.
pub mod attack;

// The configuration file, checked as a whole.
pub mod config;

// Signatures on resources: verified, and made.
pub mod signature;

// Connections that the gateway itself opens.
pub mod outbound;

// Files that survive a crash.
pub mod store;

// Purposes, scopes and keys, as OAuth and SMART name them.
pub mod oauth;

// FHIR's own vocabulary: JSON, names, references, dates, search.
pub mod fhir;

// Counters, with a fixed list of labels.
pub mod metrics;

// Every number that bounds something.
pub mod limits;

// Identifiers that carry nothing.
pub mod id;

// Time as an argument.
pub mod clock;

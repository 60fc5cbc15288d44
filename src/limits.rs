//! Every number that bounds something, with its reason.
//!
//! Sizes are bytes, durations are wall time. A limit that a site may change is a default here and a key in
//! the configuration; the others protect memory or correctness and are not for tuning.

use std::time::Duration;

// --- listening -------------------------------------------------------------------------------------

/// Connections open at once, over all cores: below half of the usual 10,000 file descriptors of a service.
pub const CONNECTIONS: usize = 4_096;
/// Connections from one peer address: one payer's pool fits, one broken client cannot take the rest.
pub const CONNECTIONS_PER_PEER: usize = 256;
/// One address may have at most one connection for so many that are still free, whatever the limit above.
pub const CONNECTIONS_LEFT_PER_PEER: usize = 8;
/// Connections of operators to the listener for health and metrics.
pub const ADMIN_CONNECTIONS: usize = 64;
/// Connections the kernel may queue while accept is busy.
pub const LISTEN_BACKLOG: i32 = 1_024;
/// Time for the TLS handshake; tokio-rustls has no deadline of its own.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// Time from the end of one message (or the handshake) to the complete head of the next HTTP/1 request.
/// Bounds the head as a whole, because an inactivity timer is beaten by one byte now and then.
pub const REQUEST_HEAD: Duration = Duration::from_secs(10);
/// An idle keep-alive connection is closed after this time; longer than the EHR's own pools keep theirs.
pub const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
/// A connection is retired after this age, so that certificate and policy rotation reaches every peer.
pub const CONNECTION_AGE: Duration = Duration::from_secs(3_600);
/// Request head: long granular scopes in a token still fit, a header flood does not.
pub const REQUEST_HEAD_BYTES: usize = 32 * 1024;
/// Header fields in one request; what hyper reads without an allocation for each.
pub const REQUEST_HEADERS: usize = 100;
/// Request target; longer searches use `POST [type]/_search`.
pub const REQUEST_TARGET_BYTES: usize = 8 * 1024;
/// Body of `POST [type]/_search`: thousands of identifiers fit; HAPI drops what lies past 2 MB silently.
pub const SEARCH_FORM_BYTES: usize = 256 * 1024;
/// Extensions of one chunk, which nobody uses; they are read over.
pub const CHUNK_EXTENSION_BYTES: usize = 256;
/// Trailers of a chunked body; they are dropped.
pub const TRAILER_BYTES: usize = 4 * 1024;
/// Silence allowed between two pieces of a request body.
pub const BODY_IDLE: Duration = Duration::from_secs(15);
/// Time for a whole request body.
pub const BODY_TOTAL: Duration = Duration::from_secs(60);
/// Read and write buffer of a connection: smaller ones cost processor time, larger ones memory of every answer in flight, of
/// which there are up to four. Above [`REQUEST_HEAD_BYTES`] and [`UPSTREAM_HEAD_BYTES`].
pub const CONNECTION_BUFFER: usize = 48 * 1024;
/// Streams of one HTTP/2 connection.
pub const H2_STREAMS: u32 = 100;
/// Header list of one HTTP/2 request as RFC 9113 section 6.5.2 counts it. Above [`REQUEST_HEAD_BYTES`], so that a head which
/// is too large reaches our own refusal and its record; h2 would answer beyond this, and its connection ends instead.
pub const H2_HEADER_LIST: u32 = 64 * 1024;
/// Flow-control window of one HTTP/2 stream: requests are small.
pub const H2_STREAM_WINDOW: u32 = 64 * 1024;
/// Flow-control window of one HTTP/2 connection.
pub const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Interval of HTTP/2 PING to find dead peers, and how long an answer may take.
pub const H2_PING: Duration = Duration::from_secs(20);
/// See [`H2_PING`].
pub const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams that a client may reset before they were looked at, before its connection is closed (rapid reset).
pub const H2_PENDING_RESETS: usize = 20;
/// Streams that we may have to reset for a client's errors, before its connection is closed.
pub const H2_LOCAL_RESETS: usize = 256;
/// Wait after accept failed for want of file descriptors, for some to come free.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Exchanges in flight on one core before new ones are refused with 503.
pub const IN_FLIGHT_PER_CORE: usize = 512;
/// Exchanges of one client that are at work at once, over all cores: what a client is served in parallel, and a quarter of
/// [`UPSTREAM_CONNECTIONS`], so that none keeps the others out.
pub const CLIENT_IN_FLIGHT: usize = 64;
/// Time for what is in flight to finish after SIGTERM: below the 30 s after which orchestrators kill.
pub const DRAIN: Duration = Duration::from_secs(25);
/// Of that, time for the first request of a connection that was opened just before.
pub const DRAIN_FIRST_REQUEST: Duration = Duration::from_secs(1);
/// Time a client may take to accept the next piece of an answer.
pub const RESPONSE_STALL: Duration = Duration::from_secs(30);
/// A client that still sends when its answer is complete, as to a body that was refused, is listened to for this long,
/// so that it reads the answer before the connection is gone.
pub const LINGER: Duration = Duration::from_secs(2);
/// Of what it then sends, so much is read and discarded.
pub const LINGER_BYTES: usize = 16 * 1024 * 1024;

// --- configuration ---------------------------------------------------------------------------------

/// The configuration file, and each text or PEM file that it names.
pub const CONFIG_FILE_BYTES: u64 = 1024 * 1024;

// --- understanding ---------------------------------------------------------------------------------

/// Search parameters in one request.
pub const SEARCH_PARAMETERS: usize = 64;
/// Values in the OR-list of one parameter.
pub const SEARCH_VALUES: usize = 256;
/// Bytes of one parameter value, decoded.
pub const SEARCH_VALUE_BYTES: usize = 2 * 1024;
/// Keys of `_sort`: each is looked up in every match.
pub const SORT_KEYS: usize = 8;
/// Entries of one batch: a payer's questions about one member fit, and with each answer held up to
/// [`WHOLE_ANSWER_BYTES`] the whole stays below a few megabytes.
pub const BATCH_ENTRIES: usize = 32;
/// After this time no further entry of a batch is begun: a client's own patience is about a minute.
pub const BATCH_TIME: Duration = Duration::from_secs(60);
/// Body of a batch: requests only, no resources.
pub const BATCH_BYTES: usize = 256 * 1024;
/// Reads, searches and further pages that one `$everything` stands for: each type whose records are a patient's once (R4
/// has some sixty), and as many pages again.
pub const EVERYTHING_PARTS: usize = 128;
/// What one `$everything` may hold, as much as one resource that is read ([`RESOURCE_BYTES`]): its parts are merged in
/// memory.
pub const EVERYTHING_BYTES: usize = 4 * 1024 * 1024;
/// After this time no further part of an `$everything` is begun, as with [`BATCH_TIME`].
pub const EVERYTHING_TIME: Duration = Duration::from_secs(60);
/// Life of a sealed page link: a payer that pauses longer searches again.
pub const PAGE_LINK_LIFE: Duration = Duration::from_secs(15 * 60);
/// A sealed page link, encoded: it holds the search, and with the base it must stay below [`REQUEST_TARGET_BYTES`]. Only
/// long searches have long links; some clients stop at 2 KB.
pub const PAGE_LINK_BYTES: usize = 6 * 1024;

// --- JSON ------------------------------------------------------------------------------------------

/// Nesting of a JSON document: FHIR's deepest real resources stay below 30.
pub const JSON_DEPTH: usize = 64;
/// Values in one JSON document (or in one entry of a streamed Bundle).
pub const JSON_VALUES: usize = 250_000;

// --- identity --------------------------------------------------------------------------------------

/// A bearer token, encoded.
pub const TOKEN_BYTES: usize = 16 * 1024;
/// Verified tokens remembered, by SHA-256 of the token.
pub const TOKEN_CACHE: u64 = 10_000;
/// A verified token is looked at anew after this time, whatever its `exp`.
pub const TOKEN_CACHE_LIFE: Duration = Duration::from_secs(60);
/// Clocks of issuer and gateway may differ by this much.
pub const CLOCK_SKEW_SECONDS: i64 = 5;
/// A key set is fetched again after this time where its `Cache-Control` says nothing longer.
pub const KEY_SET_LIFE: Duration = Duration::from_secs(300);
/// An unknown `kid` causes at most one fetch in this time, however many tokens carry one.
pub const KEY_SET_REFRESH: Duration = Duration::from_secs(60);
/// A key set document.
pub const KEY_SET_BYTES: usize = 64 * 1024;
/// Time to fetch a key set.
pub const KEY_SET_FETCH: Duration = Duration::from_secs(3);
/// A key set is kept no longer than this, whatever its `Cache-Control` says: a removed key stops counting.
pub const KEY_SET_LIFE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// A key set is kept at least this long: Keycloak sends `no-cache`, which would mean a fetch for every token.
pub const KEY_SET_LIFE_MIN: Duration = Duration::from_secs(60);
/// Without a usable key set, a failed fetch is tried again after this time: an issuer that starts answers 503.
pub const KEY_SET_RETRY: Duration = Duration::from_secs(5);
/// A key set is renewed in the background when it has less than this time left.
pub const KEY_SET_RENEW: Duration = Duration::from_secs(20);
/// Life of a token from issue to expiry, unless the issuer's entry says otherwise: UDAP allows an hour.
pub const TOKEN_LIFE_SECONDS: i64 = 3_600;
/// Scopes in one token: one for every R4 type, and more.
pub const TOKEN_SCOPES: usize = 256;

// --- policy ----------------------------------------------------------------------------------------

/// Time for one evaluation. Checked again afterwards, because one built-in call cannot be interrupted.
/// An engine that was built without optimisation is given ten times as much.
pub const POLICY_TIME: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });
/// Input document of one evaluation.
pub const POLICY_INPUT_BYTES: usize = 1024 * 1024;
/// Instructions of the fast engine for one evaluation; the reference engine is bounded by time alone.
pub const POLICY_INSTRUCTIONS: usize = 100_000;
/// Decisions remembered, by policy revision and input.
pub const DECISION_CACHE: u64 = 50_000;
/// A decision is taken anew after this time, even for the same input.
pub const DECISION_CACHE_LIFE: Duration = Duration::from_secs(60);
/// Facts about patients (Coverage, Consent) remembered.
pub const FACT_CACHE: u64 = 50_000;
/// Facts are fetched anew after this time: the bound on how long a revoked consent still counts.
pub const FACT_CACHE_LIFE: Duration = Duration::from_secs(30);
/// Patients that one search may name.
pub const PATIENTS_PER_SEARCH: usize = 50;
/// An attribution file: several million memberships.
pub const ROSTER_BYTES: u64 = 512 * 1024 * 1024;
/// The name of a roster, or a member id.
pub const ROSTER_NAME_BYTES: usize = 128;
/// The document that a policy answers with.
pub const DECISION_BYTES: usize = 256 * 1024;
/// Patients that a decision may list; more are a roster.
pub const DECISION_PATIENTS: usize = 1_000;
/// Reasons in one decision.
pub const DECISION_REASONS: usize = 16;
/// Code, text or basis of one reason: they are repeated in answers and audit records.
pub const DECISION_REASON_BYTES: usize = 1_024;
/// Alternatives for one type, scopes multiplied in: each may become a search of its own.
pub const DECISION_ALTERNATIVES: usize = 64;
/// Element names for one type: R4's largest types have fewer.
pub const DECISION_ELEMENTS: usize = 256;
/// Longest name in an element list: room for a path with the URI of a code system in it.
pub const ELEMENT_NAME_BYTES: usize = 512;
/// Search parameters that may be asked by although what they read is withheld, for one type.
pub const DECISION_SEARCHABLE: usize = 16;
/// Codes on the sensitivity lists of one set of policies: the large value sets of four code systems.
pub const SENSITIVE_CODES: usize = 200_000;
/// Security labels withheld.
pub const DECISION_LABELS: usize = 256;
/// Includes allowed.
pub const DECISION_INCLUDES: usize = 64;
/// The largest page a policy may allow.
pub const DECISION_PAGE_CAP: u32 = 1_000;
/// The longest that a policy may let an answer be kept.
pub const DECISION_CACHE_SECONDS: u32 = 3_600;
/// Provisions nested in a Consent's root provision that are followed.
pub const CONSENT_NESTING: u32 = 1;
/// Items of one list in a Coverage or Consent.
pub const FACT_ITEMS: usize = 256;
/// Work of an engine between two looks at the clock: below a hundredth of [`POLICY_TIME`] each.
pub const POLICY_CHECK_INTERVAL: u32 = 64;
/// Time for the trial evaluation when policies are loaded, on however busy a machine.
pub const POLICY_TRIAL: Duration = Duration::from_secs(2);
/// Rules and functions that may call one another in a chain; each costs stack.
pub const POLICY_CALL_DEPTH: usize = 32;
/// Stack of the thread that examines policies: their syntax is walked recursively.
pub const POLICY_STACK: usize = 16 * 1024 * 1024;
/// One policy file; regorus refuses larger ones too.
pub const POLICY_FILE_BYTES: u64 = 1024 * 1024;
/// One data file: a Value takes 5.5 times the memory of its JSON.
pub const POLICY_DATA_BYTES: u64 = 64 * 1024 * 1024;
/// Folders within folders.
pub const POLICY_FOLDERS: usize = 4;
/// Inputs taken from policy tests to compare the engines on.
pub const GATE_SEEDS: usize = 128;
/// Inputs grown from them: some milliseconds each at worst, while policies are loaded.
pub const GATE_INPUTS: usize = 512;
/// The list of patients that payers may ask about, when it is a file.
pub const ROSTER_FILE_BYTES: u64 = 256 * 1024 * 1024;

// --- EHR -------------------------------------------------------------------------------------------

/// Time to open a connection to the EHR, TLS included.
pub const UPSTREAM_CONNECT: Duration = Duration::from_secs(2);
/// Time from the request to the head of the EHR's answer.
pub const UPSTREAM_HEAD: Duration = Duration::from_secs(15);
/// Silence allowed between two pieces of the EHR's answer.
pub const UPSTREAM_IDLE: Duration = Duration::from_secs(15);
/// Bytes that a second of waiting must bring, once [`UPSTREAM_IDLE`] of waiting is used up: a byte now and then is no
/// answer, and holds a connection and an exchange.
pub const UPSTREAM_RATE: u64 = 1_024;
/// Time for the whole of the EHR's answer.
pub const UPSTREAM_TOTAL: Duration = Duration::from_secs(120);
/// Idle connections kept per core, and for how long: shorter than any EHR's own keep-alive.
pub const UPSTREAM_POOL: usize = 64;
/// See [`UPSTREAM_POOL`].
pub const UPSTREAM_POOL_IDLE: Duration = Duration::from_secs(30);
/// Connections to the EHR at once, per core.
pub const UPSTREAM_CONNECTIONS: usize = 256;
/// Header block of an answer.
pub const UPSTREAM_HEAD_BYTES: usize = 32 * 1024;
/// Answers of the EHR up to this size are held whole and filtered in one piece; larger ones go entry by entry. What may
/// leave is held up to the same size and then sent with its length; what grows beyond it is sent in pieces.
pub const WHOLE_ANSWER_BYTES: usize = 64 * 1024;
/// What is looked at of an answer that is sent in pieces, before its own head is: a Bundle's type and first entry.
pub const SEARCHSET_BEGINNING_BYTES: usize = 4 * 1024;
/// A single resource read by id, which cannot be filtered before it is complete.
pub const RESOURCE_BYTES: usize = 4 * 1024 * 1024;
/// One entry of a streamed Bundle.
pub const ENTRY_BYTES: usize = 4 * 1024 * 1024;
/// A streamed answer as a whole.
pub const STREAMED_ANSWER_BYTES: u64 = 1024 * 1024 * 1024;
/// What a stream judges at once, of what the EHR sent: larger bites cost memory, smaller ones processor time.
pub const STREAM_BITE_BYTES: usize = 32 * 1024;
/// Filtered bytes gathered before they are handed to the connection: up to three such pieces wait for a slow client.
pub const STREAM_PIECE_BYTES: usize = 16 * 1024;
/// The target of an upstream search as GET; longer ones are sent as a form.
pub const UPSTREAM_TARGET_BYTES: usize = 4 * 1024;
/// A page whose records' authorship is judged: it is held until what is known beside it is there.
pub const ATTRIBUTED_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Requests of the gateway's own for one page, beside the page itself. Two are enough, and one where Provenance comes along: for
/// Provenance, and for roles, organisations and practitioners together. One more learns the originals of what an exchange made,
/// and one what an EHR does not give along with roles. An EHR that answers no batches is asked for them one type after the
/// other, after the batch that it refused.
pub const EVIDENCE_LOOKUPS: usize = 6;
/// How long an EHR that did not answer a batch is asked one search at a time; a front end in front of it may come to allow it.
pub const EHR_APART: Duration = Duration::from_secs(3_600);
/// Entries asked of the EHR in such a search; more than a page of 100 records speaks of, as a rule.
pub const EVIDENCE_COUNT: u32 = 1_000;
/// How long what a directory says of people and organisations is kept.
pub const DIRECTORY_LIFE: Duration = Duration::from_secs(10 * 60);
/// Entries asked of the EHR for one page, where neither client nor policy says less.
pub const PAGE_COUNT: u32 = 100;
/// Withheld resources of one answer to which no reference leaves: all there are in an answer that is judged whole.
pub const WITHHELD_NAMES: usize = 1_024;
/// Pages of the EHR that one page is gathered from, where entries were withheld: enough for a patient of whom one record
/// in ten is released. Beyond it a page may be short and still have a next one.
pub const UPSTREAM_PAGES: usize = 16;
/// After this time no further page of the EHR is begun for one page: a client's own patience is about a minute.
pub const UPSTREAM_FOLLOW: Duration = Duration::from_secs(30);
/// Answers of the EHR kept in memory, in bytes, over all cores.
pub const ANSWER_CACHE_BYTES: u64 = 64 * 1024 * 1024;

// --- audit -----------------------------------------------------------------------------------------

/// Exchanges that hold space in the log, from before the EHR is asked until the receipt is used up or the
/// closing is durable; beyond it new ones are refused with 503.
pub const AUDIT_OUTSTANDING: usize = 1_024;
/// One audit record, encoded.
pub const AUDIT_RECORD_BYTES: usize = 16 * 1024;
/// Records made durable by one `fdatasync`.
pub const AUDIT_BATCH: usize = 256;
/// Note of an exchange at work: with its line feed one page of memory; a longer request is shortened.
pub const AUDIT_NOTE_BYTES: usize = 4 * 1024 - 1;
/// Longest that an exchange can be without a record: facts, pages and a batch's entries one after the other, each with its own
/// deadline, stay below. After a crash no older note is asked after.
pub const EXCHANGE_TOTAL: Duration = Duration::from_secs(900);
/// Wait for a record to be on disk. A device that takes longer is as good as broken, and clients give up soon after.
pub const AUDIT_WAIT: Duration = Duration::from_secs(10);
/// With this many exchanges at work the writer waits [`AUDIT_LINGER`] for company: one `fdatasync` for several records
/// costs what it costs for one.
pub const AUDIT_LINGER_FROM: usize = 8;
/// See [`AUDIT_LINGER_FROM`]: a fraction of what an exchange waits for the EHR.
pub const AUDIT_LINGER: Duration = Duration::from_millis(2);
/// Size of one segment of the log.
pub const AUDIT_SEGMENT_BYTES: u64 = 256 * 1024 * 1024;
/// Space written ahead of the log, so that a full disk is known before the EHR is asked: a longest record and
/// a longest closing for each of [`AUDIT_OUTSTANDING`] exchanges, with a fifth to spare.
pub const AUDIT_HEADROOM_BYTES: u64 = 40 * 1024 * 1024;
/// Space is written ahead in pieces of this size; one piece delays a waiting record by a few milliseconds.
pub const AUDIT_HEADROOM_STEP: u64 = 2 * 1024 * 1024;
/// The signed checkpoint is rewritten with each batch and forced to the device at most this often; a power
/// failure can set it back by this much and never forward.
pub const AUDIT_CHECKPOINT_SYNC: Duration = Duration::from_secs(1);

// --- signatures ------------------------------------------------------------------------------------

/// A resource whose signatures are verified, or that is signed: documents with scans in them fit.
pub const SIGNED_BYTES: usize = 64 * 1024 * 1024;
/// An answer that is held until it is signed: as much as `$everything` may hold. Its canonical form and its tokens take some
/// five times as much while it is signed, by no more than one answer a processor.
pub const SIGNED_ANSWER_BYTES: usize = EVERYTHING_BYTES;
/// Signatures in one resource, those inside it included: each costs a public-key operation and a canonical form.
pub const SIGNATURES: usize = 32;
/// Signatures of one signer in one JWS, which differ by certificate.
pub const SIGNATURES_PER_JWS: usize = 4;
/// `Signature.data`, encoded: a chain of [`SIGNATURE_CHAIN`] usual certificates, encoded three times, for each signature.
pub const SIGNATURE_DATA_BYTES: usize = 256 * 1024;
/// Certificates in `x5c`: real chains have two to four, and path building takes no more than six authorities.
pub const SIGNATURE_CHAIN: usize = 8;
/// One certificate: usual ones are below 3 KiB, those with many names below this.
pub const SIGNATURE_CERTIFICATE_BYTES: usize = 16 * 1024;
/// Subject alternative names of one certificate.
pub const SIGNATURE_NAMES: usize = 64;
/// Authorities that are believed: a system's bundle has about 150.
pub const SIGNATURE_ANCHORS: usize = 512;
/// A revocation list: those of large authorities.
pub const SIGNATURE_REVOCATION_BYTES: u64 = 32 * 1024 * 1024;
/// A signer's clock may be ahead by this much before its claim is remarked on.
pub const SIGNATURE_CLOCK_SKEW: Duration = Duration::from_secs(300);

// --- authorship ------------------------------------------------------------------------------------

/// Names of one person or organisation that are read: NPI, tax id, state licences and internal ones are fewer.
pub const PARTY_IDENTIFIERS: usize = 32;
/// Targets of one Provenance; one per encounter with all that was recorded in it has some dozens.
pub const PROVENANCE_TARGETS: usize = 1_024;
/// Agents of one Provenance, or of one of its entities.
pub const PROVENANCE_AGENTS: usize = 32;
/// Entities of one Provenance.
pub const PROVENANCE_ENTITIES: usize = 64;
/// Provenance resources about one record that are looked at; versions and amendments of years fit.
pub const PROVENANCES_PER_RECORD: usize = 64;
/// Authors of one record that are looked at.
pub const RECORD_AUTHORS: usize = 64;
/// How far the clocks of those who record, pass on and keep may be apart: clinical systems are set by the minute.
pub const PROVENANCE_SKEW_SECONDS: i64 = 300;
/// How far the creation that a Provenance tells of may be from the one that the record states: dates without a time zone are
/// read as UTC, which is a day at most.
pub const PROVENANCE_CREATION_SECONDS: i64 = 86_400;
/// A C-CDA document, with what is embedded in it.
pub const DOCUMENT_BYTES: usize = 16 * 1024 * 1024;
/// Elements, attributes and texts of a C-CDA document: the largest of HL7's samples has 20 000.
pub const DOCUMENT_NODES: u32 = 1_000_000;
/// Nesting of a C-CDA document: sections of sections with tables stay below 40.
pub const DOCUMENT_DEPTH: usize = 128;
/// Attributes of one element of a document; those of CDA have a dozen.
pub const DOCUMENT_ATTRIBUTES: usize = 64;
/// Different prefixes that a document binds; those in use bind five.
pub const DOCUMENT_PREFIXES: usize = 32;
/// Authors of one document.
pub const DOCUMENT_AUTHORS: usize = 64;
/// Signatures verified for one page, each by the anchors of one source: a page of 100 records with two each. One takes
/// about a millisecond of a core with its chain (1.0 by ES256, 1.6 by RS256, in a build without optimisation); others that the core
/// serves wait for those of one record, and never for all.
pub const SIGNATURES_OF_A_PAGE: usize = 200;
/// Bytes that the signatures of one page are computed over: the page itself, and several times what is in it.
pub const SIGNED_BYTES_OF_A_PAGE: usize = 4 * ATTRIBUTED_PAGE_BYTES;
/// A registry of sources: thousands of organisations.
pub const REGISTRY_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Sources in a registry.
pub const REGISTRY_SOURCES: usize = 50_000;
/// A Bundle that `portcullis provenance` reads: the whole of one patient, documents included.
pub const PROVENANCE_FILE_BYTES: u64 = 256 * 1024 * 1024;

//! Target and query of a GET: what is understood is understood again from its own canonical spelling, asks the same as a
//! form, and leads to a request to the EHR that asks for no more.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;

use bytes::Bytes;
use http::{Request, Uri};
use portcullis::accept::{AcceptRules, Accepted, Arrival, Payload, accept};
use portcullis::fhir::name::Id;
use portcullis::fhir::search::{Criterion, ParameterKind};
use portcullis::fhir::subject;
use portcullis::id::{ExchangeId, Token128};
use portcullis::limits;
use portcullis::rewrite::rewrite;
use portcullis::understand::{Asked, Interaction, UnderstandError, understand};

use super::stage::{Decisions, get, now, post, setting, whole};

static RULES: LazyLock<AcceptRules> =
    LazyLock::new(|| AcceptRules::new(["gateway.example.org".to_owned()], "/fhir").unwrap());

static EVERYTHING: LazyLock<Decisions> = LazyLock::new(|| {
    let members = r#""patients":["p1","p2"],"types":{"*":{"elements":["*"]}},"withhold_labels":[],
        "includes":["Observation:performer","Provenance:target"]"#;
    Decisions::load([("payer-a", members)])
});

/// One target, as it stands in the request line.
pub fn run(data: &[u8]) {
    let Some(accepted) = accepted(data) else { return };
    let Ok(interaction) = understood(&accepted) else { return };
    let canonical = interaction.canonical();
    assert!(canonical.bytes().all(|byte| byte.is_ascii_graphic()), "{canonical:?}");
    let target = format!("/fhir/{canonical}");
    let again = match self::accepted(target.as_bytes()) {
        Some(again) => understood(&again),
        None if target.len() > limits::REQUEST_TARGET_BYTES => get(&canonical),
        None => panic!("{target} is not accepted"),
    };
    let again = again.unwrap_or_else(|error| panic!("{canonical}: {error}"));
    assert_eq!(whole(&again), whole(&interaction), "{canonical}");
    assert_eq!(again.canonical(), canonical);
    match &interaction {
        Interaction::Read(_) => {}
        Interaction::Search(_) => {
            let query = accepted.query().unwrap_or_default();
            let path: Vec<&str> = accepted.segments().chain(["_search"]).collect();
            for (query, form) in [(None, query), (Some(query), "")] {
                let asked = Asked { post: true, path: &path, query, form: Some(form.as_bytes()) };
                assert_eq!(understand(asked, setting()).as_ref().map(whole), Ok(whole(&interaction)));
            }
        }
        Interaction::Page(_) => panic!("a page link that was never made"),
    }
    narrowed(interaction);
}

fn accepted(target: &[u8]) -> Option<Accepted> {
    let uri = Uri::from_maybe_shared(Bytes::copy_from_slice(target)).ok()?;
    let request = Request::builder().uri(uri).header("host", "gateway.example.org").body(()).ok()?;
    let arrival = Arrival {
        parts: request.into_parts().0,
        body: Payload::Held(Bytes::new()),
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        certificate: None,
        tls: true,
        refused: None,
    };
    accept(arrival, &RULES, ExchangeId(Token128::from_bytes([1; 16])), now()).ok()
}

fn understood(accepted: &Accepted) -> Result<Interaction, UnderstandError> {
    let path: Vec<&str> = accepted.segments().collect();
    understand(Asked { post: false, path: &path, query: accepted.query(), form: None }, setting())
}

/// What the EHR is asked can be understood, names the permitted patient, and holds what the client asked. Dates may be
/// merged, and references to patients become the one parameter.
fn narrowed(interaction: Interaction) {
    let patients = [Id::parse("p1").unwrap()];
    let Some(permit) = EVERYTHING.permit("payer-a", &interaction, &patients) else { return };
    let resource_type = interaction.resource_type();
    let own = criteria(&interaction);
    let is_search = interaction.search().is_some();
    let Ok(prepared) = rewrite(interaction, permit, &patients) else { return };
    let target = format!("/fhir{}", prepared.target());
    let upstream = match prepared.form() {
        None => understood(&accepted(target.as_bytes()).expect("what is sent is one target")),
        Some(form) => post(resource_type.as_str(), None, form),
    };
    let upstream = upstream.unwrap_or_else(|error| panic!("{target}: {error}"));
    let asked = criteria(&upstream);
    for criterion in own {
        assert!(asked.contains(&criterion), "{target} lacks {criterion}");
    }
    if let Some(parameter) = subject::parameter(resource_type).filter(|_| is_search) {
        let search = upstream.search().expect("a search");
        let named = search.criteria().iter().find(|criterion| &*criterion.definition().name == parameter);
        let value = named.map(|criterion| criterion.value()).unwrap_or_default();
        assert!(["p1", "Patient/p1"].contains(&value.as_str()), "{target} is about {value:?}");
    }
}

/// All criteria but dates and references.
fn criteria(interaction: &Interaction) -> Vec<String> {
    let compared = |criterion: &&Criterion| {
        let definition = criterion.definition();
        &*definition.name != "_id" && !matches!(definition.kind, ParameterKind::Date | ParameterKind::Reference)
    };
    let criteria = interaction.search().map(|search| search.criteria()).unwrap_or_default();
    criteria.iter().filter(compared).map(ToString::to_string).collect()
}

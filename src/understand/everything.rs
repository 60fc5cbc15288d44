//! `Patient/[id]/$everything` (R4 Patient-everything): which reads and searches it stands for.
//!
//! Takes: the path of a request, and its query or the Parameters that were posted. Gives: the patient, the types and the time that it is about, and for each type
//! the search that asks the same. Guarantees: what it does not understand it refuses by its name, so that no record is
//! missing in silence. Refuses: `start` and `end`, because R4 leaves open which of a type's dates they mean; pages
//! (`_count`), because the answer is whole or none; types that are not a patient's own.

use super::interaction::Shape;
use super::query::{self, Pair, encode_pair, once, printable, shape_parameter};
use super::{Asked, UnderstandError};
use crate::fhir::date::Span;
use crate::fhir::json::{Tape, Value};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::search::SearchError;
use crate::fhir::subject;
use crate::limits;

/// Parameters of the operation in R4 that are not served.
const UNSERVED: &[&str] = &["_count", "end", "start"];

/// All about one patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Everything {
    patient: Id,
    /// Sorted; `None` is every type.
    types: Option<Vec<ResourceType>>,
    since: Option<Box<str>>,
}

/// Understands the operation; `None` where another thing is asked.
pub fn everything(asked: Asked<'_>) -> Option<Result<Everything, UnderstandError>> {
    match asked.path {
        ["Patient", id, "$everything"] => Some(read(id, asked)),
        _ => None,
    }
}

fn read(id: &str, asked: Asked<'_>) -> Result<Everything, UnderstandError> {
    let mut everything = Everything { patient: Id::parse(id)?, types: None, since: None };
    let mut pairs = query::decode(asked.query.unwrap_or_default())?;
    pairs.extend(posted(asked.form.unwrap_or_default())?);
    let mut seen = Vec::new();
    for (name, value) in pairs {
        match name.as_str() {
            "_type" => {
                let types = everything.types.get_or_insert_default();
                for name in value.split(',') {
                    types.push(own_type(name).ok_or(UnderstandError::Value("_type"))?);
                }
                types.sort_unstable();
                types.dedup();
            }
            "_since" => {
                once("_since", &mut seen)?;
                let instant = is_instant(&value).then_some(value).ok_or(UnderstandError::Value("_since"))?;
                everything.since = Some(instant.into());
            }
            "_format" | "_pretty" => {
                shape_parameter(&name, &value, &mut Shape::default(), &mut seen)?;
            }
            other => {
                let unserved = UNSERVED.iter().find(|unserved| **unserved == other);
                return Err(unserved.map_or_else(
                    || SearchError::Parameter(printable(other)).into(),
                    |unserved| UnderstandError::OperationParameter(unserved),
                ));
            }
        }
    }
    Ok(everything)
}

/// The parameters of a posted Parameters resource, each a name and one value that is a text.
fn posted(body: &[u8]) -> Result<Vec<Pair>, UnderstandError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let mut tape = Tape::new();
    let root = tape.read(body).map_err(|_| UnderstandError::OperationBody)?.root();
    let is_parameters = root.get("resourceType").and_then(Value::text).is_some_and(|name| name == "Parameters");
    let known = |member: &str| matches!(member, "resourceType" | "id" | "meta" | "parameter");
    if !is_parameters || root.members().any(|member| !known(member.name)) {
        return Err(UnderstandError::OperationBody);
    }
    let parameters: Vec<Value<'_>> = root.get("parameter").into_iter().flat_map(Value::items).collect();
    if parameters.len() > limits::SEARCH_PARAMETERS {
        return Err(UnderstandError::Parameters);
    }
    let pair = |parameter: Value<'_>| {
        let name = parameter.get("name").and_then(Value::text)?;
        let mut others = parameter.members().filter(|member| member.name != "name");
        let value = others.next().filter(|member| member.name.starts_with("value"))?.value.text()?;
        others.next().is_none().then(|| (name.into_owned(), value.into_owned()))
    };
    parameters.into_iter().map(pair).collect::<Option<_>>().ok_or(UnderstandError::OperationBody)
}

/// A type whose records are a patient's.
fn own_type(name: &str) -> Option<ResourceType> {
    ResourceType::parse(name).ok().filter(|resource_type| subject::parameter(*resource_type).is_some())
}

/// A time to the second, with its zone (R4 `instant`).
fn is_instant(text: &str) -> bool {
    let clock = text.split_once('T').map(|(_, clock)| clock).unwrap_or_default();
    clock.split(':').count() >= 3 && clock.contains(['Z', '+', '-']) && Span::parse(text).is_some()
}

impl Everything {
    /// The patient.
    pub fn patient(&self) -> &Id {
        &self.patient
    }

    /// The types that it is about, those that were named or all whose records are a patient's.
    pub fn types(&self) -> Vec<ResourceType> {
        let own = || ResourceType::all().filter(|resource_type| subject::parameter(*resource_type).is_some()).collect();
        self.types.clone().unwrap_or_else(own)
    }

    /// Whether the Patient is in the answer as it is read, and not only if a search finds it.
    pub fn shows_patient(&self) -> bool {
        let named = |types: &Vec<ResourceType>| types.iter().any(|resource_type| subject::is_by_id(*resource_type));
        self.since.is_none() && self.types.as_ref().is_none_or(named)
    }

    /// The path of the read of the patient.
    pub fn read_path(&self) -> [&str; 2] {
        ["Patient", self.patient.as_str()]
    }

    /// The path of the search for one type, in the patient's compartment.
    pub fn search_path(&self, resource_type: ResourceType) -> [&str; 3] {
        ["Patient", self.patient.as_str(), resource_type.as_str()]
    }

    /// The query of each of the searches, where they have one.
    pub fn search_query(&self) -> Option<String> {
        self.since.as_ref().map(|since| {
            let mut query = String::new();
            encode_pair("_lastUpdated", &format!("gt{since}"), &mut query);
            query
        })
    }

    /// The request in one canonical spelling, relative to the base.
    pub fn canonical(&self) -> String {
        let mut query = String::new();
        if let Some(types) = &self.types {
            let names: Vec<&str> = types.iter().map(|resource_type| resource_type.as_str()).collect();
            encode_pair("_type", &names.join(","), &mut query);
        }
        if let Some(since) = &self.since {
            encode_pair("_since", since, &mut query);
        }
        let mark = if query.is_empty() { "" } else { "?" };
        format!("Patient/{}/$everything{mark}{query}", self.patient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> Option<Result<Everything, UnderstandError>> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let path: Vec<&str> = path.split('/').collect();
        everything(Asked { post: false, path: &path, query, form: None })
    }

    #[test]
    fn it_is_the_searches_of_the_types_whose_records_are_a_patients() {
        let all = get("Patient/p1/$everything").unwrap().unwrap();
        let types = all.types();
        let names: Vec<&str> = types.iter().map(|resource_type| resource_type.as_str()).collect();
        for own in ["Patient", "Observation", "Encounter", "Coverage", "ExplanationOfBenefit"] {
            assert!(names.contains(&own), "{own}");
        }
        for other in ["Practitioner", "Provenance", "Binary", "Group", "Organization"] {
            assert!(!names.contains(&other), "{other}");
        }
        assert!(all.shows_patient() && all.search_query().is_none());
        assert!(types.len() < limits::EVERYTHING_PARTS, "{}", types.len());
        let some = get(
            "Patient/p1/$everything?_type=Observation,Condition&_type=Observation&_since=2024-01-01T00:00:00%2B01:00&_format=json",
        );
        let some = some.unwrap().unwrap();
        assert_eq!(
            some.canonical(),
            "Patient/p1/$everything?_type=Condition,Observation&_since=2024-01-01T00:00:00%2B01:00"
        );
        assert_eq!(some.search_query().unwrap(), "_lastUpdated=gt2024-01-01T00:00:00%2B01:00");
        assert_eq!(get(&some.canonical()).unwrap().unwrap(), some);
        assert!(
            !some.shows_patient() && !get("Patient/p1/$everything?_type=Observation").unwrap().unwrap().shows_patient()
        );
    }

    #[test]
    fn what_is_posted_is_the_same_question() {
        let post = |query, body: &str| {
            let path = ["Patient", "p1", "$everything"];
            everything(Asked { post: true, path: &path, query, form: Some(body.as_bytes()) }).unwrap()
        };
        let asked =
            get("Patient/p1/$everything?_type=Observation,Condition&_since=2024-01-01T00:00:00Z").unwrap().unwrap();
        let body = r#"{"resourceType":"Parameters","id":"x","parameter":[{"name":"_type","valueCode":"Condition"},{"name":"_type","valueString":"Observation"},{"name":"_since","valueInstant":"2024-01-01T00:00:00Z"}]}"#;
        assert_eq!(post(None, body).unwrap(), asked);
        let since =
            r#"{"resourceType":"Parameters","parameter":[{"name":"_since","valueInstant":"2024-01-01T00:00:00Z"}]}"#;
        assert_eq!(post(Some("_type=Observation,Condition"), since).unwrap(), asked);
        let all = get("Patient/p1/$everything").unwrap().unwrap();
        assert_eq!(post(None, "").unwrap(), all);
        assert_eq!(post(None, r#"{"resourceType":"Parameters"}"#).unwrap(), all);
        for body in [
            "x",
            "{}",
            r#"{"resourceType":"Patient"}"#,
            r#"{"resourceType":"Parameters","more":1}"#,
            r#"{"resourceType":"Parameters","parameter":[{"name":"_type"}]}"#,
            r#"{"resourceType":"Parameters","parameter":[{"name":"_type","resource":{"resourceType":"Patient"}}]}"#,
            r#"{"resourceType":"Parameters","parameter":[{"name":"_type","valueCode":"Condition","extension":[]}]}"#,
            r#"{"resourceType":"Parameters","parameter":[{"valueCode":"Condition"}]}"#,
        ] {
            assert_eq!(post(None, body).unwrap_err(), UnderstandError::OperationBody, "{body}");
        }
        let start = r#"{"resourceType":"Parameters","parameter":[{"name":"start","valueDate":"2024-01-01"}]}"#;
        assert_eq!(post(None, start).unwrap_err(), UnderstandError::OperationParameter("start"));
    }

    #[test]
    fn what_is_not_served_is_refused_by_its_name() {
        use UnderstandError as E;
        for (target, error) in [
            ("Patient/p_1/$everything", E::LogicalId),
            ("Patient/p1/$everything?start=2024-01-01", E::OperationParameter("start")),
            ("Patient/p1/$everything?end=2024-01-01", E::OperationParameter("end")),
            ("Patient/p1/$everything?_count=10", E::OperationParameter("_count")),
            ("Patient/p1/$everything?_type=Practitioner", E::Value("_type")),
            ("Patient/p1/$everything?_type=Provenance", E::Value("_type")),
            ("Patient/p1/$everything?_type=", E::Value("_type")),
            ("Patient/p1/$everything?_since=2024", E::Value("_since")),
            ("Patient/p1/$everything?_since=2024-01-01T00:00:00", E::Value("_since")),
            ("Patient/p1/$everything?_since=2024-01-01T00:00Z", E::Value("_since")),
            ("Patient/p1/$everything?_since=ge2024-01-01T00:00:00Z", E::Value("_since")),
            ("Patient/p1/$everything?_format=xml", E::Format),
            ("Patient/p1/$everything?code=x", E::Search(SearchError::Parameter("code".into()))),
            ("Patient/p1/$everything?_since=2024-01-01T00:00:00Z&_since=2024-01-01T00:00:00Z", E::Repeated("_since")),
        ] {
            assert_eq!(get(target).unwrap().unwrap_err(), error, "{target}");
        }
        for other in
            ["Patient/$everything", "Encounter/e1/$everything", "Patient/p1/Observation/$everything", "$everything"]
        {
            assert!(get(other).is_none(), "{other}");
        }
    }
}

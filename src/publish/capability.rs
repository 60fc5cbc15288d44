//! The CapabilityStatement: what the EHR offers, as far as the gateway understands it (R4 5.4).

use serde_json::{Value as Json, json};

use super::{Document, Media};
use crate::fhir::json::{Tape, Value};
use crate::fhir::name::ResourceType;
use crate::fhir::search::{ParameterKind, lookup};
use crate::fhir::subject;
use crate::filter::FilterError;

/// The extension that names OAuth endpoints in a CapabilityStatement (SMART App Launch 1.0; deprecated, still read).
const OAUTH_URIS: &str = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris";

/// R4's definition of what is served as `Patient/[id]/$everything`.
const EVERYTHING: &str = "http://hl7.org/fhir/OperationDefinition/Patient-everything";

/// Search parameters of the EHR that the gateway does not offer, although it can evaluate them.
const WITHHELD: &[&str] = &["_security", "_source"];

/// The gateway's statement, made from the EHR's: the same resource types with the interactions, search parameters
/// and includes that the gateway understands.
pub fn capability_statement(
    of_ehr: &[u8],
    base: &str,
    date: &str,
    token_endpoint: Option<&str>,
) -> Result<Document, FilterError> {
    let mut tape = Tape::new();
    let root = tape.read(of_ehr)?.root();
    if root.get("resourceType").and_then(Value::text).is_none_or(|name| name != "CapabilityStatement") {
        return Err(FilterError::Mismatch);
    }
    let server = root.get("rest").into_iter().flat_map(Value::items).find(|rest| is(rest.get("mode"), "server"));
    let mut resources: Vec<Json> = server
        .and_then(|server| server.get("resource"))
        .into_iter()
        .flat_map(Value::items)
        .filter_map(resource)
        .collect();
    resources.sort_by_key(|resource| resource["type"].as_str().unwrap_or_default().to_owned());
    let mut rest = json!({
        "mode": "server",
        "documentation": "Searches are narrowed to what the policy permits the client; what is withheld looks absent.",
        "security": security(token_endpoint),
        "interaction": [{ "code": "batch" }],
    });
    if !resources.is_empty() {
        set(&mut rest, "resource", Json::Array(resources));
    }
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": { "name": "Portcullis", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "FHIR R4 gateway", "url": base },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [rest],
    });
    Ok(Document { media: Media::FhirJson, bytes: statement.to_string().into() })
}

fn set(object: &mut Json, name: &str, value: Json) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

fn is(value: Option<Value<'_>>, text: &str) -> bool {
    value.and_then(Value::text).is_some_and(|have| have == text)
}

fn security(token_endpoint: Option<&str>) -> Json {
    let mut security = json!({
        "cors": false,
        "service": [{
            "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR" }],
            "text": "OAuth 2.0 bearer tokens, SMART Backend Services",
        }],
    });
    if let Some(token) = token_endpoint {
        set(
            &mut security,
            "extension",
            json!([{ "url": OAUTH_URIS, "extension": [{ "url": "token", "valueUri": token }] }]),
        );
    }
    security
}

fn resource(offered: Value<'_>) -> Option<Json> {
    let name = offered.get("type")?.text()?;
    let resource_type = ResourceType::parse(&name).ok().filter(|one| !subject::is_about_many(*one))?;
    let has =
        |code: &str| offered.get("interaction").into_iter().flat_map(Value::items).any(|one| is(one.get("code"), code));
    let interactions: Vec<Json> =
        ["read", "search-type"].into_iter().filter(|code| has(code)).map(|code| json!({ "code": code })).collect();
    if interactions.is_empty() {
        return None;
    }
    let mut resource = json!({ "type": name, "interaction": interactions });
    if has("read") {
        set(&mut resource, "conditionalRead", json!("not-match"));
    }
    if has("read") && subject::is_by_id(resource_type) {
        set(&mut resource, "operation", json!([{ "name": "everything", "definition": EVERYTHING }]));
    }
    let parameters: Vec<Json> = offered
        .get("searchParam")
        .into_iter()
        .flat_map(Value::items)
        .filter_map(|one| parameter(resource_type, one))
        .collect();
    if has("search-type") && !parameters.is_empty() {
        set(&mut resource, "searchParam", Json::Array(parameters));
    }
    let includes: Vec<Json> = offered
        .get("searchRevInclude")
        .into_iter()
        .flat_map(Value::items)
        .filter(|one| is(Some(*one), "Provenance:target"))
        .map(|_| json!("Provenance:target"))
        .take(1)
        .collect();
    if !includes.is_empty() {
        set(&mut resource, "searchRevInclude", Json::Array(includes));
    }
    Some(resource)
}

fn parameter(resource_type: ResourceType, offered: Value<'_>) -> Option<Json> {
    let name = offered.get("name")?.text()?;
    let definition = lookup(resource_type, &name).filter(|_| !WITHHELD.contains(&&*name))?;
    let kind = match definition.kind {
        ParameterKind::Date => "date",
        ParameterKind::Number => "number",
        ParameterKind::Quantity => "quantity",
        ParameterKind::Canonical | ParameterKind::Reference => "reference",
        ParameterKind::String => "string",
        ParameterKind::Token => "token",
        ParameterKind::Uri => "uri",
    };
    Some(json!({ "name": name, "type": kind }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_what_both_understand_and_nothing_of_the_ehrs_own() {
        let of_ehr = r#"{"resourceType":"CapabilityStatement","software":{"name":"SECRET"},"implementation":{"url":"http://ehr/fhir"},
            "rest":[{"mode":"server","interaction":[{"code":"transaction"}],"operation":[{"name":"SECRET"}],"resource":[
              {"type":"Observation","interaction":[{"code":"read"},{"code":"search-type"},{"code":"delete"}],"searchParam":[
                {"name":"patient","type":"reference"},{"name":"_security","type":"token"},{"name":"code-value-date","type":"composite"},{"name":"SECRET","type":"token"}],
               "searchRevInclude":["*","Provenance:target"]},
              {"type":"Patient","interaction":[{"code":"read"}],"operation":[{"name":"SECRET"}]},
              {"type":"Binary","interaction":[{"code":"read"}]},{"type":"Condition","interaction":[{"code":"create"}]},{"type":"SECRET","interaction":[{"code":"read"}]}]}]}"#;
        let document = capability_statement(
            of_ehr.as_bytes(),
            "https://gw/fhir",
            "2026-01-01T00:00:00.000Z",
            Some("https://as/token"),
        )
        .unwrap();
        let text = String::from_utf8(document.bytes().to_vec()).unwrap();
        assert!(!text.contains("SECRET") && !text.contains("http://ehr") && !text.contains("delete"), "{text}");
        let statement: Json = serde_json::from_str(&text).unwrap();
        let expected = json!([{"type":"Observation","conditionalRead":"not-match","interaction":[{"code":"read"},{"code":"search-type"}],
            "searchParam":[{"name":"patient","type":"reference"}],"searchRevInclude":["Provenance:target"]},
            {"type":"Patient","conditionalRead":"not-match","interaction":[{"code":"read"}],
            "operation":[{"name":"everything","definition":"http://hl7.org/fhir/OperationDefinition/Patient-everything"}]}]);
        assert_eq!(statement["rest"][0]["resource"], expected);
        assert!(text.contains(r#""valueUri":"https://as/token""#));
        assert!(capability_statement(br#"{"resourceType":"Bundle"}"#, "", "", None).is_err());
    }
}

//! Media types: JSON under every name that clients in the field use.

/// Names of JSON in `Accept`, `_format` and `Content-Type` (R4 2.21.0.6, and the legacy `application/json+fhir`).
const JSON: &[&str] =
    &["application/fhir+json", "application/json", "application/json+fhir", "text/json", "application/*", "*/*"];

/// Whether `Accept` leaves JSON possible: some alternative with a quality above zero names it. No header is `*/*`.
pub fn accepts_json(accept: Option<&str>) -> bool {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return true };
    accept.split(',').any(|alternative| {
        let mut parts = alternative.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts.any(|part| {
            let quality = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            quality.is_some_and(|quality| quality.trim_end_matches(['0', '.']).is_empty())
        });
        JSON.contains(&name.as_str()) && !refused
    })
}

/// Whether `_format` asks for JSON.
pub(super) fn is_json_format(value: &str) -> bool {
    let name = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    name == "json" || JSON.iter().take(4).any(|json| *json == name)
}

/// Whether a content type is FHIR JSON in UTF-8.
pub fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let utf8 = parts.filter_map(|part| part.split_once('=')).all(|(key, value)| {
        !key.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    utf8 && JSON.iter().take(3).any(|json| *json == name)
}

/// Whether a content type is a form whose bytes can be read as UTF-8. `Some(true)` where only ASCII is common ground
/// between the stated charset and UTF-8; `None` where it is no such form.
pub fn is_form(content_type: &str) -> Option<bool> {
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let mut ascii_only = false;
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("charset") {
            continue;
        }
        match value.trim().trim_matches('"').to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => {}
            "us-ascii" | "ascii" | "iso-8859-1" | "iso-8859-15" | "windows-1252" => ascii_only = true,
            _ => return None,
        }
    }
    Some(ascii_only)
}

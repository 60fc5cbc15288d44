//! Policy packs that are broken in the ways that faults name, in the words of this gateway.
//!
//! A pack of the corpus looks at resources. A policy of this gateway looks at the request and states what of the answer
//! may leave, so each pack does to the request what the corpus does to a resource. A pack comes in several spellings, and
//! each of them must be held: some are not admitted when they are loaded, some are, and fail when they decide.

use crate::attack::members::Members as _;
use serde_json::{Value as Json, json};

const POLICY: &str = include_str!("decision.rego");

/// One spelling of a pack.
#[derive(Clone, Debug)]
pub(crate) struct Pack {
    pub(crate) policy: String,
    /// Data files beside the grants, by name.
    pub(crate) files: Vec<(&'static str, String)>,
    /// Without the grant's labels and constraints: what the pack fails to deny is released, and seen.
    pub(crate) is_open: bool,
}

/// The spellings of a pack; `None` for one that is not known.
pub(crate) fn named(name: &str, attacker: &str) -> Option<Vec<Pack>> {
    let shared = |conditions: &str, rules: &str| within(conditions, rules, Vec::new(), false);
    Some(match name {
        "nested_loop_1e12" => {
            let loops = "count([1 | some a in data.numbers; some b in data.numbers; some c in data.numbers; \
                         some d in data.numbers; a + b + c + d < 0]) == 0";
            let numbers = json!({"numbers": (0..1_000).collect::<Vec<u32>>()}).to_string();
            let only = format!("input.client.id == \"payer-a\"\n\t{loops}");
            let files = vec![("numbers.json", numbers)];
            vec![within(loops, "", files.clone(), false)?, within(&only, "", files, false)?]
        }
        "decision_undefined" => {
            vec![whole("decision := {\"allow\": true} if input.client.id == \"nobody\"")]
        }
        "decision_is_string_true" => [
            "decision := \"true\"",
            "default decision := \"true\"",
            "default decision := 1",
            "default decision := {}",
            "default decision := \"x\"\n\ndecision := \"true\" if input.client.id == \"payer-a\"",
            "default decision := false\n\ndecision := true if input.client.id == \"payer-a\"",
            "default decision := {}\n\ndecision := {\"allow\": \"true\"} if input.client.id == \"payer-a\"",
            "default decision := {}\n\ndecision := {\"allow\": true} if input.client.id == \"payer-a\"\n\n\
             decision := {\"allow\": false} if input.client.purpose == \"HPAYMT\"",
        ]
        .into_iter()
        .map(whole)
        .collect(),
        "regex_on_code_param" => {
            let rule = format!(
                "{RISKY}\tparameter.name == \"code\"\n\tsome value in parameter.values\n\tregex.match(`^(a+)+$`, value.code)\n}}"
            );
            vec![shared("not risky", &rule)?]
        }
        "deny_rule_uses_time_parse_rfc3339_on_effective" => {
            let rule = |condition: &str| {
                format!(
                    "{RISKY}\tsome value in parameter.values\n\ttext := object.get(value, \"code\", \"2024-13-45T99:99:99Z\")\n\t{condition}\n}}"
                )
            };
            vec![
                within("not risky", &rule("time.parse_rfc3339_ns(text) > 0"), Vec::new(), true)?,
                within("not risky", &rule("to_number(text) > 0"), Vec::new(), true)?,
            ]
        }
        "arithmetic_on_value" => {
            let sums = "sums := [sum | some parameter in input.request.parameters; some value in parameter.values; \
                        sum := to_number(value.text) + 1]\n\tcount(sums) >= 0";
            vec![shared(sums, "")?]
        }
        "count_modulo" => {
            vec![
                shared("10 % count(input.request.elements) >= 0", "")?,
                shared("not risky", &format!("{RISKY}\t10 % count(input.request.elements) == 0\n}}"))?,
            ]
        }
        "walk_input" => vec![shared("count([1 | walk(input, [_, _])]) > 0", "")?],
        "http_send_to_attacker" => {
            let send = format!("http.send({{\"method\": \"GET\", \"url\": \"http://{attacker}/\"}}).status_code != 0");
            vec![shared(&send, "")?, shared(&format!("input.client.id == \"payer-a\"\n\t{send}"), "")?]
        }
        _ => return None,
    })
}

/// A policy that no parser takes.
pub(crate) const CORRUPT: &str = "package portcullis\n\ndefault decision := {\"allow\": tru";

const RISKY: &str = "risky if {\n\tsome parameter in input.request.parameters\n";

/// The suite's own policy with a further condition and further rules.
fn within(condition: &str, rules: &str, files: Vec<(&'static str, String)>, is_open: bool) -> Option<Pack> {
    let place = "\tcovers(grant)\n";
    let policy = POLICY.replacen(place, &format!("{place}\t{condition}\n"), 1);
    (policy != POLICY).then(|| Pack { policy: format!("{policy}\n{rules}\n"), files, is_open })
}

fn whole(rules: &str) -> Pack {
    Pack { policy: format!("package portcullis\n\n{rules}\n"), files: Vec::new(), is_open: false }
}

/// A grant that withholds nothing by label or constraint.
pub(crate) fn opened(grant: &Json) -> Json {
    let mut grant = grant.clone();
    grant.set("withhold_labels", json!([]));
    for (_, rule) in grant.object_at(&["types"]).into_iter().flatten() {
        if let Some(rule) = rule.as_object_mut() {
            rule.remove("where");
        }
    }
    grant
}

//! What holds for every case, whether it says so or not (section 5 of the corpus' README).

use serde_json::json;

use super::{Findings, Seen, judge};

/// Which invariants can be asked of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// The client is the one to whom every canary is forbidden.
    pub(crate) canaries: bool,
    /// The gateway is alive and writes its log.
    pub(crate) is_undisturbed: bool,
    /// There is a gateway, and its requests can be counted.
    pub(crate) is_counted: bool,
}

/// What is wrong with a run by the invariants.
pub(crate) fn invariants(seen: &Seen, scope: Scope) -> Findings {
    let mut findings = Findings::default();
    // I1: no canary. I4: nothing of the EHR, neither its host nor its cookie nor its software.
    let mut forbidden = vec![seen.upstream_host.clone()];
    if scope.canaries {
        forbidden.push("SECRET-".to_owned());
    } else {
        forbidden.extend(["SECRET-EHR".to_owned(), "SECRET-SESSION".to_owned()]);
    }
    findings.add(judge(&json!({ "body_lacks": forbidden }), seen));
    let mut must = |holds: bool, text: &str| {
        if !holds {
            findings.add(Findings::failed(text));
        }
    };
    // I2
    must(seen.alive || !scope.is_undisturbed, "no healthy answer afterwards");
    // I3
    if scope.is_counted {
        let records = seen.all_records.len();
        let least = seen.answered + seen.aborted;
        let most = seen.answered + seen.unanswered;
        must(
            (least..=most).contains(&records),
            &format!(
                "{records} audit records of {} answered and {} unanswered requests",
                seen.answered, seen.unanswered
            ),
        );
    }
    must(seen.log_findings.is_empty(), &format!("the log: {}", seen.log_findings.join("; ")));
    // I4
    for secret in &seen.secrets {
        let told = seen.upstream.iter().any(|request| {
            request.headers.iter().any(|(_, value)| value.contains(secret)) || request.target.contains(secret)
        });
        must(!told, "the client's credential reached the EHR");
    }
    // I5
    must(seen.attacker_hits == 0, "it connects to a stranger");
    findings
}

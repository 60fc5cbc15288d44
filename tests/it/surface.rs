//! The table of `SURFACE.md` is what the gateway does, line by line.

use crate::support::{Answer, Payer, Policy, clinic, gateway, permitting};

const TABLE: &str = include_str!("../../SURFACE.md");

/// One line of the table.
#[derive(Debug)]
struct Line {
    request: Vec<String>,
    status: u16,
    holds: Vec<String>,
    matches: Option<usize>,
    included: Option<usize>,
}

/// The texts between back-ticks.
fn spans(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The number before a word, outside of back-ticks.
fn number(cell: &str, word: &str) -> Option<usize> {
    let plain: String = cell.split('`').step_by(2).collect();
    let words: Vec<&str> = plain.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|have| *have == word)?;
    Some(words[at - 1].parse().expect("a number"))
}

fn lines() -> Vec<Line> {
    let (_, rest) = TABLE.split_once("<!-- surface -->\n").expect("the table");
    let (table, _) = rest.split_once("<!-- /surface -->").expect("the end of the table");
    let mut lines = Vec::new();
    for line in table.lines().skip(2).filter(|line| !line.starts_with("| **")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        assert_eq!(cells.len(), 3, "{line}");
        assert!(cells[2].len() > 4, "why? {line}");
        let mut holds = spans(cells[1]);
        lines.push(Line {
            request: spans(cells[0]),
            status: holds.remove(0).parse().expect("a status"),
            holds,
            matches: number(cells[1], "matches"),
            included: number(cells[1], "included"),
        });
    }
    lines
}

/// A header is `Name: value`; a body is a JSON document or a form.
fn is_header(span: &str) -> bool {
    span.split_once(": ").is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-'))
}

fn send(payer: &Payer, line: &Line) -> Answer {
    let (method, target) = line.request[0].split_once(' ').expect("method and target");
    let mut ask = payer.ask(method, if target == "/" { "" } else { target });
    for span in &line.request[1..] {
        ask = match span.split_once(": ").filter(|_| is_header(span)) {
            Some((name, value)) => ask.header(&name.to_lowercase(), value),
            None if span.starts_with(['{', '[']) => ask.header("content-type", "application/fhir+json").body(span),
            None => ask.header("content-type", "application/x-www-form-urlencoded").body(span),
        };
    }
    ask.send()
}

/// Everything of the patient who is asked about, but of the Patient itself only a part.
fn contract() -> Policy {
    permitting(
        r#""types": {"*": {"elements": ["*"]}, "Patient": {"elements": ["name", "gender", "birthDate"]}},
           "includes": ["Observation:performer", "Provenance:target"]"#,
    )
}

#[test]
fn the_table_is_what_happens() {
    let ehr = clinic();
    let gateway = gateway().with_policy(contract()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let lines = lines();
    assert!(lines.len() > 80, "{}", lines.len());
    let mut wrong = Vec::new();
    for line in &lines {
        ehr.reset();
        let answer = send(&payer, line);
        let request = line.request.join(" ");
        if answer.text().contains("batch-response") {
            // Its entries have records of their own.
            let entries = answer.json()["entry"].as_array().cloned().unwrap_or_default();
            entries.iter().for_each(|entry| payer.answered(entry["id"].as_str().expect("an id")));
        }
        if answer.status() != line.status {
            wrong.push(format!("{request}: {} {}", answer.status(), answer.text()));
            continue;
        }
        if line.status >= 400 {
            let refusal = answer.refusal();
            for named in &line.holds {
                if !refusal.text.contains(named) && refusal.code != *named {
                    wrong.push(format!("{request}: does not name {named}: {}", refusal.text));
                }
            }
            if matches!(line.status, 400 | 405 | 406) && !ehr.requests().is_empty() {
                wrong.push(format!("{request}: the EHR heard of it"));
            }
            continue;
        }
        for text in &line.holds {
            if !answer.text().contains(text) {
                wrong.push(format!("{request}: without {text}: {}", answer.text()));
            }
        }
        if line.matches.is_some() || line.included.is_some() {
            let found = answer.searchset();
            let counts = (found.matches().len(), found.included().len());
            if line.matches.is_some_and(|expected| expected != counts.0)
                || line.included.is_some_and(|expected| expected != counts.1)
            {
                wrong.push(format!("{request}: {counts:?} {:?}", found.names()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_refusal_of_the_table_names_something() {
    for line in lines() {
        let names_nothing = line.holds.is_empty() && line.matches.is_none();
        assert!(line.status < 400 || !names_nothing, "{line:?}");
    }
}

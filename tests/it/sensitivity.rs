//! Records without labels are labelled by the lists that come with the policies.

use crate::support::{Policy, clinic, gateway, permitting};

const HIV: &str = r#""withhold_labels": ["http://terminology.hl7.org/CodeSystem/v3-ActCode|HIV"]"#;

fn with_list(lines: &str) -> Policy {
    let mut policy = permitting(HIV);
    policy.files.push(("sensitivity/list.csv".to_owned(), format!("label,system,code,text\n{lines}\n")));
    policy
}

#[test]
fn a_list_withholds_and_the_record_says_whose_label_it_was() {
    let ehr = clinic();
    let gateway = gateway().with_policy(permitting(HIV)).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let asked = "/Observation?patient=maren&code=http://loinc.org|4548-4&_total=accurate";
    let before = payer.search(asked).entries.len();
    assert!(before > 0);
    let first = gateway.reload(&with_list("HIV,http://loinc.org,4548-4,an invented reason")).unwrap();
    let answer = payer.get(asked);
    assert!(answer.searchset().entries.is_empty());
    let log = gateway.log();
    let record = log.exchange(answer.header("x-request-id"));
    let withheld = &record.counts.as_ref().unwrap().withheld;
    assert_eq!(withheld.get("computed-label"), Some(&(before as u64)), "{withheld:?}");
    assert_eq!(withheld.get("label"), None);
    let second = gateway.reload(&with_list("SUD,http://loinc.org,4548-4,an invented reason")).unwrap();
    assert_ne!(first, second, "a list is part of the revision");
    assert_eq!(payer.search(asked).entries.len(), before, "a label that is not withheld");
    gateway.reload(&with_list("HIV,http://loinc.org,,nothing")).unwrap_err();
    assert_eq!(payer.search(asked).entries.len(), before, "a bad list leaves the good one in force");
}

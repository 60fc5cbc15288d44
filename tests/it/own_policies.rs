//! The attack suite on a site's own policies: what it demands holds under any of them, and an open door fails it all the same.

use std::path::PathBuf;

use portcullis::attack::{self, Options, OwnPolicies, Report, Settings};

use crate::support::{Policy, clinic, everything, gateway, starter};

/// A few of every kind: by query, by path, by token, by what the EHR sends, and what is on record.
const ONLY: [&str; 8] = ["A1-0", "A2-01", "A7-01", "B1-0", "D1-0", "J-01", "Y-0", "Z-01"];

/// Plays the attacks on a policy; gives the report, and all that was written.
fn attacked(policy: Policy, open_door: bool) -> (Report, String) {
    let ehr = clinic();
    let (folder, config) = gateway().with_policy(policy).configured(&ehr).unwrap();
    let own_policies = Some(OwnPolicies::of(&config));
    let options = Options {
        program: PathBuf::from(env!("CARGO_BIN_EXE_portcullis")),
        folder: folder.path().to_owned(),
        only: ONLY.map(ToOwned::to_owned).to_vec(),
        open_door,
        settings: Settings { own_policies, ..Settings::of(&config) },
        ..Options::default()
    };
    let mut out = Vec::new();
    let report = attack::run(&options, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap() + &report.to_string();
    (report, text)
}

/// Requests that were permitted, all of them, and resources that were released.
#[track_caller]
fn permitted(text: &str) -> [u64; 3] {
    let line =
        text.lines().find(|line| line.starts_with("your policies permitted")).unwrap_or_else(|| panic!("{text}"));
    let mut numbers = line.split(' ').filter_map(|word| word.parse().ok());
    std::array::from_fn(|_| numbers.next().unwrap())
}

#[test]
fn what_is_demanded_holds_under_policies_that_release_little_and_all() {
    for (policy, releases) in [(starter(), false), (everything(), true)] {
        let (report, text) = attacked(policy, false);
        assert!(report.is_clean(), "{text}");
        let [permitted, requests, released] = permitted(&text);
        assert!(requests > 10 && permitted <= requests, "{text}");
        assert_eq!(permitted > 0 && released > 0, releases, "{text}");
        assert!(text.contains("cases are not applicable") && !text.contains("\n0 cases are not applicable"), "{text}");
    }
}

#[test]
fn an_open_door_fails_what_holds_under_any_policy() {
    let (report, text) = attacked(everything(), true);
    let (passed, failed, _) = report.totals();
    assert!(failed > passed, "{text}");
}

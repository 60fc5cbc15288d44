//! Rosters: what is read, found and refused.

use std::fmt::Write;

use jiff::civil::date;

use super::*;
use crate::decide::testing::Folder;

const FILE: &str = "patient,roster,member_id,start,end\n\
    p2,payer-a,M2,2024-01-01,2024-12-31\n\
    p1,payer-a,M1,2024-01-01,\n\
    p1,payer-b,B1,,2023-12-31\n\
    p10,payer-a,M10,,\n\
    p2,payer-a,M2b,2025-02-01,\n\
    p3,payer-b,M1,,\n";

fn roster() -> Roster {
    Roster::read(FILE.as_bytes()).unwrap()
}

fn id(text: &str) -> Id {
    Id::parse(text).unwrap()
}

#[test]
fn memberships_hold_from_the_first_to_the_last_day() {
    let roster = roster();
    for (name, patient, day, member) in [
        ("payer-a", "p2", date(2023, 12, 31), false),
        ("payer-a", "p2", date(2024, 1, 1), true),
        ("payer-a", "p2", date(2024, 12, 31), true),
        ("payer-a", "p2", date(2025, 1, 1), false),
        ("payer-a", "p2", date(2025, 2, 1), true),
        ("payer-a", "p1", date(2099, 1, 1), true),
        ("payer-b", "p1", date(2023, 12, 31), true),
        ("payer-b", "p1", date(2024, 1, 1), false),
        ("payer-a", "p10", date(1900, 1, 1), true),
        ("payer-a", "p", date(2024, 6, 1), false),
        ("payer-a", "p11", date(2024, 6, 1), false),
        ("payer-c", "p1", date(2024, 6, 1), false),
        ("payer", "p1", date(2024, 6, 1), false),
    ] {
        assert_eq!(roster.is_member(name, &id(patient), day), member, "{name} {patient} {day}");
        let stays = roster.memberships(&id(patient));
        let any = stays.iter().any(|stay| &*stay.roster == name && stay.holds_on(day));
        assert_eq!(any, member, "{name} {patient} {day}");
    }
    assert_eq!(roster.memberships(&id("p1")).len(), 2);
    assert_eq!(roster.len(), 6);
    assert!(roster.has("payer-b") && !roster.has("payer-c"));
}

#[test]
fn member_ids_are_found_on_their_own_roster() {
    let roster = roster();
    assert_eq!(roster.by_member_id("payer-a", "M1"), [id("p1")]);
    assert_eq!(roster.by_member_id("payer-b", "M1"), [id("p3")]);
    assert_eq!(roster.by_member_id("payer-a", "M2b"), [id("p2")]);
    for (name, member) in [("payer-a", "B1"), ("payer-a", "M"), ("payer-a", ""), ("payer-c", "M1")] {
        assert_eq!(roster.by_member_id(name, member), [], "{name} {member}");
    }
}

#[test]
fn one_bad_line_refuses_the_file_by_its_number() {
    let read = |text: &str| Roster::read(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
    assert!(read("").starts_with("line 1"));
    assert!(read("patient,roster,member,start,end\n").starts_with("line 1"));
    for bad in [
        "p1,payer-a,M1,2024-01-01",
        "p1,payer-a,M1,2024-01-01,,",
        "\"p1\",payer-a,M1,,",
        "p1,payer-a,\"M1\",,",
        "Patient/p1,payer-a,M1,,",
        "p1,,M1,,",
        "p1,payer-a,,,",
        "p1, payer-a,M1,,",
        "p1,payer-a,M1,2024-02-30,",
        "p1,payer-a,M1,2024,",
        "p1,payer-a,M1,20240101,",
        "p1,payer-a,M1,2024-01-01T00:00,",
        "p1,payer-a,M1,2024-01-02,2024-01-01",
        "",
    ] {
        let message = read(&format!("{HEADER}\np0,payer-a,M0,,\n{bad}\np9,payer-a,M9,,\n"));
        assert!(message.starts_with("line 3: "), "{bad}: {message}");
        assert!(!message.contains("M1"), "{message}");
    }
    assert!(matches!(Roster::read(b"\xff"), Err(RosterError::Utf8)));
    assert!(matches!(Roster::load(Path::new("/nonexistent.csv")), Err(RosterError::Io(_))));
    assert_eq!(Roster::read(format!("{HEADER}\r\np1,a,M1,,\r\n").as_bytes()).unwrap().len(), 1);
}

#[test]
fn nobody_is_on_an_empty_roster() {
    let roster = Roster::empty();
    assert!(roster.is_empty() && !roster.has(""));
    assert!(!roster.is_member("", &id("p1"), date(2024, 1, 1)));
    assert_eq!(roster.by_member_id("", ""), []);
    assert_ne!(roster.digest(), self::roster().digest());
}

#[test]
fn a_hundred_thousand_members_load_quickly_and_lie_compactly() {
    let mut text = String::from(HEADER);
    for n in 0_u32..100_000 {
        let scattered = n.wrapping_mul(2_654_435_761) % 1_000_003;
        write!(text, "\npatient-{scattered:07},payer-{},MBR{n:09},2024-01-01,", n % 5).unwrap();
    }
    let folder = Folder::with(&[("roster.csv", &text)]);
    let started = std::time::Instant::now();
    let roster = Roster::load(&folder.path().join("roster.csv")).unwrap();
    let took = started.elapsed();
    // A second is the promise of a release build on a quiet machine.
    assert!(took.as_secs() < if cfg!(debug_assertions) { 15 } else { 2 }, "{took:?}");
    println!("{took:?}");
    assert_eq!(roster.len(), 100_000);
    assert!(size_of::<Row>() <= 32);
    let bytes = roster.texts.len() + size_of_val(&*roster.rows) + size_of_val(&*roster.members);
    assert!(bytes < 2 * text.len(), "{bytes} bytes for {} of csv", text.len());
    for n in (0_u32..100_000).step_by(997) {
        let patient = id(&format!("patient-{:07}", n.wrapping_mul(2_654_435_761) % 1_000_003));
        let name = format!("payer-{}", n % 5);
        assert!(roster.is_member(&name, &patient, date(2024, 1, 1)));
        assert!(!roster.is_member(&name, &patient, date(2023, 12, 31)));
        assert!(roster.by_member_id(&name, &format!("MBR{n:09}")).contains(&patient));
    }
}

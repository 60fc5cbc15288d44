use super::*;

const LABORATORY: &str = "category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory";

fn resource_type(name: &str) -> ResourceType {
    ResourceType::parse(name).unwrap()
}

#[test]
fn reads_v2_and_v1_forms() {
    for (scope, permissions) in [
        ("system/Observation.rs", "rs"),
        ("system/Observation.cruds", "cruds"),
        ("system/Observation.s", "s"),
        ("system/Observation.read", "rs"),
        ("system/Observation.write", "cud"),
        ("system/Observation.*", "cruds"),
    ] {
        let grant = Grant::parse(scope).unwrap();
        assert_eq!(grant.resource_type(), Some(resource_type("Observation")));
        assert_eq!(grant.permissions().to_string(), permissions, "{scope}");
        assert_eq!(grant.constraint(), None);
    }
    assert_eq!(Grant::parse("system/*.rs").unwrap().resource_type(), None);
}

#[test]
fn keeps_a_constraint_as_it_was_written() {
    let scope = format!("system/Observation.rs?{LABORATORY}&_tag=a%26b,c");
    let grant = Grant::parse(&scope).unwrap();
    assert_eq!(grant.constraint(), Some(format!("{LABORATORY}&_tag=a%26b,c").as_str()));
    assert_eq!(grant.to_string(), scope);
}

#[test]
fn what_is_not_understood_in_full_grants_nothing() {
    use ScopeError::{Character, Constraint, Kind, Level, Permissions, Type};
    for (scope, why) in [
        ("system/Observation.READ", Permissions),
        ("system/Observation.sr", Permissions),
        ("system/Observation.rr", Permissions),
        ("system/Observation.rsx", Permissions),
        ("system/Observation.reads", Permissions),
        ("system/Observation.", Permissions),
        ("system/Observation", Permissions),
        ("System/Observation.r", Kind),
        ("system/observation.r", Type),
        ("system/Foo.r", Type),
        ("system/.r", Type),
        ("patient/../system/*.cruds", Level),
        ("patient/*.rs", Level),
        ("user/Observation.rs", Level),
        ("openid", Kind),
        ("launch/patient", Kind),
        ("https://ehr.example.org/scopes/x", Kind),
        ("system/Observation.rs?", Constraint),
        ("system/Observation.rs?category", Constraint),
        ("system/Observation.rs?=x", Constraint),
        ("system/Observation.rs?category=", Constraint),
        ("system/Observation.rs?category=a,", Constraint),
        ("system/Observation.rs?category=a&", Constraint),
        ("system/Observation.rs?code:in=http://example.org/vs", Constraint),
        ("system/Observation.rs?subject.name=x", Constraint),
        ("system/Observation.rs?_has:Observation:patient:code=1", Constraint),
        ("system/Observation.rs?_count=1", Constraint),
        ("system/Observation.rs?_elements=id", Constraint),
        ("system/Observation.rs?_filter=x", Constraint),
        ("system/Observation.r?category=\u{e9}", Character),
        ("system/Observation.r?category=a\"b", Character),
    ] {
        assert_eq!(Grant::parse(scope), Err(why), "{scope}");
        let scopes = Scopes::parse(scope);
        assert!(scopes.is_empty());
        assert_eq!(scopes.ignored(), [IgnoredScope { scope: scope.into(), why }]);
    }
}

#[test]
fn grants_are_a_union_in_which_each_stands_alone() {
    let scopes = Scopes::parse(&format!("system/Observation.r?{LABORATORY}  openid system/Observation.s"));
    let observation = resource_type("Observation");
    assert!(scopes.may(observation, Permission::Read));
    assert!(scopes.may(observation, Permission::Search));
    assert!(!scopes.may(observation, Permission::Update));
    assert!(!scopes.may(resource_type("Patient"), Permission::Read));
    assert_eq!(scopes.for_type(observation).count(), 2);
    assert_eq!(scopes.for_type(observation).filter(|grant| grant.constraint().is_none()).count(), 1);
    assert!(Scopes::parse("").is_empty());
}

#[test]
fn an_intersection_grants_no_more_than_either_side() {
    let cases = [
        ("system/*.cruds", "system/Patient.rs", "system/Patient.rs"),
        ("system/Patient.rs system/Observation.rs", "system/*.r", "system/Patient.r system/Observation.r"),
        ("system/Patient.rs", "system/Observation.rs", ""),
        ("system/Patient.c", "system/Patient.rs", ""),
        ("system/Observation.rs", "system/Observation.rs?code=1", "system/Observation.rs?code=1"),
        ("system/Observation.rs?code=2", "system/*.rs?_tag=x", "system/Observation.rs?code=2&_tag=x"),
        ("system/Observation.rs?code=2", "system/Observation.r?code=2", "system/Observation.r?code=2"),
        ("", "system/*.cruds", ""),
        ("system/*.cruds", "", ""),
    ];
    for (token, bound, both) in cases {
        assert_eq!(Scopes::parse(token).intersection(&Scopes::parse(bound)).to_string(), both, "{token} and {bound}");
    }
}

#[test]
fn agrees_with_the_published_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/standards/vectors/scope-vectors.json");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
    for case in vectors["parse"].as_array().unwrap() {
        let scope = case["scope"].as_str().unwrap();
        let expected = &case["parse"];
        let grants_here = expected["level"] == "system" && expected["experimental"] != true;
        match Grant::parse(scope) {
            Ok(grant) => {
                assert!(grants_here, "{scope}");
                assert_eq!(grant.permissions().to_string(), expected["perms"].as_str().unwrap(), "{scope}");
            }
            Err(_) => assert!(!grants_here, "{scope}"),
        }
    }
}

//! What an EHR may do to signed records of a source, and what the gateway makes of it.

use portcullis::demo::ehr::Behaviour;
use serde_json::{Value as Json, json};

use super::gateway::{
    SEARCH, about, condition, forge, names, provenance, put, registry, searchset, signed, stage, stage_by, verdict,
};
use super::stage::{
    Forge, NPI, ORGANISATION, Party, authority, authority_params, leaf_params, named, other_person, p256, params, party,
};

/// What was done to a signed record, and what comes of it where signatures are accepted, and where they are demanded.
fn attacks() -> Vec<(&'static str, Vec<Json>, &'static str, &'static str)> {
    let record = condition("one", "headache");
    let (clinic, other) = (party(), other_person());
    let rogue = Party::self_signed(authority_params("Rogue authority"));
    let signature = |party: &Party| forge(party, &record).signed_element();
    let good = signature(&clinic);
    let with = |change: &dyn Fn(&mut Forge)| {
        let mut forge = forge(&clinic, &record);
        change(&mut forge);
        vec![record.clone(), about(&[forge.signed_element()])]
    };
    let in_own_name = {
        let mut forge = forge(&other, &record);
        forge.element["who"]["identifier"]["value"] = json!("1992999999");
        vec![record.clone(), about(&[forge.signed_element()])]
    };
    let strangers = {
        let params = named(params("A stranger"), "1992999999", "https://stranger.example.org");
        let mut forge = forge(&rogue.issue(params, p256()), &record);
        forge.element["who"]["identifier"]["value"] = json!("1992999999");
        forge.header.as_object_mut().unwrap().remove("sigT");
        vec![record.clone(), about(&[forge.signed_element()])]
    };
    let unsigned = provenance("of-one", &["Condition/one"], &[]);
    let mut expired = leaf_params();
    expired.not_after = rcgen::date_time_ymd(2026, 6, 1);
    let expired = authority().issue(expired, p256());
    let of_two = provenance("of-one", &["Condition/one", "Condition/one"], std::slice::from_ref(&good));
    let of_another_version = provenance("of-one", &["Condition/one/_history/77"], std::slice::from_ref(&good));
    let moved = vec![condition("one", "another"), about(std::slice::from_ref(&good))];
    let copied_form = "application/fhir+json;canonicalization=http://hl7.org/fhir/canonicalization/json+xml#document";
    vec![
        (
            "one changed byte",
            vec![condition("one", "headachf"), about(std::slice::from_ref(&good))],
            "contradicted",
            "contradicted",
        ),
        ("moved from another record", moved, "contradicted", "contradicted"),
        ("another's certificate", vec![record.clone(), about(&[signature(&other)])], "contradicted", "contradicted"),
        ("another's certificate and name", in_own_name, "unknown", "unknown"),
        (
            "signed anew by a rogue authority",
            vec![record.clone(), about(&[signature(&rogue.issue(leaf_params(), p256()))])],
            "contradicted",
            "contradicted",
        ),
        ("a stranger's, of another edition", strangers, "asserted-by-source", "unknown"),
        ("embedded payload", with(&|forge| forge.payload = "e30".to_owned()), "contradicted", "contradicted"),
        (
            "a good one and a bad one",
            vec![record.clone(), about(&[good.clone(), signature(&other)])],
            "contradicted",
            "contradicted",
        ),
        ("stripped", vec![record.clone(), unsigned], "asserted-by-source", "unknown"),
        ("no provenance", vec![record.clone()], "asserted-by-source", "unknown"),
        ("two targets", vec![record.clone(), of_two], "asserted-by-source", "unknown"),
        ("of another version", vec![record.clone(), of_another_version], "asserted-by-source", "unknown"),
        (
            "another form",
            with(&|forge| forge.element["targetFormat"] = json!(copied_form)),
            "asserted-by-source",
            "unknown",
        ),
        (
            "another kind of signature",
            with(&|forge| forge.element["sigFormat"] = json!("image/png")),
            "asserted-by-source",
            "unknown",
        ),
        ("expired", vec![record.clone(), about(&[signature(&expired)])], "asserted-by-source", "unknown"),
    ]
}

#[test]
fn nothing_but_a_signature_that_holds_makes_a_record_leave_that_must_be_signed() {
    for (name, resources, accepted, demanded) in attacks() {
        for (signatures, expected) in [("accepted", accepted), ("demanded", demanded)] {
            let (ehr, gateway) = stage(signatures, "", r#""*""#);
            put(&ehr, &signed("control"));
            put(&ehr, &resources);
            assert_eq!(verdict(&gateway, "Condition/one"), expected, "{name}, {signatures}");
            assert_eq!(verdict(&gateway, "Condition/control"), "verified", "{name}, {signatures}");
            let payer = gateway.payer("lanternfield");
            let leaves = expected == "asserted-by-source";
            let all: &[&str] = &["Condition/control", "Condition/one"];
            assert_eq!(payer.get(SEARCH).searchset().names(), names(if leaves { all } else { &all[..1] }), "{name}");
            assert_eq!(payer.get("/Condition/one").status(), if leaves { 200 } else { 404 }, "{name}");
        }
    }
}

/// The same name twice on one page: what was verified of one text says nothing of another.
#[test]
fn a_verdict_is_of_the_text_that_was_signed() {
    let (ehr, gateway) = stage("demanded", "", r#""*""#);
    let [record, about] = signed("one");
    let forged = condition("one", "FORGED");
    for (count, entries) in [(11, [&record, &forged, &about]), (12, [&forged, &record, &about])] {
        let entries: Vec<Json> = entries.iter().map(|resource| json!({"resource": resource})).collect();
        let page = searchset(&entries);
        ehr.behave(Behaviour::faithful().status(200, &page).only_for("Condition"));
        let answer = gateway.payer("lanternfield").get(&format!("{SEARCH}&_count={count}"));
        assert!(answer.text().contains("headache") && !answer.text().contains("FORGED"), "{}", answer.text());
    }
}

/// One authority may have certified all of them: what a source demands is its own signature.
#[test]
fn a_demand_is_not_met_by_another_organisation_of_the_same_authority() {
    let other = format!("{NPI}|1992999999");
    let own = |registry: &str| registry.replace("valid_from", &format!("speakers = [\"{other}\"]\nvalid_from"));
    let exchange = own(&registry("demanded"))
        .replace("\"ehr\"", &format!("\"exchange\"\nidentifiers = [\"{other}\"]"))
        .replace("speakers", "exchange_asserts = true\nspeakers");
    let second = registry("accepted").replace(ORGANISATION.1, "1992999999").replace("Signing", "Other");
    let second = second.split_once("[[source]]").unwrap().1.to_owned();
    let two = format!("{}\n[[source]]{second}", registry("demanded"));
    let organization = json!({"resourceType": "Organization", "id": "other",
        "identifier": [{"system": NPI, "value": "1992999999"}]});
    let role = json!({"resourceType": "PractitionerRole", "id": "signing-role",
        "practitioner": {"reference": "Practitioner/signing-doctor"},
        "organization": {"reference": "Organization/signing-clinic"}});
    let mut record = condition("one", "headache");
    let by_others = |record: &Json| {
        let mut forge = forge(&other_person(), record);
        forge.element["who"]["identifier"]["value"] = json!("1992999999");
        let mut about = about(&[forge.signed_element()]);
        about["agent"][0]["onBehalfOf"] = json!({"reference": "Organization/other"});
        about
    };
    let mut original = condition("original", "headache");
    original["code"]["coding"][0]["code"] = json!("original");
    original["asserter"] = json!({"reference": "Organization/signing-clinic"});
    let mut made = by_others(&record);
    made["agent"][0] = json!({"type": made["agent"][0]["type"], "who": {"reference": "Organization/other"}});
    made["entity"] = json!([{"role": "source", "what": {"reference": "Condition/original"}}]);
    let (ehr, gateway) = stage_by(&exchange, "", r#""*""#);
    put(&ehr, &[organization.clone(), original, record.clone(), made]);
    let by_an_exchange = verdict(&gateway, "Condition/one");
    record["recorder"] = json!({"reference": "PractitionerRole/signing-role"});
    let by_another = [two.replace("demanded", "accepted"), two].map(|registry| {
        let (ehr, gateway) = stage_by(&registry, "", r#""*""#);
        put(&ehr, &[organization.clone(), role.clone(), record.clone(), by_others(&record)]);
        verdict(&gateway, "Condition/one")
    });
    assert_eq!((&*by_an_exchange, by_another), ("unknown", ["asserted-by-source", "unknown"].map(ToOwned::to_owned)));
}

/// A name that a certificate has as a URI is no identifier, whatever it looks like.
#[test]
fn a_uri_that_looks_like_an_identifier_is_none() {
    let registry = registry("accepted").replace("anchors =", "signature_dialect = \"2.1.0\"\nanchors =");
    let uri = format!("{NPI}|{}", ORGANISATION.1);
    let mut params = named(params("Somebody else"), "1992999999", &uri);
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let (clinic, stranger) = (party(), authority().issue(params, p256()));
    let record = condition("one", "headache");
    let verdicts =
        [json!({"identifier": {"system": NPI, "value": ORGANISATION.1}}), json!({"reference": uri})].map(|who| {
            let is_own = who["reference"].is_null();
            let mut forge = forge(if is_own { &clinic } else { &stranger }, &record);
            forge.element["who"] = who;
            let (ehr, gateway) = stage_by(&registry, "", r#""*""#);
            put(&ehr, &[record.clone(), about(&[forge.signed_element()])]);
            verdict(&gateway, "Condition/one")
        });
    assert_eq!(verdicts, ["verified", "asserted-by-source"].map(ToOwned::to_owned));
}

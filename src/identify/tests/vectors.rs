use super::*;

/// Cases that say accept under a leeway of a minute; ours is shorter.
const WITHIN_A_MINUTE: [&str; 1] = ["exp-within-leeway"];

#[tokio::test]
async fn agrees_with_the_published_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/standards/vectors/access-token-vectors.json");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let vectors: Json = serde_json::from_str(&text).unwrap();
    let keys: Vec<&Json> = vectors["jwks"]["keys"].as_array().unwrap().iter().collect();
    let mut issuer = issuer(&keys);
    issuer.issuer = vectors["issuer"].as_str().unwrap().to_owned();
    issuer.audience = vectors["audience"].as_str().unwrap().to_owned();
    let identities = identities(&[issuer], &[registration("payer-a-claims")]);
    for case in vectors["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let expected = case["expect"] == "accept" && !WITHIN_A_MINUTE.contains(&name);
        let found = identify(&identities, case["token"].as_str().unwrap(), vectors["now"].as_i64().unwrap()).await;
        assert_eq!(found.is_ok(), expected, "{name}: {found:?}");
    }
}

//! The EHR of the invented clinic.

use std::collections::BTreeMap;

use portcullis::demo::data;
use portcullis::demo::ehr::{Ehr, Records};
use serde_json::Value as Json;

/// An EHR with the records of Maren, Tobias and Ines.
pub(crate) fn clinic() -> Ehr {
    let mut records = Records::new();
    for bundle in data::EVERYTHING {
        records.load(bundle).unwrap();
    }
    Ehr::start(records).unwrap()
}

/// Every resource of the clinic, by `Type/id`.
pub(crate) fn resources() -> BTreeMap<String, Json> {
    let mut found = BTreeMap::new();
    for bundle in data::EVERYTHING {
        let bundle: Json = serde_json::from_str(bundle).unwrap();
        for entry in bundle["entry"].as_array().unwrap() {
            let resource = entry["resource"].clone();
            found.insert(
                format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap()),
                resource,
            );
        }
    }
    found
}

/// A resource as the EHR itself would hand it out, to the byte.
pub(crate) fn own_text(ehr: &Ehr, name: &str) -> String {
    let (status, body) = ehr.open_door(&format!("/{name}"));
    assert_eq!(status.as_u16(), 200, "{name}");
    String::from_utf8(body).unwrap()
}

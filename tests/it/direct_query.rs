//! Direct Query: what a payer may ask, it gets.

use crate::support::{clinic, gateway};

#[test]
fn a_resource_is_read_and_found() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let read = payer.get("/Observation/maren-hba1c-2025");
    assert_eq!(read.status(), 200, "{}", read.text());
    let found = payer.search("/Observation?patient=maren&code=4548-4");
    assert_eq!(found.resource("Observation/maren-hba1c-2025"), read.text());
    assert_eq!(payer.get("/Observation?patient=maren&bogus=1").refusal().status, 400);
}

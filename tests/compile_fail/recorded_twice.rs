//! An exchange has one record.
use portcullis::audit::{Entry, Reservation};

fn twice(room: Reservation, entry: Entry) {
    let _first = room.record(entry.clone());
    let _second = room.record(entry);
}

fn main() {}
